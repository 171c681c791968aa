"""What the processes do that tests start with torchrun: ``-m tests.training.in_processes PAIRS FOLDER [COMMAND ...]``.

The folder holds ``todo.json``, a list of [name, configuration, steps after which it stops or null]; process RANK writes
``{name}-{RANK}.json``, and checkpoints go to ``{name}/``. Then they run a command of the command line, if one is given.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import torch

from embudget.pairs import Pairs, load_pairs
from embudget.records import RunConfig
from embudget.training.run import Resources, train_run


class Stopped(Exception):
    """The run has done the steps that it was to do."""


def run_until(config: RunConfig, pairs: Pairs, folder: Path, stop: int | None) -> str | None:
    """Train with checkpoints after each step; the record as JSON, None where it was stopped."""
    steps = 0

    def on_progress(share: float, loss: float) -> None:
        nonlocal steps
        steps += 1
        if steps == stop:
            raise Stopped

    with suppress(Stopped):
        return train_run(config, pairs, on_progress, Resources("auto", 1, folder, 0.0))[1].model_dump_json()
    return None


def main(pairs: Path, folder: Path, command: list[str]) -> None:
    """Do what is to be done."""
    torch.set_num_threads(1)
    read = load_pairs(pairs)
    for name, config, stop in json.loads((folder / "todo.json").read_text()):
        record = run_until(RunConfig.model_validate(config), read, folder / name, stop)
        (folder / f"{name}-{os.environ['RANK']}.json").write_text(record or "null")
    if command:
        from embudget.cli.app import main as embudget

        sys.argv = ["embudget", *command]
        embudget()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
