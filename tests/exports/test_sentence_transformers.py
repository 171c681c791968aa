import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer

from embudget.contents import LISTING
from embudget.errors import ModelError, RunError
from embudget.exports import sentence_transformers as export_module
from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.suite.loading import load_embedder, load_tokenizer, weights_of
from embudget.suite.tokens import AS_IT_IS
from embudget.training.run import train
from tests.command_line import Run
from tests.training.test_run import config_for


@pytest.fixture(params=["full", "lora:4"])
def exported(
    request: pytest.FixtureRequest, tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path
) -> tuple[SentenceTransformer, RunRecord, Path]:
    config = config_for(tiny_llama, tiny_pairs, request.param, train_flops=8e8)
    model, record = train(config, tiny_pairs, tmp_path / "model", with_record=True)
    return model, record, tmp_path / "model"


def test_embeddings_are_those_before_export(
    exported: tuple[SentenceTransformer, RunRecord, Path], tiny_text: list[str]
) -> None:
    model, _, folder = exported
    loaded = SentenceTransformer(str(folder))
    np.testing.assert_allclose(loaded.encode(tiny_text), model.encode(tiny_text), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(loaded.encode(tiny_text), axis=1), 1.0, atol=1e-5)
    one_by_one = np.stack([loaded.encode(text) for text in tiny_text])
    np.testing.assert_allclose(loaded.encode(tiny_text, batch_size=8), one_by_one, atol=1e-5)


def test_it_feeds_the_ids_of_the_bare_tokenizer(
    exported: tuple[SentenceTransformer, RunRecord, Path], tiny_llama: Path, tiny_text: list[str]
) -> None:
    loaded = SentenceTransformer(str(exported[2]))
    bare = AutoTokenizer.from_pretrained(tiny_llama)
    assert bare.chat_template is not None
    expected = bare(tiny_text, truncation=True, max_length=32)["input_ids"]
    fed = loaded.preprocess(tiny_text)
    ids = [row[mask.bool()].tolist() for row, mask in zip(fed["input_ids"], fed["attention_mask"], strict=True)]
    assert ids == expected
    assert loaded.tokenizer.chat_template == AS_IT_IS


@pytest.mark.parametrize("pooling", ["mean", "lasttoken"])
def test_every_text_is_served_as_it_was_trained_and_again_after_a_reload(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path, pooling: str
) -> None:
    config = config_for(tiny_llama, tiny_pairs, train_flops=8e8, pooling=pooling)
    model, _ = train(config, tiny_pairs, tmp_path / "model", with_record=True)
    loaded = SentenceTransformer(str(tmp_path / "model"))
    again = load_embedder(str(tmp_path / "model"), 32, pooling)
    texts = ["", " ", "\n\t", "a", "  def f(x):\n      return x\n", "<|end|>", "\ufffd", "word " * 9999]
    ids = load_tokenizer(str(tiny_llama), end_token=pooling == "lasttoken")
    for served in (model, loaded, again):
        fed = served.preprocess(texts)
        found = [row[mask.bool()].tolist() for row, mask in zip(fed["input_ids"], fed["attention_mask"], strict=True)]
        assert found == [
            ids(text or " " * (pooling == "mean"), truncation=True, max_length=32)["input_ids"] for text in texts
        ]
        alone = np.stack([served.encode(text) for text in texts])
        assert np.isfinite(alone).all()
        np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(served.encode(texts), alone, atol=1e-5)
        np.testing.assert_allclose(served.encode([""])[0], alone[0], atol=1e-6)
        np.testing.assert_allclose(served.encode(["", ""])[1], alone[0], atol=1e-6)
        np.testing.assert_allclose(alone, np.stack([model.encode(text) for text in texts]), atol=1e-5)
        np.testing.assert_allclose(served.encode("b", prompt="a "), served.encode("a b"), atol=1e-6)
    assert not np.allclose(alone[4], loaded.encode("def f(x): return x"), atol=1e-3), "white space counts"


