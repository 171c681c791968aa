"""Pre-training a tiny suite: equal tokens for all, resumed bit for bit, and a model that learns."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from embudget.errors import ConfigError, RunError
from embudget.suite import find_suite
from embudget.suite.corpus import find_texts, is_held_out, prepare_corpus, read_documents
from embudget.suite.language_model import Batches, Recipe, new_model
from embudget.suite.loading import load_embedder
from embudget.suite.pretrain import PretrainConfig, Progress, pretrain_suite


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two thousand sentences with a grammar that is learnt in a few steps."""
    rng = np.random.default_rng(0)
    words = [["the", "a", "every"], ["red", "old", "open"], ["table", "queue", "file"], ["returns", "holds", "sends"]]
    lines = [
        " ".join(str(rng.choice(choice)) for choice in words) + f" value {rng.integers(1000)}." for _ in range(2000)
    ]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n\n".join(lines))
    return path


def tiny_config(path: Path, /, **changes: object) -> PretrainConfig:
    members = [
        {"name": "small", "layers": 1, "hidden": 16, "heads": 2},
        {"name": "large", "layers": 2, "hidden": 32, "heads": 2, "intermediate": 48, "learning_rate": 3e-3},
    ]
    settings: dict[str, object] = {
        "text": [str(path)], "vocab_size": 320, "members": members, "tokens": 12 * 8 * 80, "sequence_length": 80,
        "batch_size": 8, "learning_rate": 1e-2, "warmup": 0.1, "heldout": 0.1,
    }  # fmt: skip
    return PretrainConfig.read(settings | changes, "tiny.yaml")


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, text: Path) -> tuple[Path, list[Progress]]:
    """The folder of an uninterrupted run, and its progress."""
    out = tmp_path_factory.mktemp("pretrained")
    progress: list[Progress] = []
    pretrain_suite(tiny_config(text), out, progress.append)
    return out, progress


def test_every_step_is_reported_and_the_loss_falls(finished: tuple[Path, list[Progress]]) -> None:
    _, progress = finished
    for name in ("small", "large"):
        steps = [each for each in progress if each.member == name]
        assert [each.step for each in steps] == list(range(1, 13))
        assert {each.steps for each in steps} == {12}
        assert abs(steps[0].loss - np.log(320)) < 0.3  # a new model knows nothing
        assert steps[-1].loss < steps[0].loss - 0.5


def test_the_summary_holds_what_was_measured(finished: tuple[Path, list[Progress]], text: Path) -> None:
    out, _ = finished
    members = json.loads((out / "pretrain.json").read_text())["members"]
    assert [member["name"] for member in members] == ["small", "large"]
    for member in members:
        assert member["tokens"] == 12 * 8 * 80
        assert member["seconds"] > 0
        assert member["heldout_perplexity"] == pytest.approx(np.exp(member["heldout_loss"]))
        assert member["heldout_perplexity"] < 320 / 2  # far below chance
        assert member["heldout_tokens"] % 80 == 0


def test_more_tokens_lower_the_heldout_perplexity(
    finished: tuple[Path, list[Progress]], tmp_path: Path, text: Path
) -> None:
    config = tiny_config(text, tokens=2 * 8 * 80)
    short = pretrain_suite(config.model_copy(update={"members": config.members[:1]}), tmp_path)
    long = json.loads((finished[0] / "pretrain.json").read_text())["members"][0]
    assert long["heldout_perplexity"] < 0.9 * short[0].heldout_perplexity
    assert long["heldout_tokens"] == short[0].heldout_tokens


def test_the_members_load_as_embedders(finished: tuple[Path, list[Progress]]) -> None:
    out, _ = finished
    shapes = find_suite(str(out))
    assert [Path(shape.name).name for shape in shapes] == ["small", "large"]
    assert shapes[1].intermediate == 48
    embedder = load_embedder(str(out / "large"), 75)
    embeddings = embedder.encode(["the red table returns value 1.", "every open queue sends"])
    assert embeddings.shape == (2, 32)
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert embedder.tokenizer.decode(embedder.tokenizer("ein großer Überblick")["input_ids"]) == "ein großer Überblick"


class Killed(BaseException):
    """Not an Exception, as a signal is not."""


