"""A data set of the hub is read as files are, and every failure is one line."""

from collections.abc import Iterator
from typing import Any

import pytest

from embudget.errors import PairsError
from embudget.pairs import RawPair
from embudget.pairs.sources.hub import Hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[tuple[str, str | None], Any]]:
    """What the hub would answer: (name, configuration) -> data."""
    import datasets

    answers: dict[tuple[str, str | None], Any] = {}
    monkeypatch.setattr(datasets, "load_dataset", lambda name, configuration: answers[name, configuration])
    yield answers


def test_splits_are_read_by_name_and_configuration(hub: dict[tuple[str, str | None], Any]) -> None:
    from datasets import Dataset, DatasetDict

    train = Dataset.from_dict({"anchor": ["a", "b"], "positive": ["c", "d"], "score": [1, 2], "group": ["x", "y"]})
    hub["org/name", None] = DatasetDict({"train": train, "dev": train.select([0]), "extra": train})
    hub["org/name", "small"] = train.select([1])
    source = Hub("org/name")
    assert list(source.read()) == [
        RawPair("a", "c", "x", (), "validation"),
        RawPair("a", "c", "x", (), "train"),
        RawPair("b", "d", "y", (), "train"),
    ]
    assert (source.unused.splits, source.unused.columns) == (("extra",), ("score",))
    assert source.read_as == ("sentence-transformers: anchor, positive",)
    assert list(Hub("org/name", resplit=True).read()) == [RawPair("a", "c", "x"), RawPair("b", "d", "y")]
    assert list(Hub("org/name:small").read()) == [RawPair("b", "d", "y")]
    both = Hub("org/name").versions() | Hub("org/name:small").versions()
    assert both.keys() == {"org/name", "org/name:small"} and len(set(both.values())) == 2
    assert Hub("org/name").licences() == {"org/name": "see the data set's card"}


def test_layouts_with_lists_and_scores_are_read(hub: dict[tuple[str, str | None], Any]) -> None:
    from datasets import Dataset

    hub["org/lists", None] = Dataset.from_list(
        [{"query": "q", "pos": ["p1", "p2"], "neg": ["n"], "prompt": "x"}, {"query": "r", "pos": ["p3"], "neg": []}]
    )
    hub["org/passages", None] = Dataset.from_list(
        [{"query": "q", "positive_passages": [{"docid": "1", "title": "T", "text": "t"}], "negative_passages": []}]
    )
    hub["org/scores", None] = Dataset.from_dict({"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [0.9, 0.1]})
    assert list(Hub("org/lists").read()) == [
        RawPair("q", "p1", None, ("n",)), RawPair("q", "p2", None, ("n",)), RawPair("r", "p3", None)
    ]  # fmt: skip
    assert list(Hub("org/passages").read()) == [RawPair("q", "T t", None)]
    assert list(Hub("org/scores").read()) == [RawPair("a", "c", None)]
    assert len(list(Hub("org/scores", threshold=0.1).read())) == 2


def test_bad_data_is_refused(hub: dict[tuple[str, str | None], Any]) -> None:
    from datasets import Dataset

    hub["org/name", None] = Dataset.from_dict({"query": ["a", None], "positive": ["c", "d"]})
    hub["org/empty", None] = Dataset.from_dict({"query": [], "positive": []})
    with pytest.raises(PairsError, match=r"^hub:org/name row 2: column 'query' must be a string, got null; mend it"):
        list(Hub("org/name").read())
    with pytest.raises(PairsError, match=r"^hub:org/name: column 'title' is missing; there are query, positive$"):
        list(Hub("org/name", ("title", "positive")).read())
    with pytest.raises(PairsError, match=r"^hub:org/empty is empty"):
        list(Hub("org/empty").read())


def test_without_the_hub_it_is_one_line() -> None:
    with pytest.raises(PairsError, match=r"^cannot load hub:embudget-test/does-not-exist: .") as caught:
        Hub("embudget-test/does-not-exist").versions()
    assert "\n" not in str(caught.value)
