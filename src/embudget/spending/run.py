"""Spending one budget for real: decide, train what was decided, measure, decide again, and train the final run.

    known runs -> [ decide -> write it down -> train the round's runs ] ... -> final runs -> model, scores, laws, recipe

Runs, claims, workers, checkpoints and the store are those of a sweep (`embudget.study`): a round gives its runs to the
sweep that is on, so that workers stay. Killed at any moment and started again, it goes on to the same decisions and the
same model; see `embudget.spending.rounds` for how.
"""

import logging
from contextlib import ExitStack, closing, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from embudget.errors import BudgetError, ConfigError, FitError, PairsError, RunError
from embudget.exports.folder import check_folder
from embudget.laws import Laws, fit
from embudget.pairs import Pairs, load_pairs
from embudget.recipe import Recipe
from embudget.recipe.choice import Untrained
from embudget.records import RunConfig, RunRecord
from embudget.runs.lineages import is_of_retrievers
from embudget.spending.allocation import Allocation, Decision
from embudget.spending.arms import Sources
from embudget.spending.beginning import earlier_start, known_runs
from embudget.spending.final import evaluated, folder_of, put_in_front, recipe_of, train_final
from embudget.spending.folder import DECISIONS, LAWS, MODEL, RECIPE, START, only_spender
from embudget.spending.home import Home
from embudget.spending.kept_start import better_start, lowest_start, put_start_in_front
from embudget.spending.listener import SpendListener
from embudget.spending.on_devices import DevicesHere
from embudget.spending.relay import Relay
from embudget.spending.round_runs import Rounds, RoundsByCrew, RoundsHere
from embudget.spending.rounds import DecisionLog
from embudget.spending.search import Bought, Policy, Search
from embudget.spending.sizing import Sizing
from embudget.spending.trunks import TrunkStates
from embudget.study import Store, Study
from embudget.study.driver import made_folder
from embudget.study.executors.base import CrewOf
from embudget.study.executors.crews import CrewDriver
from embudget.study.kept import add_kept
from embudget.training.mirror import checkpoints_at
from embudget.training.resources import Resources, check_interval

if TYPE_CHECKING:
    from embudget.evaluation import Evaluation

LOG = logging.getLogger(__name__)


class SpentBudget(NamedTuple):
    """What a budget was spent on, and what came of it."""

    allocation: Allocation
    """What could be bought, as the first start knew it: a later one may have measured other speeds."""
    model: Path
    """The folder of the final model, out/model."""
    record: RunRecord
    """The record of the run that made it; where the model is a start as it is, that of the best final run."""
    untrained: Untrained | None
    """The start that is the model, as no final run beat it; None where the model was trained."""
    decisions: tuple[Decision, ...]
    """All rounds, the last one final."""
    outcomes: tuple[Bought, ...]
    """All that was bought, in the order in which it was decided, final runs included."""
    known: tuple[Bought, ...]
    """Runs that the store held before the first decision: used by it, and free."""
    laws: Laws | None
    """Fitted to the records of all of these; None where they do not suffice."""
    no_laws: str
    """Why there are no laws; empty where there are."""
    recipe: Recipe
    """How the model was trained, as `train` takes it; its ``left_over`` says why a part of the budget was not spent."""
    evaluation: "Evaluation | None"
    """Retrieval scores of the model beside its start, where they were asked for and there are test pairs for them."""


