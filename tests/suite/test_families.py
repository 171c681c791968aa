"""The built-in families: published counts, and that every name leads somewhere."""

import pytest

from embudget.suite import DEFAULT_SUITE, SHAPES, SUITES, find_shape, find_suite
from embudget.suite.loading import PACKAGES


@pytest.mark.parametrize(
    ("name", "published"),
    [
        # the column of non-embedding parameters in the model cards of EleutherAI/pythia-*
        ("pythia-14m", 1_189_888),
        ("pythia-31m", 4_739_072),
        ("pythia-70m", 18_915_328),
        ("pythia-160m", 85_056_000),
        ("pythia-410m", 302_311_424),
        ("pythia-1b", 805_736_448),
        ("pythia-1.4b", 1_208_602_624),
        ("pythia-2.8b", 2_517_652_480),
        ("pythia-6.9b", 6_444_163_072),
        ("pythia-12b", 11_327_027_200),
    ],
)
def test_pythia_has_the_published_non_embedding_parameters(name: str, published: int) -> None:
    assert SHAPES[name].model_params == published


def test_qwen3_has_the_published_total() -> None:
    # keras-hub's preset of the checkpoint: 596,049,920 parameters with tied embeddings
    shape = SHAPES["qwen3-0.6b"]
    assert shape.model_params + shape.embedding_params == 596_049_920


@pytest.mark.parametrize("name", [name for name in SHAPES if not name.startswith(("pythia", "micro"))])
def test_names_carry_the_nominal_size(name: str) -> None:
    text = name.rpartition("-")[2]
    nominal = float(text[:-1]) * {"m": 1e6, "b": 1e9}[text[-1]]
    shape = SHAPES[name]
    assert 0.95 * nominal < shape.model_params + shape.embedding_params < 1.3 * nominal


@pytest.mark.parametrize(("name", "nominal"), [("200k", 2e5), ("450k", 4.5e5), ("1m", 1.2e6), ("3m", 2.9e6)])
def test_micro_models_are_called_by_their_non_embedding_parameters(name: str, nominal: float) -> None:
    assert SHAPES[f"micro-{name}"].model_params == pytest.approx(nominal, rel=0.01)


def test_every_suite_is_found_in_order_of_size() -> None:
    for name, members in SUITES.items():
        shapes = find_suite(name)
        assert {shape.name for shape in shapes} == set(members)
        sizes = [shape.model_params for shape in shapes]
        assert sizes == sorted(sizes)


def test_every_checkpoint_belongs_to_the_suite_of_its_family() -> None:
    family_suites = {shape.family for shape in SHAPES.values()} - {"smollm2"} | {"smollm2-family"}
    assert family_suites | {DEFAULT_SUITE} == set(SUITES)
    assert sorted(name for suite in family_suites for name in SUITES[suite]) == sorted(SHAPES)


def test_the_default_suite_is_one_checkpoint_that_a_package_carries() -> None:
    assert SUITES[DEFAULT_SUITE] == tuple(f"smollm2-135m:{depth}" for depth in (1, 2, 3, 4, 6, 8, 12, 16, 30))
    assert "smollm2-135m" in PACKAGES
    assert find_shape("smollm2-135m:30").model_params == SHAPES["smollm2-135m"].model_params
