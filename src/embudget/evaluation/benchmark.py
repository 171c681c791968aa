"""Scoring a model on benchmark tasks, beside its untrained base, all-MiniLM-L6-v2, BM25 and TF-IDF."""

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.cache import cache_folder
from embudget.errors import ConfigError
from embudget.evaluation.contender import Contender, EmbeddingContender
from embudget.evaluation.contenders import contenders_of
from embudget.evaluation.hours import fitting, measure_speed, seconds_of
from embudget.evaluation.leaderboard import Leaderboard, Standing
from embudget.evaluation.mteb_own import check_loadable
from embudget.evaluation.quiet import quiet
from embudget.evaluation.scoring import ScoreCache
from embudget.evaluation.task import BenchmarkTask
from embudget.evaluation.tasks import places_of, read_tasks
from embudget.outputs import check_added_to

if TYPE_CHECKING:
    from mteb.results import TaskResult
    from sentence_transformers import SentenceTransformer

OnScore = Callable[[str, str, float | None, bool], None]
"""Called with system, task, score (None where there is none) and whether it came from the cache."""


def benchmark(
    model: "SentenceTransformer | str | Path",
    tasks: Sequence[str],
    *,
    against: "Mapping[str, SentenceTransformer | str | Path] | None" = None,
    base: bool = True,
    baselines: bool = True,
    cache: str | Path | None = None,
    out: str | Path | None = None,
    max_hours: float | None = None,
    on_score: OnScore | None = None,
) -> Leaderboard:
    """Score a model on tasks of your own and of mteb, which defines every metric.

    The package mteb must be installed: ``pip install 'embudget[mteb]'``. To rank the test split of your pairs without
    it, see `embudget.evaluate`.

    Args:
        model: a sentence-transformers model, or a folder that holds one. Its prompts are used.
        tasks: any of ``retrieval=DIR`` (BEIR's layout, or text pairs), ``sts=FILE``, ``classification=FILE`` or a
            folder, ``clustering=FILE``, ``mteb:NAME``, ``paper`` (the 15 tasks of the paper) and ``offline``.
        against: further models to score, or their folders, by the names to print.
        base: whether to score what the model was before embudget trained it, where it is a folder with a record.
        baselines: whether to score all-MiniLM-L6-v2, and on retrieval BM25 and TF-IDF.
        cache: folder of scores that are not made again; by default ``benchmarks`` in embudget's cache folder.
        out: folder for mteb's own result files.
        max_hours: what the tasks may take together, by estimate; the largest are left out.
        on_score: told of each score.

    Returns:
        The scores with the number of parameters and the texts per second of each system.

    Raises:
        ConfigError: a task does not exist, its data break a rule or cannot be had, mteb is not installed, or a folder
            cannot be written.
        ModelError: a folder holds no sentence-transformers model, or its embeddings are not finite.
        PairsError: a folder of pairs cannot be used.

    Example:
        >>> print(eb.benchmark("model/", ["retrieval=faq/", "mteb:Banking77Classification"]))
    """
    check_mteb()
    if max_hours is not None and not max_hours > 0:
        raise ConfigError(f"max_hours must be > 0, got {max_hours:g}")
    read, missing = read_tasks(list(tasks))
    inputs = [one for one in (model, *(against or {}).values()) if isinstance(one, str | Path)]
    inputs += places_of(tasks)
    for name, folder in (("out", out), ("cache", cache)):
        if folder is not None:
            check_added_to(folder, inputs, name)
    with quiet():
        contenders, absent = contenders_of(model, against or {}, read, base, baselines)
        store = ScoreCache(cache_folder() / "benchmarks" if cache is None else Path(cache))
        known = {(one.name, task.name): store.find(one, task) for one in contenders for task in read if one.takes(task)}
        late: list[str] = []
        if max_hours is not None:
            read, late = _within(read, contenders, known, max_hours)
        check_loadable(task for task in read if any(_lacks(known, one, task) for one in contenders))
        systems = {}
        for one in contenders:
            systems[one.name] = _stand(one, read, store, known, Path(out) if out is not None else None, on_score)
            one.release()
        return _board(read, systems, [*missing, *absent, *late])


