"""Scoring one system on one task by mteb, or finding the score in the cache.

    CACHE/results/...               scores on mteb's own tasks, in mteb's layout
    CACHE/local/CONTENT/results/... scores on local data, by the hash of the data
    CACHE/cost/REVISION/...         texts and seconds of each task, and the number of parameters

A score counts only if it is of this system (its revision is a hash of the model's files), of these data, and of the
installed mteb. Each task is written when it ends, so that a benchmark that was killed goes on with the next one.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import ConfigError, EmbudgetError, ModelError, first_line
from embudget.evaluation.contender import Contender
from embudget.evaluation.task import BenchmarkTask
from embudget.files import write_whole

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from mteb.cache import ResultCache
    from mteb.results import TaskResult

BATCH = 32
"""Texts that a model embeds at a time, mteb's own default."""


class ScoreCache:
    """Scores in a folder.

    Raises:
        ConfigError: the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cache must be a folder that can be made, got {folder}: {error.strerror}") from None

    def of(self, task: BenchmarkTask) -> "ResultCache":
        """The part of the cache that holds a task's scores."""
        from mteb.cache import ResultCache

        return ResultCache(self.folder if task.content is None else self.folder / "local" / task.content)

    def find(self, contender: Contender, task: BenchmarkTask) -> "TaskResult | None":
        """A system's whole result on a task; None where there is none, or one of another mteb."""
        import mteb

        made = task.make()
        found = self._read(contender, task, made)
        if found is None or found.mteb_version != mteb.__version__ or found.get_missing_evaluations(made):
            return None
        return found.validate_and_filter_scores(made)

    def _read(self, contender: Contender, task: BenchmarkTask, made: "AbsTask") -> "TaskResult | None":
        """What the file holds; a file that was cut short is removed."""
        cache, name, meta = self.of(task), made.metadata.name, contender.meta()
        try:
            return cache.load_task_result(name, meta)
        except (ValueError, KeyError, OSError):
            with suppress(OSError):
                cache.get_task_result_path(name, meta).unlink()
            return None

    def score(self, contender: Contender, task: BenchmarkTask) -> "TaskResult":
        """Let mteb score a system on a task; parts that an interrupted call left are kept."""
        import mteb

        before = self._read(contender, task, task.make())
        fresh = before is None or before.mteb_version != mteb.__version__
        return evaluate_task(contender, task, self.of(task), "always" if fresh else "only-missing")

    def note(self, contender: Contender, name: str, values: object) -> None:
        """Keep a fact about a system, such as what a task took."""
        file = self._cost(contender, name)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps(values))
        except OSError as error:
            raise ConfigError(f"cannot write {file}: {error.strerror}") from None

    def noted(self, contender: Contender, name: str) -> list[float] | None:
        """A fact that was kept; None where none was."""
        try:
            values = json.loads(self._cost(contender, name).read_text())
        except (OSError, ValueError):
            return None
        return values if isinstance(values, list) and len(values) == 2 else None

    def _cost(self, contender: Contender, name: str) -> Path:
        return self.folder / "cost" / contender.revision / f"{name}.json"


def evaluate_task(
    contender: Contender, task: BenchmarkTask, cache: "ResultCache | None" = None, strategy: str = "always"
) -> "TaskResult":
    """Let mteb score a system on a task.

    Returns:
        The scores of the languages and splits of this task, of which the cache may hold more.

    Raises:
        ModelError: its embeddings are not finite, or mteb and the libraries below it fail on them.
    """
    import mteb

    made = task.make()
    try:
        result = mteb.evaluate(
            contender.model(),
            made,
            co2_tracker=False,
            cache=cache,
            overwrite_strategy=strategy,
            encode_kwargs={"batch_size": BATCH, "show_progress_bar": False},
            show_progress_bar=False,
        )
    except EmbudgetError as error:
        raise type(error)(f"{contender.name} on {task.name}: {error}") from None
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"mteb cannot score {contender.name} on {task.name}: {first_line(error)[:150]}") from error
    return result.task_results[0].validate_and_filter_scores(made)