@pytest.mark.parametrize(("member", "step"), [("small", 1), ("small", 7), ("large", 12)])
def test_a_killed_run_goes_on_to_the_same_bits(
    finished: tuple[Path, list[Progress]], tmp_path: Path, text: Path, member: str, step: int
) -> None:
    config = tiny_config(text, checkpoint_steps=3)

    def kill(progress: Progress) -> None:
        if (progress.member, progress.step) == (member, step):
            raise Killed

    with pytest.raises(Killed):
        pretrain_suite(config, tmp_path, kill)
    assert not (tmp_path / member).exists()
    again: list[Progress] = []
    pretrain_suite(config, tmp_path, again.append)
    assert (again[0].member, again[0].step) == (member, (step - 1) // 3 * 3 + 1)  # from the last checkpoint
    for name in ("small", "large"):
        assert weights(tmp_path / name) == weights(finished[0] / name)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_torn_checkpoint_is_ignored(finished: tuple[Path, list[Progress]], tmp_path: Path, text: Path) -> None:
    torn = tmp_path / "checkpoints" / "small" / "part"
    torn.mkdir(parents=True)
    (torn / "state.safetensors").write_bytes(b"half")
    pretrain_suite(tiny_config(text, checkpoint_steps=5), tmp_path)
    assert weights(tmp_path / "small") == weights(finished[0] / "small")


def stopped_at(config: PretrainConfig, out: Path, step: int) -> None:
    """Train the first member up to a step, and die."""

    def kill(progress: Progress) -> None:
        if progress.step == step:
            raise Killed

    with pytest.raises(Killed):
        pretrain_suite(config, out, kill)


@pytest.mark.parametrize("file", ["state.safetensors", "state.json"])
@pytest.mark.parametrize("content", [None, b"half", b"{}"])
def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
    finished: tuple[Path, list[Progress]], tmp_path: Path, text: Path, file: str, content: bytes | None
) -> None:
    config = tiny_config(text, checkpoint_steps=3)
    stopped_at(config, tmp_path, 10)
    checkpoints = sorted((tmp_path / "checkpoints" / "small").iterdir())
    assert [path.name for path in checkpoints] == ["step-000000006", "step-000000009"]
    newest = checkpoints[-1] / file
    newest.unlink() if content is None else newest.write_bytes(content)
    again: list[Progress] = []
    pretrain_suite(config, tmp_path, again.append)
    assert (again[0].member, again[0].step) == ("small", 7)
    assert weights(tmp_path / "small") == weights(finished[0] / "small")


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    rename = Path.rename

    def follow(handle: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").resolve().name)

    def watch(path: Path, target: Path) -> Path:
        if target.name.startswith("step-"):
            assert flushed == ["state.safetensors", "state.json", "part"]
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", follow)
    monkeypatch.setattr(Path, "rename", watch)
    stopped_at(tiny_config(text, checkpoint_steps=3), tmp_path, 4)
    assert flushed == ["state.safetensors", "state.json", "part", "small"]


def test_a_complete_corpus_needs_its_text_no_more(
    finished: tuple[Path, list[Progress]], tmp_path: Path, text: Path
) -> None:
    copy = tmp_path / "text.txt"
    copy.write_bytes(text.read_bytes())
    config = tiny_config(copy)
    stopped_at(config, tmp_path / "out", 2)
    copy.unlink()
    pretrain_suite(config, tmp_path / "out")
    assert weights(tmp_path / "out" / "large") == weights(finished[0] / "large")


def test_a_corpus_is_made_of_one_version_of_the_text(
    finished: tuple[Path, list[Progress]], tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, out = tmp_path / "text.txt", tmp_path / "out"
    copy.write_text(text.read_text().replace("queue", "stack"))

    def die(*args: Any) -> None:  # noqa: ANN401 - whatever it is given
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("embudget.suite.corpus._write_tokens", die)
        pretrain_suite(tiny_config(copy), out)
    of_the_first = (out / "corpus" / "tokenizer.json").read_bytes()
    copy.write_bytes(text.read_bytes())
    pretrain_suite(tiny_config(copy), out)
    assert (out / "corpus" / "tokenizer.json").read_bytes() != of_the_first
    assert weights(out / "small") == weights(finished[0] / "small")


def test_an_interrupted_corpus_of_the_same_text_goes_on(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: Any) -> None:  # noqa: ANN401 - whatever it is given
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("embudget.suite.corpus._write_tokens", die)
        prepare_corpus(tmp_path / "corpus", [str(text)], "text", 320, 0.1)
    with monkeypatch.context() as patch:
        patch.setattr("embudget.suite.corpus._train_tokenizer", lambda *args: pytest.fail("trained again"))
        assert len(prepare_corpus(tmp_path / "corpus", [str(text)], "text", 320, 0.1).train) > 1000


def test_a_text_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "text.txt"
    copy.write_bytes(text.read_bytes())
    train = prepare_corpus.__globals__["_train_tokenizer"]

    def meanwhile(*args: Any) -> None:  # noqa: ANN401 - whatever it is given
        train(*args)
        copy.write_text(text.read_text() + "\n\nOne more.")

    monkeypatch.setattr("embudget.suite.corpus._train_tokenizer", meanwhile)
    with pytest.raises(ConfigError, match="text must stay as it is while it is read"):
        prepare_corpus(tmp_path / "corpus", [str(copy)], "text", 320, 0.1)
    assert not (tmp_path / "corpus").exists()


def test_a_second_run_trains_nothing_and_members_may_be_added(
    tmp_path: Path, text: Path, finished: tuple[Path, list[Progress]]
) -> None:
    both = tiny_config(text)
    one = both.model_copy(update={"members": both.members[:1]})
    first = pretrain_suite(one, tmp_path)
    progress: list[Progress] = []
    assert pretrain_suite(both, tmp_path, progress.append)[:1] == first
    assert {each.member for each in progress} == {"large"}
    progress.clear()
    assert pretrain_suite(one, tmp_path, progress.append) == first
    assert progress == []
    assert len(json.loads((tmp_path / "pretrain.json").read_text())["members"]) == 2  # the other one is not forgotten


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "another seed"),
        ({"tokens": 640}, "another tokens"),
        ({"members": [{"name": "small", "layers": 3, "hidden": 16, "heads": 2}]}, "another member small"),
    ],
)
def test_another_configuration_in_the_same_folder_is_refused(
    finished: tuple[Path, list[Progress]], text: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        pretrain_suite(tiny_config(text, **change), finished[0])


def test_a_configuration_may_be_mended_before_training_has_begun(
    finished: tuple[Path, list[Progress]], tmp_path: Path, text: Path
) -> None:
    with pytest.raises(ConfigError, match=r"tokens must be <="):
        pretrain_suite(tiny_config(text, tokens=10_000_000, vocab_size=300), tmp_path)
    pretrain_suite(tiny_config(text), tmp_path)
    assert weights(tmp_path / "small") == weights(finished[0] / "small")


def test_all_members_see_the_same_tokens_once_an_epoch() -> None:
    tokens = np.arange(1001, dtype=np.uint16)
    recipe = Recipe(30, 7, 10, 1e-3, 0.1, 0.1, 0, 60.0, None)
    batches = Batches(tokens, recipe)
    starts = np.concatenate([batches[step][:, 0] for step in range(30)])
    for epoch in (0, 1):
        assert sorted(starts[epoch * 100 : (epoch + 1) * 100]) == list(range(0, 1000, 10))
    assert list(starts[:100]) != list(starts[100:200])
    assert (batches[0] == batches[0][:, :1] + np.arange(11)).all()  # inputs and the token after them
    # whatever was asked before, and another seed is another order
    assert (Batches(tokens, recipe)[20] == batches[20]).all()
    assert (Batches(tokens, recipe._replace(seed=1))[0] != batches[0]).any()


def test_the_rate_rises_then_falls_to_a_tenth() -> None:
    recipe = Recipe(100, 1, 1, 2e-3, 0.1, 0.0, 0, 60.0, None)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(2e-4)
    assert max(rates) == pytest.approx(2e-3) == rates[9] == rates[10]
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(2e-4, rel=0.01)


def test_a_new_model_depends_on_sizes_and_seed_only() -> None:
    def weights_of(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        model = new_model(vocab_size=300, layers=1, hidden=16, heads=2, intermediate=64, max_length=32, seed=seed)
        return model.get_input_embeddings().weight, model.get_output_embeddings().weight

    torch.manual_seed(1)
    embedding, head = weights_of(0)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == after  # the caller's generator is left alone
    assert torch.equal(embedding, weights_of(0)[0])
    assert not torch.equal(embedding, weights_of(1)[0])
    assert not torch.equal(embedding, head)


def test_documents_of_every_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\nline\n\n\n  \ntwo\n")
    (tmp_path / "b.jsonl").write_text('{"body": "three"}\n{"body": "four"}\n')
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    for name, query in [("train", "five"), ("test", "never")]:
        pq.write_table(pa.table({"query": [query], "positive": ["six"]}), pairs / f"{name}.parquet")
    pq.write_table(pa.table({"body": ["seven", None, " "]}), tmp_path / "c.parquet")
    patterns = (str(tmp_path / "*.txt"), str(tmp_path / "b.jsonl"), str(pairs), str(tmp_path / "c.parquet"))
    documents = [document for path in find_texts(patterns) for document in read_documents(path, "body")]
    assert documents == ["one\nline", "two", "three", "four", "five\nsix", "seven"]
    (pairs / "train.parquet").rename(pairs / "all.parquet")
    assert [path.name for path in find_texts((str(pairs),))] == ["all.parquet", "test.parquet"]


def test_the_heldout_share_is_kept_and_decided_by_content() -> None:
    held = [is_held_out(f"document {number}", 0.1) for number in range(5000)]
    assert 0.08 < np.mean(held) < 0.12
    assert held == [is_held_out(f"document {number}", 0.1) for number in range(5000)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ["/nowhere/*.txt"]}, "text must name files, got '/nowhere/\\*.txt', which matches none"),
        ({"tokens": 10_000_000}, "tokens must be <= .* at max_epochs=1, got 10000000"),
        ({"tokens": 100}, "tokens must be >= batch_size \\* sequence_length = 640, got 100"),
        ({"vocab_size": 30_000}, "vocab_size must be <= .*, all that this text supports, got 30000"),
        ({"heldout": 1e-5}, "no heldout documents at a heldout share of 1e-05"),
        ({"heldout": 0.001}, "heldout=0.001 must give more than sequence_length=80 tokens"),
    ],
)
def test_a_text_that_does_not_suffice_is_refused(
    tmp_path: Path, text: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        pretrain_suite(tiny_config(text, **change), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"other": 1}\n', "a.jsonl, line 2: must be a JSON object with the text in 'text'"),
        ("a.jsonl", b"nonsense", "line 1"),
        ("a.txt", b"\xff\xfe", "not UTF-8 text at byte 0"),
        ("a.parquet", b"nonsense", "not a usable Parquet file"),
        ("a.pdf", b"", "text must be one of .txt, .md, .jsonl, .parquet"),
    ],
)
def test_unreadable_files_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        list(read_documents(tmp_path / name, "text"))


