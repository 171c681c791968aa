"""Studies to draw: the built-in laws, and simulated tables, among them those that leave most of a figure empty."""

from collections.abc import Iterator

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

from embudget.laws import Laws, find_laws
from embudget.runs import RunTable
from tests.figures.made import table_of

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def smollm2() -> Laws:
    return find_laws("smollm2")


@pytest.fixture(scope="session")
def micro() -> Laws:
    return find_laws("micro")


@pytest.fixture(scope="session")
def one_cell() -> RunTable:
    return table_of(("smollm2-135m:1",), ("full",), (1e12,))


@pytest.fixture(scope="session")
def three_ranks() -> RunTable:
    """LoRA of ranks 2, 8 and 32 on two sizes at three budgets, without laws."""
    return table_of(("smollm2-135m:1", "smollm2-135m:4"), ("lora:2", "lora:8", "lora:32"), (1e12, 4e12, 1.6e13))
