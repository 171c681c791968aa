"""One budget in, one model out: the search, the final run, its scores and the account of it all, in one folder."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.laws import Laws
from embudget.means import find_means
from embudget.recipe.choice import Untrained
from embudget.records import RunRecord
from embudget.spending.allocation import Decision
from embudget.spending.folder import LEDGER, STORE
from embudget.spending.forecast import forecaster
from embudget.spending.home import check_home, home_of
from embudget.spending.ledger import Ledger, make_ledger
from embudget.spending.listener import SpendListener
from embudget.spending.prepare import METHODS, Caps, Prepared, prepare, study_of
from embudget.spending.run import SpentBudget, spend_budget
from embudget.study import Store
from embudget.study.executors.base import CrewOf
from embudget.suite.embedders import load_model

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embudget.evaluation import Evaluation


class Spending:
    """What came of a budget."""

    def __init__(self, spent: SpentBudget, ledger: Ledger) -> None:
        self._spent = spent
        self.folder: Path = spent.model.parent
        """Where all of it lies."""
        self.ledger = ledger
        """Where the budget went, and what rules of thumb would have got; `print` it."""
        self.decisions: tuple[Decision, ...] = spent.decisions
        """Each round of the search, the last one final: what was believed, and what was bought."""
        self.laws: Laws | None = spent.laws
        """Fitted to all runs of the search; None where these do not suffice, and `no_laws` says why."""
        self.no_laws: str = spent.no_laws
        self.record: RunRecord = spent.record
        """The record of the best final run."""
        self.untrained: Untrained | None = spent.untrained
        """The start that is the model as it is, where no final run beat it; None where the model was trained."""
        self.evaluation: Evaluation | None = spent.evaluation
        """Retrieval scores of the model, where they were asked for."""

    @cached_property
    def model(self) -> "SentenceTransformer":
        """The final model, loaded when it is first used."""
        return load_model(self._spent.model)

    def __repr__(self) -> str:
        return f"Spending({str(self.folder)!r})"


def spend(
    budget: str | float | None = None,
    *,
    suite: str,
    pairs: str | Path,
    out: str | Path,
    methods: Sequence[str] = METHODS,
    hours: float | None = None,
    devices: int | None = None,
    gpu_hours: float | None = None,
    dollars: float | None = None,
    device: str | None = None,
    mfu: float | None = None,
    dollars_per_hour: float | None = None,
    search_share: float | None = None,
    max_runs: int | None = None,
    keep: int = 1,
    workers: int = 1,
    laws: Sequence[str] = (),
    batch_size: int | None = None,
    negatives: Sequence[int] | None = None,
    device_memory: str | float | None = None,
    store: str | Path | None = None,
    seed: int = 0,
    listener: SpendListener | None = None,
    executor: CrewOf | None = None,
    checkpoints: str | Path | None = None,
) -> Spending:
    """Spend one budget on a text-embedding model: search what to train, and train it, with what was paid for both.

    Each round trains a few short runs, by what they are expected to lower the final loss for what they cost. When no
    further run is worth its price, the rest of the budget trains the best choice. Interrupted, the same call goes on
    to the same decisions.

    Where runs are already measured, or are to be reviewed before the final one, use `sweep`, `fit` and `recommend`.

    Args:
        budget: FLOP of search and final run together; or give ``hours``, ``gpu_hours`` or ``dollars``.
        suite: models to choose from: a built-in suite, a folder of models, a YAML list, or several with commas.
        pairs: folder of text pairs, or its URL.
        out: folder or URL for the model, the decisions, the ledger and the records. At a URL any machine goes on.
        methods: what may train of each model: full, freeze:F, bias, lora:R.
        hours: of this machine, by the speeds that are measured first; with ``devices`` at the same time.
        devices: of this machine, with ``hours``; 1 by default. Several train the final run together where it pays.
        gpu_hours: of one ``device`` of the table.
        dollars: spent on a ``device``.
        device: see `embudget.flops.DEVICES`.
        mfu: share of the device's peak that training reaches.
        dollars_per_hour: price of a device.
        search_share: share of the budget for the search; by default as much as it is expected to gain.
        max_runs: runs of the search at most.
        keep: final runs, which share what the search left; the best of them is the model.
        workers: processes that train runs at the same time.
        laws: files or names of earlier laws, which the choice begins from.
        batch_size: pairs a step; by default by the budget.
        negatives: numbers of hard negatives that may be tried; 0 by default.
        device_memory: of the device that trains, as 24GB; what is estimated to need more is left out.
        store: where records are kept, a SQLite file or URL; ``out``/runs.db by default. Runs that are there are used.
        seed: of the search's own draws and of the runs.
        listener: told of the progress.
        executor: makes the crew that trains all runs on other machines (`embudget.study.executors`); None trains here.
        checkpoints: folder or URL for the states that runs go on from; beside the store by default.

    Raises:
        BudgetError: not exactly one budget is given, or it buys no run; the least that works is named.
        ConfigError: limits contradict each other, or ``out`` holds somebody's things.
        InfeasibleError: no model fits into the memory of the device.
        ModelError, MethodError, PairsError: of what it is spent on.

    Example:
        >>> spending = eb.spend("2e13", suite="smollm2,minilm", pairs="pairs/", out="out/")
        >>> print(spending.ledger)
        >>> spending.model.encode("a text")
    """
    means = find_means(
        budget, hours=hours, devices=devices, gpu_hours=gpu_hours, dollars=dollars, device=device, mfu=mfu,
        dollars_per_hour=dollars_per_hour,
    )  # fmt: skip
    check_home(out, (pairs, *laws))
    caps = Caps(search_share, max_runs, keep, workers, seed)
    study = study_of(suite, pairs, methods, batch_size, negatives)
    prepared = prepare(study, means, caps, laws, device_memory=device_memory)
    return carry_out(prepared, out, store=store, listener=listener, executor=executor, checkpoints=checkpoints)


def carry_out(
    prepared: Prepared,
    out: str | Path,
    *,
    store: str | Path | None = None,
    listener: SpendListener | None = None,
    max_queries: int | None = 2000,
    executor: CrewOf | None = None,
    checkpoints: str | Path | None = None,
) -> Spending:
    """Spend a budget that is prepared, and draw up its account.

    Args:
        prepared: the budget, and what it may be spent on.
        out: folder or URL.
        store: where records are kept; ``out``/runs.db by default.
        listener: told of the progress.
        max_queries: test pairs for the retrieval scores; None for no scores.
        executor: makes the crew that trains all runs; None trains here.
        checkpoints: folder or URL for the states that runs go on from; beside the store by default.

    Raises:
        EmbudgetError: what a run or its measurement raises.
    """
    listener = listener or SpendListener()
    if store is not None:
        with Store(store):  # one that cannot be opened is refused before there is a folder
            pass
    with home_of(out) as home:
        spent = spend_budget(
            prepared.allocation,
            prepared.study,
            home.folder / STORE if store is None else store,
            home,
            prepared.decide,
            workers=prepared.allocation.workers,
            listener=listener,
            max_queries=max_queries,
            executor=executor,
            checkpoints=checkpoints,
            devices=prepared.means.devices if executor is None else 1,
        )
        measured = [one for one, _ in (*spent.known, *spent.outcomes)]  # the final run tells of the others too
        forecast = forecaster(spent.allocation, measured, prepared.prior)
        price = prepared.means.price
        last, left_over = spent.decisions[-1], spent.recipe.left_over
        ledger = make_ledger(spent.allocation, spent.outcomes, last, forecast, price, spent.untrained, left_over)
        ledger.save(home.folder / LEDGER)
        home.put()
        listener.done(ledger)
    return Spending(spent, ledger)