MEMBER = {"name": "m", "layers": 1, "hidden": 16, "heads": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": [MEMBER | {"heads": 3}]}, "members.0.heads: hidden=16 must be a multiple of 8 \\* heads, got 3"),
        ({"members": [MEMBER, MEMBER]}, "members: two members have the same name"),
        ({"members": [MEMBER | {"name": "corpus"}]}, "folders of the run itself, got 'corpus'"),
        ({"members": [MEMBER | {"name": "../up"}]}, "members.0.name"),
        ({"members": []}, "members"),
        ({"text": []}, "text"),
        ({"vocab_size": 100}, "vocab_size: .* 258, got 100"),
        ({"tokens": "many"}, "tokens: .*, got 'many'"),
        ({"steps": 5}, "steps is not a known field"),
    ],
)
def test_bad_configurations_are_refused(text: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^tiny.yaml: .*{message}"):
        tiny_config(text, **change)


def test_yaml(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("text: [a.txt]\ntokens: 1e6\nmembers: [{name: m, layers: 1, hidden: 16, heads: 2}]\n")
    assert PretrainConfig.from_yaml(path).tokens == 1_000_000
    path.write_text("text: [a.txt\n")
    with pytest.raises(ConfigError, match=r"suite.yaml: not valid YAML"):
        PretrainConfig.from_yaml(path)
    with pytest.raises(ConfigError, match=r"cannot read .*none.yaml: No such file"):
        PretrainConfig.from_yaml(tmp_path / "none.yaml")


def test_failures_of_the_run_itself_are_one_line(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"pre-training into .*file stopped: "):
        pretrain_suite(tiny_config(text), tmp_path / "file")
    (tmp_path / "large").mkdir()
    with pytest.raises(ConfigError, match="large is in the way"):
        pretrain_suite(tiny_config(text), tmp_path)

    def diverge(*args: Any) -> float:  # noqa: ANN401 - whatever the step is given
        return float("nan")

    monkeypatch.setattr("embudget.suite.language_model._train_step", diverge)
    with pytest.raises(RunError, match="loss of small is nan at step 1: take a lower learning_rate"):
        pretrain_suite(tiny_config(text), tmp_path / "new")
