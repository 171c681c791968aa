"""Scoring the model of each run of a study, and putting the scores into its record.

A study names tasks under `evaluate:`. They are no part of a run's id: two runs that differ in nothing else are the same
run. So a run that has a record is not trained again for scores that it lacks, since its model is not kept.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from embudget.errors import first_line
from embudget.evaluation.benchmark import check_mteb
from embudget.evaluation.contender import EmbeddingContender
from embudget.evaluation.mteb_own import check_loadable
from embudget.evaluation.quiet import quiet
from embudget.evaluation.scoring import evaluate_task
from embudget.evaluation.task import BenchmarkTask
from embudget.evaluation.tasks import read_tasks
from embudget.records import RunRecord

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

LOG = logging.getLogger(__name__)


class RunScorer:
    """Scores models on the same tasks, one after the other.

    Args:
        words: tasks, as `embudget.evaluation.benchmark.benchmark` takes them.

    Raises:
        ConfigError: a task does not exist, its data break a rule, or mteb is not installed.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.tasks: list[BenchmarkTask] = []
        self.missing: list[str] = []
        if words:
            check_mteb()
            self.tasks, self.missing = read_tasks(words)

    def check(self) -> None:
        """Refuse, before anything is trained, tasks whose data cannot be had; say what else is missing.

        Raises:
            ConfigError: names the first of them.
        """
        check_loadable(self.tasks)
        for line in self.missing:
            LOG.warning("not evaluated: %s", line)

    def __call__(self, model: "SentenceTransformer", record: RunRecord) -> RunRecord:
        """The record with the model's main scores; the random states and the model are left as they were.

        A task that fails costs its own score alone: the failure is logged, and stands in the record where nothing else
        went wrong.
        """
        if not self.tasks or record.status == "diverged":
            return record
        scores: dict[str, float] = {}
        failures: list[str] = []
        contender = EmbeddingContender("the model", record.id, lambda: model)
        training = model.training
        try:
            with quiet():
                for task in self.tasks:
                    try:
                        score = float(evaluate_task(contender, task).get_score())
                    except Exception as error:  # whatever mteb's libraries raise, the run is paid for
                        failures.append(f"{task.name}: {first_line(error)[:150]}")
                        continue
                    if math.isfinite(score):
                        scores[task.name] = score
                    else:
                        failures.append(f"{task.name}: it gives no score, since all embeddings are alike")
        finally:
            model.train(training)
        for failure in failures:
            LOG.warning("run %s is kept without a score: %s", record.id, failure)
        told = record.error or (f"not evaluated: {'; '.join(failures)}"[:300] if failures else None)
        return record.model_copy(update={"scores": scores, "error": told})

    def say_unscored(self, records: Iterable[RunRecord]) -> None:
        """Say how many runs lack a score: their models are gone, so that nothing can score them."""
        names = {task.name for task in self.tasks}
        lacking = [record for record in records if record.status == "done" and names - set(record.scores)]
        if lacking:
            LOG.warning(
                "%d runs lack a score of some task under evaluate: they were trained before it was named, or it "
                "failed. Their models are not kept; a sweep with another store trains them anew and scores them",
                len(lacking),
            )
