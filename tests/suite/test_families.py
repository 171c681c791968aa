"""The built-in families: published counts, and that every name leads somewhere."""

import re

import pytest

from embudget.suite import DEFAULT_SUITE, SHAPES, SUITES, find_shape, find_suite, start_of
from embudget.suite.families import STARTS
from embudget.suite.packages import PACKAGES


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


@pytest.mark.parametrize(
    ("name", "published"),
    [
        # mteb's entries of these checkpoints; for the Ettin encoders, of the rerankers made from them
        ("qwen3-embedding-0.6b", 595_776_512),
        ("qwen3-embedding-4b", 4_021_774_336),
        ("qwen3-embedding-8b", 7_567_295_488),
        ("ettin-encoder-17m", 16_797_440),
        ("ettin-encoder-32m", 31_883_136),
        ("ettin-encoder-68m", 68_144_640),
        ("ettin-encoder-150m", 149_014_272),
        ("ettin-encoder-400m", 394_781_696),
        ("ettin-encoder-1b", 1_028_050_688),
    ],
)
def test_totals_are_those_published(name: str, published: int) -> None:
    assert SHAPES[name].model_params + SHAPES[name].embedding_params == published


def test_embeddinggemma_has_the_published_counts_with_its_dense_modules() -> None:
    # mteb's entry: all parameters, and those of the input embedding
    shape = SHAPES["embeddinggemma-300m"]
    assert shape.model_params + shape.embedding_params + shape.dense_params == 307_581_696
    assert shape.embedding_params == 201_326_592
    assert not shape.causal and SHAPES["gemma-3-270m"].causal
    assert start_of("google/embeddinggemma-300m:12").dense == shape.dense


@pytest.mark.parametrize(
    ("name", "published"),
    # mteb's entries; those of GTE count the 512 position numbers that its files hold
    [("minilm-l6", 22_713_216), ("minilm-l12", 33_360_000), ("gte-small", 33_360_512 - 512),
     ("gte-base", 109_482_752 - 512), ("gte-large", 335_142_400 - 512)],
)  # fmt: skip
def test_totals_with_the_pooler_that_an_embedding_does_not_pass(name: str, published: int) -> None:
    shape = SHAPES[name]
    assert shape.model_params + shape.embedding_params + shape.hidden**2 + shape.hidden == published


@pytest.mark.parametrize(("name", "billions"), [("0.5b", 0.36), ("1.5b", 1.31), ("3b", 2.77), ("7b", 6.53)])
def test_qwen2_5_has_the_non_embedding_parameters_of_its_model_cards(name: str, billions: float) -> None:
    assert round(SHAPES[f"qwen2.5-{name}"].model_params / 1e9, 2) == billions


def test_ettin_decoders_are_the_twins_of_its_encoders() -> None:
    for encoder in SUITES["ettin-encoder"]:
        twins = SHAPES[encoder], SHAPES[encoder.replace("encoder", "decoder")]
        assert len({(one.model_params, one.embedding_params, one.pretraining_learning_rate) for one in twins}) == 1
        assert [one.causal for one in twins] == [False, True]


def test_every_retriever_says_how_it_embeds() -> None:
    assert set(STARTS) == {name for name, shape in SHAPES.items() if shape.start == "retriever"}
    for name, start in STARTS.items():
        assert (start.kind, start.normalize) == ("retriever", True)
        assert start.max_length is None or start.max_length <= SHAPES[name].max_length
    assert start_of("BAAI/bge-base-en-v1.5").pooling == "cls"
    assert start_of("qwen3-embedding-4b").end_token and not start_of("minilm-l6:2").end_token
    assert start_of("intfloat/multilingual-e5-small").document_prompt == "passage: "
    assert start_of("qwen3-embedding-0.6b").query_prompt.endswith("\nQuery:")


SIZED = [name for name in SHAPES if re.search(r"-[\d.]+[mb]$", name) and not name.startswith(("pythia", "micro"))]


@pytest.mark.parametrize("name", [name for name in SIZED if name != "qwen3-embedding-8b"])  # 7.6b without a head
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
    cut = {"smollm2", "minilm"}
    family_suites = {shape.family for shape in SHAPES.values()} - cut | {f"{name}-family" for name in cut}
    assert family_suites | cut | {"ettin"} == set(SUITES)
    assert sorted(name for suite in family_suites for name in SUITES[suite]) == sorted(SHAPES)


def test_the_default_suite_is_one_checkpoint_that_a_package_carries() -> None:
    assert SUITES[DEFAULT_SUITE] == tuple(f"smollm2-135m:{depth}" for depth in (1, 2, 3, 4, 6, 8, 12, 16, 30))
    assert DEFAULT_SUITE == "smollm2" and set(PACKAGES) == {"smollm2-135m", "minilm-l6"}
    assert find_shape("smollm2-135m:30").model_params == SHAPES["smollm2-135m"].model_params
