"""Scales, weight decays and other options of a study: each run has one of each, and losses compare."""

from pathlib import Path

import pytest

from embudget.errors import ConfigError
from embudget.pairs import Pairs
from embudget.study import plan
from tests.study.studies import tiny_study


def test_every_run_is_trained_with_each_scale_and_weight_decay(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    study = tiny_study(tiny_neox, tiny_pairs, scale=[20, 40], weight_decay=[0, 0.1], budgets=[6e8, 9e8])
    configs = study.configs(tiny_pairs)
    assert {(one.train_flops, one.scale, one.weight_decay) for one in configs} == {
        (budget, scale, decay) for budget in (6e8, 9e8) for scale in (20, 40) for decay in (0, 0.1)
    }
    assert {one.eval_scale for one in configs} == {"best"}, "losses at other scales would not compare"


def test_one_scale_leaves_runs_what_they_were(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    (plain,) = tiny_study(tiny_neox, tiny_pairs).configs(tiny_pairs)
    (same,) = tiny_study(
        tiny_neox, tiny_pairs, scale=40, weight_decay=[0.1], matryoshka=[], precision="float32"
    ).configs(tiny_pairs)
    assert plain == same and plain.eval_scale == "own"
    (best,) = tiny_study(tiny_neox, tiny_pairs, eval_scale="best").configs(tiny_pairs)
    assert best.id != plain.id


def test_scales_of_other_grids_count(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    study = tiny_study(tiny_neox, tiny_pairs, also=[{"scale": 20}])
    assert [(one.scale, one.eval_scale) for one in study.configs(tiny_pairs)] == [(40, "best"), (20, "best")]


def test_losses_beside_a_retriever_are_taken_at_the_best_scale(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    """A retriever was trained at another scale: its loss at ours would fall while its ranking suffers."""
    study = tiny_study(tiny_neox, tiny_pairs, also=[{"members": ["minilm-l6:1"]}])
    assert {run.config.eval_scale for run in study.runs(tiny_pairs.hash, identified=False)} == {"best"}
    own = tiny_study(tiny_neox, tiny_pairs, eval_scale="own", also=[{"members": ["minilm-l6:1"]}])
    assert {run.config.eval_scale for run in own.runs(tiny_pairs.hash, identified=False)} == {"own"}


@pytest.mark.parametrize(("word", "canonical"), [("last", "lasttoken"), ("weighted", "weightedmean"), ("cls", "cls")])
def test_short_words_of_pooling_are_those_of_sentence_transformers(
    tiny_neox: Path, tiny_pairs: Pairs, word: str, canonical: str
) -> None:
    (short,), (long,) = (
        tiny_study(tiny_neox, tiny_pairs, pooling=each).configs(tiny_pairs) for each in (word, canonical)
    )
    assert short == long and short.pooling == canonical
    assert short.end_token == (canonical == "lasttoken")


def test_prompts_sizes_and_precision_are_those_of_every_run(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    study = tiny_study(tiny_neox, tiny_pairs, query_prompt="q: ", matryoshka=[32, 16], precision="bf16")
    (config,) = study.configs(tiny_pairs)
    assert (config.query_prompt, config.document_prompt) == ("q: ", "")
    assert (config.matryoshka, config.precision) == ((16, 32), "bf16")


def test_runs_that_a_model_cannot_do_are_left_out_with_the_reason(tiny_neox: Path, tiny_pairs: Pairs) -> None:
    long = "word " * 40
    study = tiny_study(
        tiny_neox, tiny_pairs, precision="float32", also=[{"matryoshka": 64}, {"document_prompt": long, "seeds": [1]}]
    )
    planned = plan(study, tiny_pairs)
    assert len(planned.runs) == 1
    assert [one.reason[:40] for one in planned.left_out] == [
        "matryoshka must name sizes below 64, tha",
        "document_prompt must leave room for a te",
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": 0}, r"^study.yaml: scale\.0: must be > 0, got 0$"),
        ({"scale": [20, 20]}, r"^study.yaml: scale: must not name anything twice"),
        ({"weight_decay": [-1]}, r"^study.yaml: weight_decay\.0: must be >= 0, got -1$"),
        ({"matryoshka": [8, 8]}, r"^study.yaml: matryoshka: must name each size once, got 8, 8$"),
        ({"matryoshka": "small"}, r"^study.yaml: matryoshka\.0: must be a whole number, got 'small'$"),
        ({"attention": "sideways"}, r"^study.yaml: attention: must be 'causal' or 'bidirectional', got 'sideways'$"),
        ({"precision": "fp8"}, r"^study.yaml: precision: must be 'auto', 'float32' or 'bf16', got 'fp8'$"),
        (
            {"pooling": "max"},
            r"^study.yaml: pooling: must be mean, last \(lasttoken\), cls or weighted \(weightedmean\), got 'max'$",
        ),
        ({"query_prompt": "x" * 2001}, r"^study.yaml: query_prompt: "),
    ],
)
def test_bad_values_are_refused_in_one_line(
    tiny_neox: Path, tiny_pairs: Pairs, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        tiny_study(tiny_neox, tiny_pairs, **fields)
    assert "\n" not in str(refused.value)