def test_training_on_an_exported_model_goes_on_with_its_pooling(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, run: Run
) -> None:
    train(config_for(tiny_neox, tiny_pairs, train_flops=8e8, pooling="lasttoken"), tiny_pairs, tmp_path / "one")
    options = ["--method", "full", "--budget", "8e8", "--pairs", str(tiny_pairs.folder), "--max-length", "32"]
    shared = ["train", "--model", str(tmp_path / "one"), *options, "--batch-size", "8"]
    assert run(*shared, "--out", str(tmp_path / "two")).code == 0
    record = RunRecord.model_validate_json((tmp_path / "two" / "embudget.json").read_text())
    assert (record.config.pooling, record.config.end_token) == ("lasttoken", True)
    assert record.config.weights == weights_of(str(tmp_path / "one"))
    refused = run(*shared, "--out", str(tmp_path / "three"), "--pooling", "mean")
    assert refused.code == 2
    assert "pools by last, as its modules.json says, but pooling is mean" in " ".join(refused.err.split())
    with pytest.raises(ModelError, match=r"set pooling to last$"):
        train(config_for(tmp_path / "one", tiny_pairs), tiny_pairs)


def test_modules_record_and_card_are_explicit(exported: tuple[SentenceTransformer, RunRecord, Path]) -> None:
    _, record, folder = exported
    modules = [module["type"].rpartition(".")[2] for module in json.loads((folder / "modules.json").read_text())]
    assert modules == ["Transformer", "Pooling", "Normalize"]
    assert RunRecord.model_validate_json((folder / "embudget.json").read_text()) == record
    assert record.config.method in (folder / "README.md").read_text()
    assert not list(folder.glob("adapter*.*")), "the adapters are merged"
    assert (folder / "adapter").is_dir() == (record.config.method == "lora:4"), "and kept, for the export to PEFT"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing temporary stays"


