"""All runs of a study in one pass: what the page counts of them, and which of them it lists.

A page lists every run of a study of up to `MOST_RUNS`. Of a larger one it would grow without bound, and a browser would
take too long to draw it. There it lists the best run of each cell (member, method, budget), and of more cells
than that the best ones of each budget.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from embudget.records import RunRecord
from embudget.records.stored import Row, row_of
from embudget.study import Store

MOST_RUNS = 10_000
"""Runs that a page lists and draws: about 5 MB."""
MOST_FAILED = 200
"""Runs without a loss that counts, with the reason, that the page of such a larger study lists besides."""

Runs = Sequence[RunRecord] | Store
"""Runs of a study, as a page is made of them."""


class Cells(NamedTuple):
    """The best runs of a larger study by their cell."""

    cells: int
    runs: int
    listed: int

    def __str__(self) -> str:
        best = f"the best run of each of {self.cells:,} cells (member, method, budget)"
        if self.listed < self.cells:
            best = f"the best runs of each budget, {self.listed:,} of {self.cells:,} cells (member, method, budget)"
        return f"Of {self.runs:,} runs the page lists and draws {best}."


class Counted:
    """What is counted of a study's runs, one by one.

    Args:
        rows: flat rows of the runs, as `embudget.study.Store.rows` gives them.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self.ended: Counter[str] = Counter()
        self.train_flops = self.seconds = 0.0
        """FLOP and seconds summed over all runs; what runs of a trunk share counts once."""
        self.budgets: set[float] = set()
        self.methods: set[str] = set()
        self.pairs: set[str] = set()
        self.sizes: dict[str, float] = {}
        """Member -> N, infinite where no run measured it."""
        self.errors: tuple[float, float] | None = None
        """The smallest and the largest standard error of a loss by held-out groups, nats."""
        self.devices: set[tuple[str, int]] = set()
        self.days: set[str] = set()
        self.versions: set[str] = set()
        self.commits: set[str] = set()
        self.ids: set[str] = set()
        self._failed: list[str] = []
        self._all: list[str] = []
        self._best: dict[tuple[str, str, float], tuple[float, str]] = {}
        for row in rows:
            self._count(row)
            self._choose(row)

    def _count(self, row: Row) -> None:
        self.ended[row["status"]] += 1
        own = 1.0 - (row["shared_flops"] or 0.0) / row["train_flops"] if row["train_flops"] else 1.0
        self.train_flops += (row["train_flops"] or 0.0) * own
        self.seconds += (row["seconds"] or 0.0) * own
        self.budgets.add(row["budget"])
        self.methods.add(row["method"])
        self.pairs.add(row["pairs"])
        size = float("inf") if row["model_params"] is None else float(row["model_params"])
        self.sizes[row["model"]] = min(size, self.sizes.get(row["model"], size))
        if (error := row["loss_error"]) is not None:
            least, most = self.errors or (error, error)
            self.errors = min(least, error), max(most, error)
        if (origin := row["provenance"]) is not None:
            self._note(origin)

    def _note(self, origin: Mapping[str, Any]) -> None:
        self.devices.add((origin["device"], origin["threads"]))
        self.days.add(origin["started"][:10])
        self.versions.update(f"{name} {version}" for name, version in origin["versions"].items())
        if origin.get("commit"):
            self.commits.add(origin["commit"][:10])

    def _choose(self, row: Row) -> None:
        run = row["id"]
        self.ids.add(run)
        if row["status"] != "done":
            self._failed.append(run)
        if len(self._all) <= MOST_RUNS:
            self._all.append(run)
        if row["status"] == "done" and row["loss"] is not None:
            cell = row["model"], row["method"], row["budget"]
            if cell not in self._best or row["loss"] < self._best[cell][0]:
                self._best[cell] = row["loss"], run

    @property
    def thinned(self) -> Cells | None:
        """What is listed of a study that is too large to list every run; None of any other."""
        if len(self.ids) <= MOST_RUNS:
            return None
        return Cells(len(self._best), len(self.ids), len(self.listed))

    @property
    def listed(self) -> list[str]:
        """The ids of the runs that a page lists."""
        if len(self.ids) <= MOST_RUNS:
            return self._all
        by_budget: Counter[float] = Counter()
        ranked = []
        for (_, _, budget), (loss, run) in sorted(self._best.items(), key=lambda item: item[1]):
            by_budget[budget] += 1
            ranked.append((by_budget[budget], loss, run))
        return [run for _, _, run in sorted(ranked)[:MOST_RUNS]]

    @property
    def failed(self) -> list[str]:
        """The ids of the first runs without a loss that counts."""
        return self._failed[:MOST_FAILED]

    @property
    def unlisted(self) -> int:
        """How many runs without a loss that counts a page leaves out."""
        return 0 if len(self.ids) <= MOST_RUNS else len(self._failed) - len(self.failed)


def counted(runs: Runs) -> Counted:
    """Count the runs of a study, each read once and let go."""
    return Counted(runs.rows() if isinstance(runs, Store) else map(row_of, runs))


def records_by_id(runs: Runs, ids: Iterable[str]) -> dict[str, RunRecord]:
    """The records with these ids, in their order."""
    ids = list(ids)
    wanted = set(ids)
    there = runs.records_of(ids) if isinstance(runs, Store) else (one for one in runs if one.id in wanted)
    found = {record.id: record for record in there}
    return {run: found[run] for run in ids if run in found}
