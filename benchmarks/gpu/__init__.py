"""What to measure on a GPU when there is one: `benchmarks/gpu.sh` runs the parts, each of which runs on a CPU too."""