def spend_budget(
    allocation: Allocation,
    study: Study,
    store: str | Path | Store,
    out: str | Path | Home,
    decide: Policy,
    *,
    workers: int = 1,
    listener: SpendListener | None = None,
    checkpoints: str | Path | None = None,
    checkpoint_seconds: float | None = None,
    trunk_bytes: float | None = None,
    max_queries: int | None = 2000,
    executor: CrewOf | None = None,
    devices: int = 1,
) -> SpentBudget:
    """Spend a budget: search, train the final model, evaluate it, write all of it to a folder.

    Args:
        allocation: the budget and what it may be spent on, such as `embudget.spending.arms.allocation_of` makes it of
            the study.
        study: what the arms' runs have in common: members, methods, pairs, length, prompts, precision, ...; its
            budgets, batches, negatives, seeds and tasks are not looked at, its rates are those of `Arm.default_rate`.
        store: where records are kept. Runs of the same settings that it holds before are known, and free: the policy
            is told of them, and none of the budget is charged for them. Their trunks are gone, so that longer runs of
            them cost their whole price.
        out: folder for model/, decisions.jsonl, start.json, laws.json, recipe.yaml, evaluation.json; or a `Home`.
        decide: the policy.
        workers: local processes that train the runs of a round; the final runs are trained in this process. With an
            executor, its workers at a time.
        listener: told of the progress.
        checkpoints: folder or URL for the states of trunks; by default beside a SQLite file, else in ``out``.
        checkpoint_seconds: time between checkpoints; by default a share of the run.
        trunk_bytes: disk for the states of trunks that the search may still extend; see `embudget.spending.trunks`.
        max_queries: test pairs for the retrieval scores; None for no scores.
        executor: makes the crew that trains all runs, the final ones too; None trains here. Its workers must see
            ``out`` and the folder of checkpoints.
        devices: of this machine, which train the final run together where that is faster.

    Returns:
        The model, with all that was decided, bought and measured. Where no final run is below the loss of a start
        before training, that start is the model, and the best trained one lies in ``out``/candidates.

    Raises:
        ConfigError: fewer than one worker; a folder that cannot be written, holds the spending of another budget, or
            in which another process spends; a store that lacks runs that were decided by, or in which another process
            trains one of them.
        BudgetError: the budget is less than one step.
        StoreError, PairsError, ModelError, MethodError: as `embudget.study.driver.sweep`.
        RunError: the model cannot be written, or no final run has a loss and nothing is left.

    Example:
        >>> study = eb.Study(suite="micro", methods=["full", "lora:8"], budgets=[1e12], pairs="pairs/", max_epochs=4)
        >>> allocation = allocation_of(study, eb.load_pairs("pairs/"), 1e12)
        >>> spent = spend_budget(allocation, study, "out/runs.db", "out/", decide)
        >>> spent.record.loss, spent.decisions[-1].interval
    """
    if workers < 1:
        raise ConfigError(f"workers must be >= 1, got {workers}")
    check_interval(checkpoint_seconds)
    home, listener = out if isinstance(out, Home) else Home(Path(out)), listener or SpendListener()
    out = home.folder
    pairs = load_pairs(study.pairs)
    check_folder(out / MODEL, pairs=pairs.folder)
    sources = Sources.of(study, pairs)  # before there is a store, by which a later start does not know the folder
    made_folder(out)
    kept = nullcontext(store) if isinstance(store, Store) else Store(store)
    with only_spender(out), kept as opened, ExitStack() as at_end:
        log = DecisionLog(out / DECISIONS)
        here = DevicesHere(devices, pairs)
        start, sources = earlier_start(
            out / START, allocation, sources, opened, log, pairs, here, listener.start_measured
        )
        home.put()
        beside = opened.checkpoints if isinstance(home.checkpoints, Path) else None
        folder, mirror = checkpoints_at(checkpoints or beside or home.checkpoints)
        made_folder(folder)
        add_kept(opened, folder, {run.run for one in log.rounds for run in one.bought}, mirror)
        search = Search(
            start.allocation,
            decide,
            Sizing(start.allocation, sources, pairs, here),
            opened,
            log,
            TrunkStates(folder, trunk_bytes, mirror),
            known_runs(start, sources, opened),
            listener,
            home.put,
        )
        resources = Resources(checkpoints=folder, mirror=mirror, checkpoint_seconds=checkpoint_seconds)
        told = Relay(search, listener)
        if executor is None:
            rounds: Rounds = RoundsHere(opened, told, pairs, resources, workers)
        else:
            driver = at_end.enter_context(closing(CrewDriver(executor(opened), opened, told, workers)))
            rounds = RoundsByCrew(driver, opened, study, pairs, resources, home)
        trained, record = _spend(search, pairs, out, opened, rounds, resources, listener)
        rounds.end()
        search.tidy()
        with suppress(OSError):  # others have checkpoints there
            folder.rmdir()
        return _spent(search, pairs, out, trained, record, listener, max_queries)


