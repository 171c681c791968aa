"""The whole path in minutes: pairs, a small study, laws, a recipe beyond the study, its model, its scores, a report.

Every stage leaves its result in one folder. Pairs, runs, the model and its scores are not made again when they are
there, so that an interrupted start is taken up where it stopped; laws and report take seconds and are.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

from embudget.errors import ConfigError
from embudget.evaluation import Evaluation, evaluate, load_model
from embudget.exports.folder import RECORD_FILE, check_folder, read_record
from embudget.files import write_whole
from embudget.laws import Laws, fit
from embudget.pairs import Pairs, build_pairs
from embudget.pairs.folder import check_replaceable
from embudget.recipe import Recipe, recommend
from embudget.records import RunRecord
from embudget.report import write_report
from embudget.study import Store, Study, SweepListener, plan, sweep
from embudget.study.planning import flops_per_second
from embudget.training.run import train
from embudget.training.yardstick import measured_on
from embudget.yardstick import loss_text

if TYPE_CHECKING:
    from embudget.training.run import OnProgress

BEYOND = 4
"""The recipe is asked for at this multiple of the largest measured budget."""


class Size(NamedTuple):
    """How much a quickstart does."""

    sources: tuple[str, ...]
    """Sources of text pairs."""
    pairs_limit: int | None
    """Pairs to take from each source; None takes all."""
    study: dict[str, object]
    """The study, as in its YAML file."""
    max_queries: int
    """Test pairs for the retrieval scores."""


FULL = Size(
    sources=("demo",),
    pairs_limit=None,
    study={
        "members": ["smollm2-135m:1", "smollm2-135m:2", "smollm2-135m:4", "smollm2-135m:8"],
        "methods": ["full", "freeze:0.5", "lora:32"],
        "budgets": [1.5e11, 6e11, 2.4e12],
        "pairs": "pairs",
        "schedule": "cosine",
        # the best of three rates at 5e11 FLOP on most depths: studies/rates.yaml, docs/log.md
        "learning_rates": {"full": [1.5e-3], "freeze:0.5": [3e-3], "lora:32": [4e-3]},
        "min_steps": 8,
    },
    max_queries=2000,
)

SMOKE = Size(
    sources=("google-docs",),
    pairs_limit=4000,
    study={
        "members": ["smollm2-135m:1", "smollm2-135m:2", "smollm2-135m:3"],
        "methods": ["full", "freeze:0.5", "lora:32"],
        "budgets": [5e9, 2e10, 8e10],
        "pairs": "pairs",
        "schedule": "cosine",
        "batch_size": 4,
        "min_steps": 1,
        "eval_pairs": 32,
        "eval_candidates": 32,
    },
    max_queries=50,
)


class Screen:
    """Is told how a quickstart goes on; this base class ignores it."""

    def stage(self, title: str, seconds: float | None) -> None:
        """A stage begins, and takes about so many seconds where that is known."""

    def say(self, text: str) -> None:
        """There is a result."""

    @contextmanager
    def bar(self, title: str) -> Iterator["OnProgress"]:
        """A progress bar over the budget of one training run."""
        yield lambda share, loss: None

    @contextmanager
    def counter(self, title: str) -> Iterator[Callable[[str, int], None]]:
        """A count of what is read."""
        yield lambda what, count: None

    @contextmanager
    def sweep(self) -> Iterator[SweepListener]:
        """A progress bar over the FLOP of a study."""
        yield SweepListener()


def quickstart(out: str | Path, *, smoke: bool = False, screen: Screen | None = None) -> Path:
    """Go the whole path in the folder ``out``, or the rest of it.

    Args:
        out: folder for pairs/, study.yaml, study.db, laws.json, recipe.yaml, model/, evaluation.json, report.html.
        smoke: a tiny version that checks the installation; what it finds out means nothing.
        screen: told of the progress and of the results.

    Returns:
        The folder.

    Raises:
        ConfigError: the folder cannot be written, or holds what no quickstart wrote.
        EmbudgetError: what a stage raises.

    Example:
        >>> folder = eb.quickstart("quickstart/")
    """
    screen, out = screen or Screen(), Path(out)
    size = SMOKE if smoke else FULL
    try:
        out.mkdir(parents=True, exist_ok=True)
        _check_ours(out)
        if not (out / "study.yaml").exists():
            write_whole(out / "study.yaml", _study_text(size))
        pairs = _pairs(out, size, screen)
        records = _sweep(out, pairs, screen)
        screen.stage("laws", 5)
        laws = fit(records)
        laws.save(out / "laws.json")
        screen.say(laws.summary())
        recipe, record = _train(out, laws, records, pairs, screen)
        _evaluate(out, record, pairs, size, screen)
        screen.stage("report", 3)
        write_report(out / "report.html", records, laws, recipe, record)
    except OSError as error:
        raise ConfigError(f"cannot write the folder {out}: {error.strerror or error}") from None
    screen.say(_closing(out))
    return out


MARK = "# embudget quickstart: edit this study, and the same command goes on with it\n"
"""The first line of the study, by which a later start knows the folder for its own."""
RESULTS = ("laws.json", "recipe.yaml", "evaluation.json", "report.html", "study.db", "pairs", "model")


def _study_text(size: Size) -> str:
    return MARK + yaml.safe_dump(size.study, sort_keys=False)


def _check_ours(out: Path) -> None:
    """Refuse, before minutes are spent, a folder in which a quickstart would replace what it did not write.

    Raises:
        ConfigError: the study in it is somebody's, or other results lie there without a study.
        RunError, PairsError: the model or the pairs in it are somebody's.
        OSError: it cannot be read.
    """
    study = out / "study.yaml"
    if study.exists():
        text = study.read_text(encoding="utf-8", errors="replace")
        earlier = {_study_text(size).removeprefix(MARK) for size in (FULL, SMOKE)}  # had no mark
        if not text.startswith(MARK) and text not in earlier:
            raise ConfigError(f"{study} is a study of yours, not of a quickstart: name another folder")
    elif there := [name for name in RESULTS if os.path.lexists(out / name)]:
        raise ConfigError(f"{out} holds {there[0]}, and no study.yaml of a quickstart: name another folder")
    check_folder(out / "model")
    check_replaceable(out / "pairs")


def _pairs(out: Path, size: Size, screen: Screen) -> Pairs:
    from embudget.suite.loading import find_checkpoint

    screen.stage("models and pairs", 120)
    members = [shape.name for shape in Study.from_yaml(out / "study.yaml").shapes()]
    checkpoint = find_checkpoint(members[0])
    screen.say(f"suite: {', '.join(members)} from {checkpoint.identity}")
    with screen.counter("pairs") as progress:
        pairs = build_pairs(
            size.sources,
            out / "pairs",
            limit=size.pairs_limit,
            on_progress=progress,
            on_remark=lambda line: None,  # how much of the documentation repeats itself is no news
        )
    counts = ", ".join(f"{pairs.rows(split):,} {split}" for split in ("train", "validation", "test"))
    screen.say(f"pairs: {counts} ({pairs.hash})")
    return pairs


def _sweep(out: Path, pairs: Pairs, screen: Screen) -> list[RunRecord]:
    study = Study.from_yaml(out / "study.yaml")
    with Store(out / "study.db") as store:
        there = store.records()
        screen.stage("sweep", plan(study, pairs, there).without({record.id for record in there}).seconds)
        with screen.sweep() as listener:
            return sweep(study, store, listener=listener, retry_failed=True)


def _train(out: Path, laws: Laws, records: list[RunRecord], pairs: Pairs, screen: Screen) -> tuple[Recipe, RunRecord]:
    budget = BEYOND * max(record.config.train_flops for record in records)
    recipe = recommend(laws, budget, pairs_available=pairs.rows("train"))
    recipe.save(out / "recipe.yaml")
    config = measured_on(recipe.run_config(pairs.hash), pairs)
    record = read_record(out / "model") if (out / "model" / RECORD_FILE).exists() else None
    speed = flops_per_second(records)
    done = record is not None and record.config == config
    screen.stage("recipe", 0 if done or speed is None else budget / speed)
    screen.say(str(recipe))
    if record is None or not done:
        with screen.bar(f"{recipe.model} {recipe.method}") as progress:
            _, record = train(config, pairs, out / "model", on_progress=progress, with_record=True)
    assert record.loss is not None
    low, high = recipe.predicted_interval
    screen.say(
        f"held-out loss: predicted {recipe.predicted_loss:.3f} ({low:.3f} to {high:.3f}), measured "
        f"{loss_text(record.loss, record.groups)}, off by {100 * (record.loss / recipe.predicted_loss - 1):+.1f} %"
    )
    return recipe, record


def _evaluate(out: Path, record: RunRecord, pairs: Pairs, size: Size, screen: Screen) -> None:
    from embudget.training.start import load_base

    file = out / "evaluation.json"
    there = _evaluation_in(file)
    if there is not None and (there.run, there.pairs) == (record.id, pairs.hash):
        screen.stage("evaluation", 0)
        screen.say(str(there))
        return
    screen.stage("evaluation", 60)
    config = record.config
    base = load_base(config)
    model, against = load_model(out / "model"), {"untrained base": base}
    result = evaluate(model, pairs, against=against, max_queries=size.max_queries)
    result = result.model_copy(update={"run": record.id})
    write_whole(file, result.model_dump_json(indent=2))
    screen.say(str(result))


def _evaluation_in(file: Path) -> Evaluation | None:
    """Earlier scores; None without any, or where they cannot be read and must be made again."""
    try:
        return Evaluation.model_validate_json(file.read_text()) if file.exists() else None
    except ValueError:
        return None


def _closing(out: Path) -> str:
    return "\n".join(
        [
            f"model    {out / 'model'}        SentenceTransformer({str(out / 'model')!r})",
            f"recipe   {out / 'recipe.yaml'}",
            f"laws     {out / 'laws.json'}    embudget recipe {out / 'laws.json'} --budget 1e14",
            f"records  {out / 'study.db'}     embudget records {out / 'study.db'}",
            f"report   {out / 'report.html'}  open it in a browser",
            f"next     edit {out / 'study.yaml'} (members, methods, budgets), then",
            f"         embudget sweep {out / 'study.yaml'} --store {out / 'study.db'}",
        ]
    )
