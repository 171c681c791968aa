"""Local data as tasks of mteb: its classes with the data already in them, so that mteb defines every metric.

    retrieval       nDCG@10 of the right documents among all
    sts             Spearman correlation of the cosine with people's scores
    classification  accuracy of a logistic regression on 8 training texts a label, mean of 10 draws
    clustering      V-measure of k-means with as many clusters as labels, mean of 10 draws

This module imports mteb when it is loaded, so import it inside functions only. mteb draws from a random state that each
task keeps, so a task serves one model: make another for the next.
"""

from collections.abc import Mapping
from typing import Any, Literal

import mteb  # noqa: F401 - its registry of tasks is made first, so that ours are not in it
from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTaskClassification, AbsTaskClustering, AbsTaskRetrieval, AbsTaskSTS
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.tasks import Banking77Classification

from embudget.evaluation.beir import RetrievalData
from embudget.evaluation.labelled import Labelled, ScoredPairs

MAX_CLUSTERED = 2048
"""Texts of a clustering task that are embedded, as most clustering tasks of mteb do."""

_MAIN_SCORES = {
    "Retrieval": "ndcg_at_10", "STS": "cosine_spearman", "Classification": "accuracy", "Clustering": "v_measure",
}  # fmt: skip


def _metadata(
    name: str, kind: Literal["Retrieval", "STS", "Classification", "Clustering"], content: str
) -> TaskMetadata:
    return TaskMetadata(
        name=name,
        description=f"{kind} on data of the user's own.",
        dataset={"path": f"local/{name}", "revision": content},
        type=kind,
        category="t2c" if kind == "Classification" else "t2t",
        eval_langs=["eng-Latn"],  # only BM25's stop words depend on it
        main_score=_MAIN_SCORES[kind],
    )


class LocalRetrieval(AbsTaskRetrieval):
    """Retrieval over documents of the user's own."""

    def __init__(self, name: str, content: str, data: RetrievalData) -> None:
        self.metadata = _metadata(name, "Retrieval", content)
        self.ignore_identical_ids = data.ids_are_texts
        super().__init__()
        titles, texts = zip(*data.documents.values(), strict=True)
        split = RetrievalSplitData(
            corpus=Dataset.from_dict({"id": list(data.documents), "title": titles, "text": texts}),
            queries=Dataset.from_dict({"id": list(data.queries), "text": list(data.queries.values())}),
            relevant_docs={query: dict(right) for query, right in data.relevant.items()},
            top_ranked=None,
        )
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:  # noqa: ANN401 - of mteb's signature
        """Do nothing: the data are there."""


class LocalSTS(AbsTaskSTS):
    """Semantic textual similarity on pairs of the user's own."""

    def __init__(self, name: str, content: str, data: ScoredPairs) -> None:
        self.metadata = _metadata(name, "STS", content)
        super().__init__()
        columns = {"sentence1": data.first, "sentence2": data.second, "score": data.scores}
        self.dataset = {"default": DatasetDict({"test": Dataset.from_dict(columns)})}
        self.data_loaded = True

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:  # noqa: ANN401 - of mteb's signature
        """Do nothing: the data are there."""


class LocalClassification(AbsTaskClassification):
    """Classification of texts of the user's own."""

    def __init__(self, name: str, content: str, train: Labelled, test: Labelled) -> None:
        self.metadata = _metadata(name, "Classification", content)
        super().__init__()
        self.dataset = _classified(train, test)
        self.data_loaded = True

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:  # noqa: ANN401 - of mteb's signature
        """Do nothing: the data are there."""


class LocalBanking77(Banking77Classification):
    """mteb's own Banking77Classification, with its name and parameters, on a copy of the data from a folder."""

    def __init__(self, name: str, content: str, train: Labelled, test: Labelled) -> None:
        place = {"path": "local/banking77", "revision": content}
        self.metadata = Banking77Classification.metadata.model_copy(update={"dataset": place})
        super().__init__()
        self.dataset = _classified(train, test)
        self.data_loaded = True

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:  # noqa: ANN401 - of mteb's signature
        """Do nothing: the data are there."""


class LocalClustering(AbsTaskClustering):
    """Clustering of texts of the user's own."""

    max_fraction_of_documents_to_embed = None
    max_document_to_embed = MAX_CLUSTERED

    def __init__(self, name: str, content: str, data: Labelled) -> None:
        self.metadata = _metadata(name, "Clustering", content)
        super().__init__()
        columns = {"sentences": data.texts, "labels": data.labels}
        self.dataset = {"default": DatasetDict({"test": Dataset.from_dict(columns)})}
        self.data_loaded = True

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:  # noqa: ANN401 - of mteb's signature
        """Do nothing: the data are there."""


def _classified(train: Labelled, test: Labelled) -> dict[str, DatasetDict]:
    """Both splits, their labels numbered in the order of the alphabet, as Hugging Face's datasets number them."""
    places: Mapping[str, int] = {label: place for place, label in enumerate(sorted({*train.labels, *test.labels}))}
    splits = {
        name: Dataset.from_dict({"text": data.texts, "label": [places[label] for label in data.labels]})
        for name, data in (("train", train), ("test", test))
    }
    return {"default": DatasetDict(splits)}
