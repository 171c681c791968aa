"""Tasks of mteb itself, whose data come from the Hugging Face hub or from its cache on this machine.

This module imports mteb inside functions alone.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, final

from embudget.errors import ConfigError, first_line, shortened
from embudget.evaluation.quiet import quiet
from embudget.evaluation.task import BenchmarkTask, TextSize

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

_ENGLISH = "en"


def mteb_task(name: str, *, english: bool = False) -> BenchmarkTask:
    """Look a task of mteb up by its name; of one in several languages perhaps the English part alone.

    Raises:
        ConfigError: mteb has no task of this name (a near one is named), or it is not one of texts.
        ModuleNotFoundError: mteb is not installed.
    """
    with quiet():
        import mteb

        try:
            task = mteb.get_task(name)
        except KeyError as error:
            reason = str(error.args[0]).removeprefix("KeyError: ")
            raise ConfigError(f"mteb {mteb.__version__} has no such task: {shortened(reason, 120)}") from None
    if task.metadata.modalities != ["text"]:
        kinds = ", ".join(task.metadata.modalities)
        raise ConfigError(f"the task {name} of mteb must be one of texts, got {kinds}")
    subsets = [_ENGLISH] if english and len(task.hf_subsets) > 1 and _ENGLISH in task.hf_subsets else None
    return OwnTask(task.metadata.name, subsets, task.metadata.type == "Retrieval")


@final
class OwnTask(BenchmarkTask):
    """A task whose data are mteb's."""

    def __init__(self, name: str, subsets: list[str] | None, ranks: bool) -> None:
        self.name, self._subsets, self.ranks = name, subsets, ranks

    def make(self) -> "AbsTask":
        """A fresh task of mteb, for one model; its data are not loaded."""
        import mteb

        return mteb.get_task(self.name, hf_subsets=self._subsets)

    def sizes(self) -> list[TextSize] | None:
        """How much text it holds, by the statistics that mteb comes with."""
        task = self.make()
        splits: Mapping[str, Any] = task.metadata.descriptive_stats or {}
        found = [texts for split in task.eval_splits for texts in _sizes(splits.get(split), self._subsets)]
        return found or None


def _sizes(stats: Any, subsets: list[str] | None) -> Iterable[TextSize]:  # noqa: ANN401 - JSON of mteb
    if not isinstance(stats, dict):
        return
    by_subset = stats.get("hf_subset_descriptive_stats")
    if subsets is not None and isinstance(by_subset, dict):
        for subset in subsets:
            yield from _sizes(by_subset.get(subset), None)
        return
    for value in stats.values():
        if isinstance(value, dict) and value.get("average_text_length"):
            mean = float(value["average_text_length"])
            yield TextSize(round(value["total_text_length"] / mean), mean)


def check_loadable(tasks: Iterable[BenchmarkTask]) -> None:
    """Refuse, before hours are spent, tasks whose data are neither on this machine nor to be had from the hub.

    Raises:
        ConfigError: names the first of them, and how to bring the data.
    """
    for task in tasks:
        if not isinstance(task, OwnTask):
            continue
        with quiet():
            made = task.make()
            try:
                made.load_data()
            except MemoryError:
                raise
            except Exception as error:  # any library below may fail: no network, data set or permission
                raise ConfigError(
                    f"the data of the task {task.name} are not on this machine and cannot be downloaded: run the same "
                    "command where there is a network, and copy its HF_HOME (~/.cache/huggingface) here "
                    f"({shortened(first_line(error), 80)})"
                ) from None
            if made.data_loaded:
                made.unload_data()
