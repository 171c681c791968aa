"""What every format has in common: one folder, whole or not at all, only over its own earlier output."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

import embudget as eb
from embudget.errors import ConfigError, EmbudgetError, ExportError, ModelError
from embudget.exports import base as base_module
from embudget.exports.formats import FORMATS
from embudget.owned import check_owned
from embudget.pairs import Pairs
from embudget.suite.loading import load_embedder
from tests.command_line import Run
from tests.exports.models import saved, use

TEXTS = ["How do I open the bucket?", "", "a\n b", "The queue keeps its messages. " * 30, "Straße 数据"]
QUICK = ("sentence-transformers", "transformers")
"""Formats that are written in a second."""


@pytest.mark.parametrize("to", QUICK)
def test_a_trained_model_is_used_as_its_readme_says(tuned: Path, tmp_path: Path, to: str) -> None:
    done = eb.export(tuned, to=to, out=tmp_path / "out")
    assert (done.path, done.to, done.precision, done.difference) == (tmp_path / "out", to, "fp32", None)
    used = use(tmp_path / "out", texts=TEXTS)
    found = used["embeddings"] if to == "transformers" else used["model"].encode(TEXTS)
    np.testing.assert_allclose(np.asarray(found), SentenceTransformer(str(tuned)).encode(TEXTS), atol=1e-5)
    assert (tmp_path / "out" / "embudget.json").read_text() == (tuned / "embudget.json").read_text()
    check_owned(tmp_path / "out", "an export")
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing temporary stays"


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken", "weightedmean"])
def test_the_readme_of_a_plain_transformer_pools_as_the_model_does(
    tiny_neox: Path, tmp_path: Path, pooling: str
) -> None:
    model = saved(tiny_neox, tmp_path / "model", pooling)
    eb.export(tmp_path / "model", to="transformers", out=tmp_path / "out")
    found = use(tmp_path / "out", texts=TEXTS)["embeddings"]
    np.testing.assert_allclose(np.asarray(found), model.encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize("to", QUICK)
def test_a_member_that_was_cut_is_written_as_the_smaller_model_that_it_is(tmp_path: Path, to: str) -> None:
    eb.export("micro-450k:2", to=to, out=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["num_hidden_layers"] == 2
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        blocks = {int(name.split("layers.")[1].split(".")[0]) for name in file.keys() if "layers." in name}  # noqa: SIM118
    assert blocks == {0, 1}
    model = load_embedder("micro-450k:2", 128).to("cpu")
    ids = model.tokenizer("a queue of messages", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = [
            one(input_ids=ids).last_hidden_state
            for one in (AutoModel.from_pretrained(tmp_path / "out"), model[0].model)
        ]
    torch.testing.assert_close(*states)


def test_a_model_in_memory_is_written_and_stays_as_it_is(tiny_llama: Path, tmp_path: Path) -> None:
    model = load_embedder(str(tiny_llama), 32).to("cpu").half().train()
    eb.export(model, to="sentence-transformers", out=tmp_path / "out")
    assert next(model.parameters()).dtype == torch.float16
    assert model.training
    assert next(SentenceTransformer(str(tmp_path / "out")).parameters()).dtype == torch.float32


def test_no_file_but_the_run_s_record_names_a_local_path(tuned: Path, tiny_llama: Path, tmp_path: Path) -> None:
    eb.export(tuned, to="transformers", out=tmp_path / "tuned")
    eb.export(f"{tiny_llama}:2", to="transformers", out=tmp_path / "cut")
    for out in ("tuned", "cut"):
        assert json.loads((tmp_path / out / "export.json").read_text())["model"] == f"{tiny_llama.name}:2"
        texts = [path for path in (tmp_path / out).iterdir() if path.suffix in (".json", ".md")]
        naming = [path.name for path in texts if str(tiny_llama) in path.read_text()]
        assert naming == (["embudget.json"] if out == "tuned" else [])


def test_prompts_go_along(tiny_llama: Path, tmp_path: Path) -> None:
    model = saved(tiny_llama, tmp_path / "model")
    model.prompts = {"query": "Find it\nquery: ", "document": ""}
    eb.export(model, to="transformers", out=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "export.json").read_text())["prompts"] == {"query": "Find it\nquery: "}
    assert "- query: `Find it\\nquery: `" in (tmp_path / "out" / "README.md").read_text()
    eb.export(model, to="sentence-transformers", out=tmp_path / "again")
    readme = (tmp_path / "again" / "README.md").read_text()
    assert "model.encode_query(" in readme
    assert "Put the prompt" not in readme, "it would be there twice"


def refused(message: str, kind: type[EmbudgetError], *arguments: object, **named: object) -> None:
    """An export is refused in one line and leaves nothing."""
    with pytest.raises(kind, match=message) as caught:
        eb.export(*arguments, **named)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_what_cannot_be_exported_is_refused_in_one_line(tuned: Path, tiny_neox: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused("to must be sentence-transformers, .* or .*, got 'word2vec'", ConfigError, tuned, "word2vec", out)
    refused(
        "fp16 is for onnx, openvino and gguf, not for transformers", ConfigError, tuned, "transformers", out, fp16=True
    )
    (tmp_path / "empty").mkdir()
    refused("empty holds no sentence-transformers model: modules.json", ModelError, tmp_path / "empty", "onnx", out)
    refused("no-such-model", ModelError, "no-such-model", "transformers", out)
    saved(tiny_neox, tmp_path / "other")
    refused("as adapters: it has none, it was trained by no run", ExportError, tmp_path / "other", "peft", out)
    refused("as adapters: it has none", ExportError, "micro-200k", "peft", out)
    assert not out.exists()


def test_a_model_trained_by_another_method_has_no_adapters(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    from tests.training.test_run import config_for

    eb.train(config_for(tiny_neox, tiny_pairs, "full", train_flops=6e8), tiny_pairs, out=tmp_path / "model")
    refused("it has none, it was trained by full", ExportError, tmp_path / "model", "peft", tmp_path / "out")


def test_a_missing_package_is_said_with_its_command(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FORMATS["onnx"], "packages", ("onnx", "no_such_package"))
    refused(
        r"export to onnx needs the package no_such_package: pip install 'embudget\[onnx\]'", ConfigError,
        tuned, "onnx", tmp_path / "out",
    )  # fmt: skip
    base_module.check_packages(FORMATS["transformers"])


def test_it_replaces_its_own_output_and_nothing_else(tuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        eb.export(tuned, to="transformers", out=out)
    eb.export("micro-200k", to="transformers", out=out)
    (out / "notes.txt").write_text("mine")
    refused("holds other files, such as notes.txt", ConfigError, tuned, "transformers", out)
    (out / "notes.txt").unlink()
    with (out / "model.safetensors").open("ab") as file:
        file.write(b"mine")
    refused("model.safetensors was changed since", ConfigError, tuned, "transformers", out)
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.tex").write_text("mine")
    refused("holds other files, such as chapter.tex", ConfigError, tuned, "transformers", other)
    (tmp_path / "file").write_text("mine")
    refused("out must be a folder, got the file", ConfigError, tuned, "transformers", tmp_path / "file")


def test_an_input_is_never_written_to(tuned: Path, tiny_neox: Path) -> None:
    before = {path: path.read_bytes() for path in tuned.rglob("*") if path.is_file()}
    refused("is an input of this command", ConfigError, tuned, "transformers", tuned)
    refused("lies in the input", ConfigError, tuned, "transformers", tuned / "out")
    refused("is an input of this command", ConfigError, f"{tiny_neox}:2", "transformers", tiny_neox)
    assert {path: path.read_bytes() for path in tuned.rglob("*") if path.is_file()} == before


def test_a_pickle_is_not_exported(tiny_neox: Path, tmp_path: Path) -> None:
    saved(tiny_neox, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    refused("is a pickle", ModelError, tmp_path / "model", "transformers", tmp_path / "out")


def test_on_the_command_line(tuned: Path, tmp_path: Path, run: Run) -> None:
    done = run("export", tuned, "--to", "transformers", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert done.out == f"{tmp_path / 'out'}: how to use it stands in {tmp_path / 'out' / 'README.md'}\n"
    wrong = run("export", tuned, "--to", "word2vec", "--out", tmp_path / "out")
    assert wrong.code == 2
    assert wrong.err.startswith("embudget: ")
    assert wrong.err.count("\n") == 1


def test_a_second_format_is_not_taken_for_the_only_one(tuned: Path, tmp_path: Path, run: Run) -> None:
    done = run("export", tuned, "--to", "transformers", "--to", "onnx", "--out", tmp_path / "out")
    assert (done.code, done.out) == (2, "")
    assert "--to must be given once, got transformers and onnx" in done.err
    assert not (tmp_path / "out").exists()


def test_training_exports_at_its_end(tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path, run: Run) -> None:
    options = ["--budget", "8e8", "--pairs", tiny_pairs.folder, "--max-length", "32", "--batch-size", "8"]
    command = ["train", "--model", tiny_llama, *options, "--out", tmp_path / "model"]
    refusing = run(*command, "--method", "full", "--export", "transformers", "--export", "peft")
    assert refusing.code == 2
    assert "export to peft needs a model trained by lora, got full" in refusing.err
    assert run(*command, "--method", "full", "--export", "word2vec").code == 2
    assert not list(tmp_path.iterdir()), "nothing was trained"
    done = run(*command, "--method", "lora:4", "--export", "transformers", "--export", "peft")
    assert done.code == 0, done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model-peft", "model-transformers"]
    wanted = SentenceTransformer(str(tmp_path / "model")).encode(TEXTS)
    np.testing.assert_allclose(use(tmp_path / "model-transformers", texts=TEXTS)["embeddings"], wanted, atol=1e-5)
    np.testing.assert_allclose(use(tmp_path / "model-peft")["model"].encode(TEXTS), wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["sentence-transformers", "transformers", "openvino", "onnx"])
def test_a_full_disk_is_one_line_and_what_was_there_stays(tuned: Path, tmp_path: Path, to: str) -> None:
    """A limit of the system stands for the disk: no library can write a file of over 100 kB."""
    eb.export(tuned, to="transformers", out=tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*")}
    limited = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    limited += "from embudget.__main__ import main; main()"
    words = ["export", str(tuned), "--to", to, "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", limited, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"embudget: cannot write {tmp_path / 'out'}: File too large"), done.stderr
    assert done.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
