"""Measurements of speed and of regret. Each script is run as `python -m benchmarks.NAME`; its docstring shows how."""