def test_the_card_says_that_release_6_is_needed_to_read_an_empty_text(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    """With mean pooling this tokenizer has no token for it, and release 5 does not read through a chat template."""
    train(config_for(tiny_llama, tiny_pairs, train_flops=6e8), tiny_pairs, tmp_path / "model")
    card = " ".join((tmp_path / "model" / "README.md").read_text().split())
    assert "needs sentence-transformers 6 or later with transformers 5 or later" in card
    assert np.isfinite(SentenceTransformer(str(tmp_path / "model")).encode("")).all()


def test_releases_5_and_6_of_sentence_transformers_can_read_it(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    """Release 5.2 knows these names and keys alone, and fails on any other; transformers 4 must fail, not differ."""
    config = config_for(tiny_llama, tiny_pairs, train_flops=6e8, pooling="lasttoken")
    train(config, tiny_pairs, tmp_path / "model")

    def read(name: str) -> Any:  # noqa: ANN401 - JSON
        return json.loads((tmp_path / "model" / name).read_text())

    assert [(module["path"], module["type"]) for module in read("modules.json")] == [
        ("", "sentence_transformers.models.Transformer"),
        ("1_Pooling", "sentence_transformers.models.Pooling"),
        ("2_Normalize", "sentence_transformers.models.Normalize"),
    ]
    assert read("sentence_bert_config.json") == {"max_seq_length": config.max_length, "do_lower_case": False}
    assert read("1_Pooling/config.json") == {
        "word_embedding_dimension": 64,
        "pooling_mode": "lasttoken",
        "include_prompt": True,
    }
    assert read("tokenizer_config.json")["tokenizer_class"] == "TokenizersBackend"
    card = " ".join((tmp_path / "model" / "README.md").read_text().split())
    assert "needs sentence-transformers 5.2 or later with transformers 5 or later" in card


@pytest.fixture
def trained(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> tuple[RunConfig, Path]:
    """A run of a few steps, and the folder of its model."""
    config = config_for(tiny_neox, tiny_pairs, train_flops=6e8)
    train(config, tiny_pairs, tmp_path / "out")
    return config, tmp_path / "out"


def untrained(config: RunConfig, pairs: Pairs, out: Path, message: str) -> None:
    """Training to a folder is refused before its first step, and leaves the folder as it was."""
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=message) as caught:
        train(config, pairs, out, on_progress=lambda share, loss: pytest.fail("it trained"))
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_model_is_replaced_but_nothing_else(
    trained: tuple[RunConfig, Path], tiny_pairs: Pairs, tmp_path: Path
) -> None:
    config, out = trained
    train(config, tiny_pairs, out)
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter1.tex").write_text("precious")
    untrained(config, tiny_pairs, other, "out must be a new folder or one that holds a model of embudget")
    for record in ("{}", "", (out / "embudget.json").read_text()):
        (other / "embudget.json").write_text(record)
        untrained(config, tiny_pairs, other, "holds other files, such as chapter1.tex")


@pytest.mark.parametrize(
    "name", ["notes.txt", "1_Pooling/mine.json", "README.md", "model.safetensors", "embudget.json"]
)
def test_files_added_to_a_model_or_changed_are_kept(
    trained: tuple[RunConfig, Path], tiny_pairs: Pairs, name: str
) -> None:
    config, out = trained
    with (out / name).open("ab") as file:
        file.write(b"precious")
    untrained(config, tiny_pairs, out, f"{name}: move them away|{name} was changed since: move it away")


def test_a_model_of_which_no_list_tells_is_kept(trained: tuple[RunConfig, Path], tiny_pairs: Pairs) -> None:
    """As embudget wrote it before it listed files: whether somebody changed it is not known."""
    config, out = trained
    (out / LISTING).unlink()
    untrained(config, tiny_pairs, out, f"{LISTING}; .* holds other files, .*: move it away or name another")


def test_files_that_come_while_it_trains_are_kept(trained: tuple[RunConfig, Path], tiny_pairs: Pairs) -> None:
    config, out = trained
    before = (out / "model.safetensors").stat().st_ino

    def add(share: float, loss: float) -> None:
        (out / "notes.txt").write_text("mine")

    with pytest.raises(RunError, match=r"holds other files, such as notes\.txt"):
        train(config, tiny_pairs, out, on_progress=add)
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "model.safetensors").stat().st_ino == before


def test_a_model_is_not_written_over_its_start_or_its_pairs(
    trained: tuple[RunConfig, Path], tiny_pairs: Pairs, tmp_path: Path
) -> None:
    """Also where the start is a model that embudget wrote and would replace otherwise."""
    config, out = trained
    link = tmp_path / "link"
    link.symlink_to(out)
    for model in (str(out), f"{out}:2", f"{out}/", str(link)):
        for place in (out, link):
            untrained(config.model_copy(update={"model": model}), tiny_pairs, place, "is an input of this command")
    untrained(config, tiny_pairs, tiny_pairs.folder, "is an input of this command")
    untrained(config, tiny_pairs, tiny_pairs.folder / "model", "lies in the input")


def test_modes_are_those_of_the_umask(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    """Safetensors makes its files with 0600, which nobody else could read on a shared disk."""
    before = os.umask(0o027)
    try:
        train(config_for(tiny_neox, tiny_pairs, train_flops=8e8), tiny_pairs, tmp_path / "out")
    finally:
        os.umask(before)
    found = {
        (path.is_dir(), stat.S_IMODE(path.stat().st_mode))
        for path in [*(tmp_path / "out").rglob("*"), tmp_path / "out"]
    }
    assert found == {(True, 0o750), (False, 0o640)}


@pytest.mark.parametrize("moment", ["check_earlier_model", "list_files", "model_card"])
def test_a_kill_while_it_is_written_keeps_the_old_model(
    trained: tuple[RunConfig, Path], tiny_pairs: Pairs, moment: str
) -> None:
    config, out = trained
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    child = os.fork()
    if not child:
        vars(export_module)[moment] = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        train(config, tiny_pairs, out)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    train(config, tiny_pairs, out)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_folder_that_cannot_be_written_is_refused_before_training(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    steps: list[float] = []
    with pytest.raises(RunError, match="cannot write"):
        train(
            config_for(tiny_neox, tiny_pairs),
            tiny_pairs,
            tmp_path / "file" / "model",
            on_progress=lambda s, _: steps.append(s),
        )
    assert not steps
