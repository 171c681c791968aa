"""The columns of a table of runs, by what they are for: one row a run, whether it comes from records or from a file.

A table is a DataFrame whose index is the number of the row in its source, counted from 1, so that a message can name a
row at any step. A column that the source does not have is absent. Numbers are floats, NaN where there is no value;
texts are "" where there is none.
"""

from typing import Final

from pydantic import Field

from embudget.frozen import Frozen

CELL: Final = ("method", "budget", "model_params", "model", "length", "supply", "lineage")
"""What makes runs one cell. `length` is there in a table without budgets only, `supply` in one with unique tokens only:
see `embudget.runs.complete`; `lineage` where it is known: see `embudget.runs.lineages`."""
SIZE_NAME: Final = "N="
"""What the name of a model begins with that the source does not name: N=1.2e+08 is made of its size."""
SETTING: Final = (
    "learning_rate", "batch_size", "warmup", "weight_decay", "max_epochs", "decay", "schedule", "pooling", "end_token",
    "negatives", "max_length", "scale", "query_prompt", "document_prompt", "attention", "matryoshka", "train_precision",
)  # fmt: skip
"""What else is chosen of a run. Runs of a cell that share all of it are seeds of one setting."""
MEASURED: Final = ("steps", "pairs_seen", "seconds", "base_loss")
"""What a cell keeps the mean of, where it is known."""
SUPPLY: Final = ("unique_tokens", "training_pairs")
"""What there is to train on, each token and each pair counted once: more tokens than that are repeated ones."""
COMPARABLE: Final = ("eval_pairs", "eval_candidates", "yardstick", "eval_scale")
"""What all runs must share, with the text pairs, for their losses to be comparable. Where these are taken at each run's
own scale, that is the `scale` too."""
BEST_SCALE: Final = "best"
"""The `eval_scale` of losses that are taken at the scale at which each is lowest."""
TEXTS: Final = (
    "model", "method", "status", "pairs", "schedule", "pooling", "end_token", "model_weights", "run", "yardstick",
    "lineage", "family", "query_prompt", "document_prompt", "attention", "matryoshka", "train_precision", "eval_scale",
)  # fmt: skip
"""The columns of text that are read."""
NUMBERS: Final = (
    "model_params", "loss", "tokens", "train_flops", "budget", "rank", "active_fraction", "seed", "weight",
    *(name for name in SETTING if name not in TEXTS), *MEASURED, *SUPPLY,
    *(name for name in COMPARABLE if name not in TEXTS), "chance",
)  # fmt: skip
"""The columns of numbers that are read."""
NEEDED: Final = ("loss", "model_params", "tokens", "train_flops", "budget", "weight")
"""The columns in which every run must have a value, where the table has the column."""
BY_GROUP: Final = "by_group"
"""A column that reading adds where records have losses by group: of each run, those of its held-out groups by name,
later an array of their losses. See `embudget.runs.groups`."""
SAID_NAN: Final = "said_nan"
"""A column that reading adds: the first of NEEDED in which a row says NaN, as a run does that failed, or else "". It
keeps such a field apart from an empty one, since both are NaN in the table."""
ENDINGS: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
"""Endings of files of runs."""
INSTEAD: Final = {
    ".xlsx": "save the sheet as CSV",
    ".xls": "save the sheet as CSV",
    ".ods": "save the sheet as CSV",
    ".json": "write one JSON object a line to a file that ends in .jsonl, as `jq -c '.[]' FILE` does",
    ".feather": "write Parquet",
    ".arrow": "write Parquet",
    ".gz": "unpack it first",
    ".bz2": "unpack it first",
    ".xz": "unpack it first",
    ".zip": "unpack it first",
    ".txt": "name it .csv or .tsv if commas, semicolons or tabs part its columns",
}
"""Endings of other tables, and what to do with such a file."""


class Remark(Frozen):
    """What a column of a table does not seem to mean, its likely cause and what to do: see `embudget.runs.meaning`."""

    about: str = Field(description="the column, by our name")
    text: str
    settled: bool = Field(default=False, description="whether it was put right here, so that nothing is left to do")
