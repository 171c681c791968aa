"""The end of a budget: the final runs, the model of the best of them, its scores, and how it was made as a recipe.

A final run goes on from its setting's trunk where that is (`embudget.training.run`), in this process, or in one for
each device where that is faster (`embudget.spending.on_devices`). It has checkpoints of its own; its record goes to the
store once its model is written. Several final runs are trained one after the other, each with a folder of its own, and
the model of the lowest held-out loss is copied to the front.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import DivergedError, OutOfMemoryError, RunError
from embudget.evaluation import Evaluation, evaluate, load_model
from embudget.evaluation.contenders import BASE
from embudget.exports.folder import RECORD_FILE, check_earlier_model, read_record
from embudget.files import save_text, whole_folder
from embudget.methods import parse_method
from embudget.pairs import Pairs
from embudget.recipe import Recipe
from embudget.recipe.choice import Untrained
from embudget.records import RunConfig, RunRecord
from embudget.spending.allocation import Decision
from embudget.spending.folder import CANDIDATES, EVALUATION, MODEL
from embudget.spending.kept_start import is_start
from embudget.spending.listener import SpendListener
from embudget.spending.on_devices import train_together
from embudget.spending.search import Search
from embudget.spending.sizing import Sized
from embudget.study import Store
from embudget.study.execution import Orders, failed_record
from embudget.study.kept import store_record
from embudget.training.launch import devices_there
from embudget.training.resources import Resources
from embudget.training.run import diverged_record, train

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TRAINED = "trained instead"
"""Name of the best trained model in the scores, where a start as it is is the model."""


def train_final(
    one: Sized, search: Search, pairs: Pairs, folder: Path, store: Store, resources: Resources, listener: SpendListener
) -> RunRecord:
    """Train a final run, or the rest of it, into a folder, and store its record.

    One that diverged or that memory did not suffice for has a record too, by which the policy decides anew. Its curve
    ends with the last step that was done, so that the rest of the budget is there for another run.

    Raises:
        RunError: the state of the trunk that it goes on from is gone, or the folder cannot be written.
        EmbudgetError: as `embudget.training.run.train`.
    """
    config, checkpoints = one.config, resources.checkpoints
    done: list[tuple[float, float]] = []

    def after_step(share: float, loss: float) -> None:
        done[:] = [(share, loss)]
        listener.progress(config, share, loss)

    record = next((record for record in store.records() if record.id == config.id and record.loss is None), None)
    record = record or _there(folder, config)
    if record is None:
        search.check_trunk(one)
        try:
            if (count := min(one.run.devices, devices_there())) > 1:
                record = train_together(count, config, Orders(pairs.folder, resources, folder), after_step)
            else:
                _, record = train(config, pairs, folder, on_progress=after_step, resources=resources, with_record=True)
        except DivergedError as error:
            record = diverged_record(config, error)
        except (MemoryError, RuntimeError, OutOfMemoryError) as error:  # torch says out of memory by a RuntimeError
            record = failed_record(config, error, done)
    store_record(store, record, checkpoints, resources.mirror)
    search.put()
    if checkpoints is not None:  # a kill behind the export leaves them
        shutil.rmtree(checkpoints / config.id, ignore_errors=True)
    if resources.mirror is not None:
        resources.mirror.remove(config.id)
    return record


def folder_of(one: Sized, out: Path, count: int) -> Path:
    """Where the model of one of so many final runs is written."""
    candidate = out / CANDIDATES / one.config.id
    beaten = (candidate / RECORD_FILE).exists()  # by a start as it is
    return out / MODEL if count == 1 and not beaten else candidate


def put_in_front(source: Path, out: Path) -> Path:
    """Have the best candidate as the model, whole or not at all.

    Raises:
        RunError: the folder cannot be written.
    """
    model = out / MODEL
    if source != model and _record_of(model) != _record_of(source):
        try:
            with whole_folder(model, check=check_earlier_model) as part:
                shutil.copytree(source, part, dirs_exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot write {model}: {error.strerror or error}") from None
    return model


def _there(folder: Path, config: RunConfig) -> RunRecord | None:
    """The record of a run whose model an earlier start has written."""
    record = _record_of(folder)
    return record if record is not None and record.config == config else None


def _record_of(folder: Path) -> RunRecord | None:
    return read_record(folder) if (folder / RECORD_FILE).exists() else None


def evaluated(
    out: Path, record: RunRecord, pairs: Pairs, max_queries: int, beside: Mapping[str, Path] | None = None
) -> Evaluation:
    """The model's retrieval scores on the test pairs beside its start's, from out/evaluation.json where they are there.

    Where a start as it is is the model, what was trained stands beside it.

    Args:
        out: folder of the spending.
        record: of the best final run.
        pairs: the text pairs.
        max_queries: test pairs that are used.
        beside: folders of further models to score, by the names to print.

    Raises:
        PairsError: there are fewer than two distinct test positives.
    """
    from embudget.training.start import load_base

    file = out / EVALUATION
    try:
        there = Evaluation.model_validate_json(file.read_text()) if file.exists() else None
    except ValueError:
        there = None
    untrained = is_start(out / MODEL)
    run = None if untrained else record.id
    if there is not None and (there.run, there.pairs) == (run, pairs.hash):
        return there
    against: dict[str, SentenceTransformer | str | Path] = dict(beside or {})
    against |= {TRAINED: out / CANDIDATES / record.id} if untrained else {BASE: load_base(record.config)}
    result = evaluate(load_model(out / MODEL), pairs, against=against, max_queries=max_queries)
    result = result.model_copy(update={"run": run})
    save_text(file, result.model_dump_json(indent=2))
    return result


def recipe_of(
    record: RunRecord, decision: Decision, left: float, left_over: str, untrained: Untrained | None = None
) -> Recipe:
    """How the final model was trained, as a recipe: `train` makes the same model of it, without the search.

    Args:
        record: of the final run.
        decision: which chose it, with what it promised.
        left: of the budget that could not be spent, FLOP.
        left_over: why; empty where it is less than a step.
        untrained: the start that is better as it is, by which `train` refuses the recipe.
    """
    config = record.config
    shared = {name: getattr(config, name) for name in set(RunConfig.model_fields) & set(Recipe.model_fields)}
    low, high = decision.interval
    return Recipe.read(
        shared
        | {
            "model_params": record.model_params,
            "tokens": record.tokens,
            "pairs": record.pairs_seen,
            "steps": record.steps,
            "training_pairs": record.training_pairs,
            "batch_source": "one size for all runs that the budget bought",
            "rate_source": "chosen by the search",
            "unspent_flops": left if left_over else 0.0,
            "left_over": left_over,
            "predicted_loss": decision.expected_loss,
            "predicted_interval": (low, high),
            "loss_interval": (low, high),
            "measured_on": config.pairs,
            "level": 0.9,
            "extrapolation": 1.0,
            "lineage": record.lineage,
            "untrained": untrained,
            "chosen": f"{100 * decision.probability:.0f} % that no other choice ends lower by more than 0.5 %, when "
            "the search ended",
        },
        f"the recipe of {parse_method(config.method)} on {config.model}",
    )
