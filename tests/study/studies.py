"""A study of seconds, for tests that change a field or two of it."""

from pathlib import Path

from embudget.pairs import Pairs
from embudget.study import Study


def tiny_study(model: str | Path, pairs: Pairs, /, **fields: object) -> Study:
    """One run of a tiny model, but for what the fields say."""
    values: dict[str, object] = {
        "members": [f"{model}:1"],
        "methods": ["full"],
        "budgets": [6e8],
        "pairs": str(pairs.folder),
        "batch_size": 8,
        "max_length": 32,
        "min_steps": 2,
        "eval_pairs": 16,
        "eval_candidates": 16,
    }
    return Study.read(values | fields, "study.yaml")