def check_mteb() -> None:
    """Refuse to begin without mteb.

    Raises:
        ConfigError: it is not installed.
    """
    if importlib.util.find_spec("mteb") is None:
        raise ConfigError("benchmarks need the package mteb: pip install 'embudget[mteb]'")


_Known = Mapping[tuple[str, str], "TaskResult | None"]
"""(system, task) -> the result in the cache, None where it holds none; systems stand here with what they take alone."""


def _lacks(known: _Known, contender: Contender, task: BenchmarkTask) -> bool:
    """Whether a system must be scored on a task: it takes it, and the cache has no result."""
    place = contender.name, task.name
    return place in known and known[place] is None


def _within(
    tasks: list[BenchmarkTask], contenders: Sequence[Contender], known: _Known, hours: float
) -> tuple[list[BenchmarkTask], list[str]]:
    """The tasks that fit into the hours, all embedding models together, and a line on each other one."""
    seconds: dict[str, float | None] = {task.name: 0.0 for task in tasks}
    for one in contenders:
        missing = [task for task in tasks if _lacks(known, one, task)]
        if not missing or not isinstance(one, EmbeddingContender):
            continue
        speed = measure_speed(one.embedder(), tasks)
        one.release()
        for task in missing:
            need, before = seconds_of(task, speed), seconds[task.name]
            seconds[task.name] = None if need is None or before is None else before + need
    chosen, late = fitting(seconds, hours)
    return [task for task in tasks if task.name in chosen], late


def _stand(
    contender: Contender,
    tasks: Sequence[BenchmarkTask],
    store: ScoreCache,
    known: _Known,
    out: Path | None,
    on_score: OnScore | None,
) -> Standing:
    """Score a system on all tasks that it can do, and sum up what it costs."""
    scores: dict[str, float] = {}
    texts, seconds = 0.0, 0.0
    for task in (task for task in tasks if contender.takes(task)):
        result, where = known[contender.name, task.name], f"{task.name}-{task.content or 'hub'}"
        cached = result is not None
        if result is None:
            contender.texts, contender.seconds = 0, 0.0
            result = store.score(contender, task)
            store.note(contender, where, [contender.texts, contender.seconds])
        took = store.noted(contender, where) or [0, 0.0]
        texts, seconds = texts + took[0], seconds + took[1]
        if out is not None:
            _write(result, contender, out)
        score = float(result.get_score())
        if math.isfinite(score):
            scores[task.name] = score
        if on_score is not None:
            on_score(contender.name, task.name, scores.get(task.name), cached)
    sizes = store.noted(contender, "parameters")
    if sizes is None and (counted := contender.parameters()) is not None:
        sizes = list(counted)
        store.note(contender, "parameters", sizes)
    return Standing(
        revision=contender.revision,
        parameters=None if sizes is None else int(sizes[0]),
        model_params=None if sizes is None else int(sizes[1]),
        texts_per_second=texts / seconds if seconds else None,
        scores=scores,
    )


def _write(result: "TaskResult", contender: Contender, out: Path) -> None:
    """Write a result where mteb looks for it: OUT/results/NAME/REVISION/TASK.json."""
    from mteb.cache import ResultCache

    try:
        ResultCache(out).save_to_cache(result, contender.meta(contender.name))
    except OSError as error:
        raise ConfigError(f"out must be a folder that can be written, got {out}: {error.strerror or error}") from None


def _board(tasks: Sequence[BenchmarkTask], systems: dict[str, Standing], left_out: Sequence[str]) -> Leaderboard:
    import mteb

    metrics = {task.name: task.make().metadata.main_score for task in tasks}
    return Leaderboard(mteb=mteb.__version__, metrics=metrics, systems=systems, left_out=tuple(left_out))
