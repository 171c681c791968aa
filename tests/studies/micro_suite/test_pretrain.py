"""Pre-training a tiny suite: it learns, all members see the same, it goes on bit for bit, and embedders load."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from transformers import Trainer, TrainerCallback

from embudget.pairs import Pairs
from embudget.suite import SHAPES, SUITES, find_suite
from embudget.suite.loading import BUILTIN, load_embedder
from studies.micro_suite import pretrain
from studies.micro_suite.pretrain import SuiteConfig, Windows, is_held_out, new_model, prepare_corpus, pretrain_suite

STUDY = Path(__file__).parents[3] / "studies" / "micro_suite.yaml"
MEMBERS = [
    {"name": "small", "layers": 1, "hidden": 16, "heads": 2, "learning_rate": 1e-2},
    {"name": "large", "layers": 2, "hidden": 32, "heads": 2, "learning_rate": 3e-3},
]


def tiny(pairs: Pairs, **changes: object) -> SuiteConfig:
    """Two small models and 24 steps, with a checkpoint after every fifth."""
    settings = {"pairs": str(pairs.folder), "vocab_size": 300, "members": MEMBERS, "tokens": 24 * 8 * 32,
                "sequence_length": 32, "batch_size": 8, "heldout": 0.1, "save_steps": 5}  # fmt: skip
    return SuiteConfig.read(settings | changes, "tiny.yaml")


class Watch(TrainerCallback):  # type: ignore[misc]  # untyped base
    """Interrupts training after a step, as Ctrl-C would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:  # noqa: ANN401
        if state.global_step == self.step:
            raise KeyboardInterrupt


@contextmanager
def interrupted(step: int) -> Iterator[None]:
    """Pre-train in this block, but only up to a step."""

    def make(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - untyped library
        return Trainer(*args, **options, callbacks=[Watch(step)])

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pretrain, "Trainer", make)
        yield


@pytest.mark.slow
def test_a_tiny_suite_learns_and_loads_and_goes_on_to_the_same_bits(tiny_pairs: Pairs, tmp_path: Path) -> None:
    config, whole, stopped = tiny(tiny_pairs), tmp_path / "whole", tmp_path / "stopped"
    outcomes = pretrain_suite(config, whole)
    assert json.loads((whole / "pretrain.json").read_text())["members"] == outcomes
    for outcome in outcomes:
        assert (outcome["steps"], outcome["tokens"]) == (24, 24 * 8 * 32)
        assert outcome["heldout_perplexity"] < 300 / 2  # far below chance
        assert outcome["heldout_tokens"] % 32 == 0
    assert [shape.model_params for shape in find_suite(str(whole))] == [one["model_params"] for one in outcomes]
    embedder = load_embedder(str(whole / "large"), 32)
    assert embedder.encode(["How to open the bucket"]).shape == (1, 32)
    assert embedder.tokenizer.decode(embedder.tokenizer("ein großer Überblick")["input_ids"]) == "ein großer Überblick"

    with interrupted(13):
        pretrain_suite(config, stopped)
    assert not (stopped / "small").exists()
    pretrain_suite(config, stopped)
    for name in ("small", "large"):
        weights = [(folder / name / "model.safetensors").read_bytes() for folder in (whole, stopped)]
        assert weights[0] == weights[1]
    assert pretrain_suite(config, whole) == outcomes  # trains nothing
    with pytest.raises(SystemExit, match="holds a run of another configuration"):
        pretrain_suite(tiny(tiny_pairs, seed=1), whole)


