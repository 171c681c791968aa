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


def test_the_train_split_is_read(hub: dict[tuple[str, str | None], Any]) -> None:
    from datasets import Dataset, DatasetDict

    train = Dataset.from_dict({"anchor": ["a", "b"], "positive": ["c", "d"], "score": [1, 2], "group": ["x", "y"]})
    hub["org/name", None] = DatasetDict({"test": train.select([0]), "train": train})
    hub["org/name", "small"] = train.select([1])
    assert list(Hub("org/name").read()) == [RawPair("a", "c", "x"), RawPair("b", "d", "y")]
    assert list(Hub("org/name:small").read()) == [RawPair("b", "d", "y")]
    both = Hub("org/name").versions() | Hub("org/name:small").versions()
    assert both.keys() == {"org/name", "org/name:small"} and len(set(both.values())) == 2
    assert Hub("org/name").licences() == {"org/name": "see the data set's card"}


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