def _spend(
    search: Search, pairs: Pairs, out: Path, store: Store, rounds: Rounds, resources: Resources, listener: SpendListener
) -> tuple[Path, RunRecord]:
    """Search and train final runs until one of them has a loss; the folder of the best one's model, and its record."""
    while True:
        if not search.final:
            rounds.search(partial(_more, search))
        finals, records = search.final, []
        folders = [folder_of(one, out, len(finals)) for one in finals]
        rounds.finals(finals, folders, search.check_trunk)
        for number, (one, folder) in enumerate(zip(finals, folders, strict=True), start=1):
            listener.training(one.purchase, number, len(finals))
            records.append(train_final(one, search, pairs, folder, store, resources, listener))
        if search.end_final():
            best = min((record for record in records if record.loss is not None), key=lambda one: one.loss or 0.0)
            return folders[records.index(best)], best


def _more(search: Search) -> list[RunConfig]:
    """The next runs of the search; refused where there is no model yet and nothing that the rest could train."""
    try:
        return search.more()
    except BudgetError as error:
        if not search.outcomes():
            raise
        raise RunError(f"the budget ends without a model: {error}{_instead(search)}") from None


def _instead(search: Search) -> str:
    """What to use where no final run has a loss: the best retriever among the starts, if there is one."""
    records = [record for _, record in (*search.known(), *search.outcomes())]
    loss, model, lineage = lowest_start(search.allocation.arms, records)
    if not is_of_retrievers(lineage):
        return ""
    return (
        f"; {model} as it is has a held-out loss of {loss:.3f} nats: write it by "
        f"`embudget export {model} --to sentence-transformers --out DIR`"
    )


def _spent(
    search: Search,
    pairs: Pairs,
    out: Path,
    trained: Path,
    record: RunRecord,
    listener: SpendListener,
    max_queries: int | None,
) -> SpentBudget:
    outcomes, known = tuple(search.outcomes()), tuple(search.known())
    records = [one for _, one in (*known, *outcomes)]
    decisions, allocation = tuple(search.log.decisions), search.allocation
    untrained = better_start(allocation.arms, records, record)
    if untrained is None:
        model = put_in_front(trained, out)
    else:
        model = put_start_in_front(untrained, trained, record.id, out)
        listener.untrained(untrained)
    why = _left_over(record, search)
    laws, no_laws = None, ""
    try:
        laws = fit(records)
        laws.save(out / LAWS)
    except (FitError, ConfigError) as error:
        no_laws = str(error)
    left = search.left if allocation.unit == "FLOP" else 0.0
    recipe = recipe_of(record, decisions[-1], left, why, untrained)
    recipe.save(out / RECIPE)
    evaluation = None
    if max_queries is not None:
        try:
            evaluation = evaluated(out, record, pairs, max_queries)
        except PairsError as error:  # the budget is spent, and its account is still to come
            LOG.warning("no retrieval scores: %s", error)
        else:
            listener.evaluated(evaluation)
    return SpentBudget(
        allocation,
        model,
        record,
        untrained,
        decisions,
        outcomes,
        known,
        laws,
        no_laws,
        recipe,
        evaluation,
    )  # fmt: skip


def _left_over(record: RunRecord, search: Search) -> str:
    """Why more than two steps of each final run were not spent; empty where no more is left."""
    finals = [one for _, one in search.outcomes()][-len(search.log.decisions[-1].purchases) :]
    steps = sum((one.train_flops or 0.0) / one.steps for one in finals if one.steps)
    own = (record.train_flops or 0.0) - (record.shared_flops or 0.0)
    if search.allocation.unit != "FLOP" or search.left <= 2 * steps or not own:
        return ""
    if lost := sum(one.loss is None for one in finals):
        return f"{lost} of the {len(finals)} final runs diverged or failed before the end"
    passes = "one pass" if record.config.max_epochs == 1 else f"{record.config.max_epochs} passes"
    return f"{passes} over the {record.training_pairs:,} pairs is all that max_epochs allows"