@pytest.mark.slow
def test_all_members_see_the_same_sequences_in_the_same_order(
    tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    get = Windows.__getitem__

    def note(windows: Windows, index: int) -> dict[str, Any]:
        seen.append(index)
        return get(windows, index)

    monkeypatch.setattr(Windows, "__getitem__", note)
    monkeypatch.setattr(pretrain, "heldout_loss", lambda *_: (1.0, 1))
    pretrain_suite(tiny(tiny_pairs), tmp_path / "out")
    small, large = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert small == large
    assert len(set(small)) == len(small) >= 24 * 8
    assert small != sorted(small)


def test_a_corpus_is_tokenised_once_and_keeps_its_heldout_documents_apart(tiny_pairs: Pairs, tmp_path: Path) -> None:
    config = tiny(tiny_pairs)
    corpus = prepare_corpus(config, tiny_pairs, tmp_path / "corpus")
    assert 0.08 < len(corpus.heldout) / (len(corpus.train) + len(corpus.heldout)) < 0.12
    text = corpus.tokenizer.decode(corpus.heldout[:200].tolist(), skip_special_tokens=False)
    first = text.split(pretrain.END_OF_TEXT)[0]
    assert is_held_out(first, 0.1) and first.startswith("How to ")
    written = (tmp_path / "corpus" / "train.npy").stat().st_mtime_ns
    again = prepare_corpus(config, tiny_pairs, tmp_path / "corpus")
    assert (again.train == corpus.train).all()
    assert (tmp_path / "corpus" / "train.npy").stat().st_mtime_ns == written
    with pytest.raises(SystemExit, match=r"vocab_size must be <= .*, all that this text supports, got 30000"):
        prepare_corpus(tiny(tiny_pairs, vocab_size=30_000), tiny_pairs, tmp_path / "corpus")
    assert (tmp_path / "corpus" / "train.npy").stat().st_mtime_ns == written


def test_the_heldout_share_is_kept_and_decided_by_content() -> None:
    held = [is_held_out(f"document {number}", 0.1) for number in range(5000)]
    assert 0.08 < np.mean(held) < 0.12
    assert held == [is_held_out(f"document {number}", 0.1) for number in range(5000)]


def test_labels_are_the_tokens_that_follow() -> None:
    windows = Windows(np.arange(101, dtype=np.uint16), 10)
    assert len(windows) == 10
    assert [int(windows[place]["input_ids"][0]) for place in range(10)] == list(range(0, 100, 10))
    assert (windows[9]["labels"] == windows[9]["input_ids"] + 1).all()


@pytest.mark.parametrize("tokens", [100, 10_000_000])
def test_tokens_that_the_text_cannot_give_are_refused(tiny_pairs: Pairs, tmp_path: Path, tokens: int) -> None:
    with pytest.raises(SystemExit, match=f"tokens must be between 256 and .* at max_epochs=1, got {tokens}"):
        pretrain_suite(tiny(tiny_pairs, tokens=tokens), tmp_path)


def test_a_new_model_depends_on_sizes_and_seed_only(tiny_pairs: Pairs) -> None:
    def weights_of(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        config = tiny(tiny_pairs, seed=seed)
        model = new_model(config.members[0], config)
        return model.get_input_embeddings().weight, model.get_output_embeddings().weight

    torch.manual_seed(1)
    embedding, head = weights_of(0)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == after  # the caller's generator is left alone
    assert torch.equal(embedding, weights_of(0)[0])
    assert not torch.equal(embedding, weights_of(1)[0])
    assert not torch.equal(embedding, head)


def test_the_micro_shapes_are_those_that_are_trained() -> None:
    config = SuiteConfig.read(yaml.safe_load(STUDY.read_text()), STUDY.name)
    assert [member.name for member in config.members] == list(SUITES["micro"])
    for member in config.members:
        shape = SHAPES[member.name]
        assert (shape.layers, shape.hidden, shape.heads) == (member.layers, member.hidden, member.heads)
        assert shape.pretraining_learning_rate == member.learning_rate
        assert (shape.vocab, shape.max_length) == (config.vocab_size, config.sequence_length)


def test_the_weights_in_the_package_were_trained_as_the_study_says() -> None:
    config = SuiteConfig.read(yaml.safe_load(STUDY.read_text()), STUDY.name).model_dump(mode="json")
    made = json.loads((BUILTIN / "pretrain.json").read_text())["config"]
    assert [config.pop("pairs")] == made["text"]
    for member, before in zip(config.pop("members"), made["members"], strict=True):
        assert member.items() <= before.items()
    config.pop("save_steps")  # says nothing about the outcome
    assert config.items() <= made.items()
