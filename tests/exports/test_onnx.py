"""The ONNX export computes what torch computes: by its own runtime, as its README says, and behind a server."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers import AutoTokenizer

import embudget as eb
from embudget.errors import ExportError
from embudget.exports.check import TEXTS, check_texts
from embudget.exports.run import Exported
from tests.exports.models import saved, use

QUESTIONS = ["How do I open the bucket?", "", " \n", "Straße 数据 🚀", "The queue keeps its messages. " * 30, "a"]


@pytest.fixture(scope="module")
def exported(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return eb.export(tuned, to="onnx", out=tmp_path_factory.mktemp("exports") / "onnx")


def test_it_was_compared_with_torch_and_timed(exported: Exported) -> None:
    assert exported.difference is not None
    assert 0 < exported.difference < 1e-5
    facts = json.loads((exported.path / "export.json").read_text())
    assert facts["check"]["difference"] == exported.difference
    assert facts["check"]["texts_per_second"] == exported.texts_per_second
    assert facts["check"]["torch_texts_per_second"] == exported.torch_texts_per_second
    assert f"| {exported.difference:.2g} |" in (exported.path / "README.md").read_text()


def test_its_readme_gives_the_embeddings_of_torch(exported: Exported, tuned: Path) -> None:
    found = use(exported.path, texts=QUESTIONS)["embeddings"]
    np.testing.assert_allclose(found, SentenceTransformer(str(tuned)).encode(QUESTIONS), atol=1e-5)


def test_the_graph_is_valid_and_names_its_free_sizes(exported: Exported) -> None:
    model = onnx.load(exported.path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    sizes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert sizes == {
        "input_ids": ["batch", "length"],
        "attention_mask": ["batch", "length"],
        "sentence_embedding": ["batch", 64],
    }


def test_both_ways_to_tokenise_give_the_ids_of_training(exported: Exported, tuned: Path) -> None:
    fed = SentenceTransformer(str(tuned)).preprocess(QUESTIONS[2:])
    wanted = [row[mask.bool()].tolist() for row, mask in zip(fed["input_ids"], fed["attention_mask"], strict=True)]
    by_transformers = AutoTokenizer.from_pretrained(exported.path)(QUESTIONS[2:], truncation=True)["input_ids"]
    backend = Tokenizer.from_file(str(exported.path / "tokenizer.json")).encode_batch(QUESTIONS[2:])
    alone = [[place for place, mask in zip(one.ids, one.attention_mask, strict=True) if mask] for one in backend]
    assert by_transformers == alone == wanted
    assert max(map(len, wanted)) == 32


def test_the_texts_of_the_comparison_reach_from_none_to_too_long() -> None:
    texts = check_texts(32)
    assert len(texts) == len(check_texts(512)) == TEXTS
    lengths = [len(text.split(" ")) for text in texts[2:]]
    assert texts[0] == ""
    assert min(lengths) == 1
    assert max(lengths) > 36


@pytest.fixture
def server(exported: Exported) -> Iterator[str]:
    """The address of a server of the export, a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("server.py")), str(exported.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM
        if process.stdout is not None:
            process.stdout.close()


def test_a_server_answers_concurrent_requests_with_the_embeddings_of_torch(server: str, tuned: Path) -> None:
    """32 at once, of 1 to 5 texts that no other request has, some empty or too long."""
    batches = [
        [f"request {number} text {place} " * (1 + 5 * place) * (number % 7 > 0) for place in range(1 + number % 5)]
        for number in range(32)
    ]

    def ask(texts: list[str]) -> list[list[float]]:
        body = json.dumps({"texts": texts}).encode()
        with urllib.request.urlopen(urllib.request.Request(server, body), timeout=60) as answer:
            found: list[list[float]] = json.load(answer)["embeddings"]
        return found

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, batches))
    model = SentenceTransformer(str(tuned))
    for texts, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(np.array(answer), model.encode(texts), atol=1e-3)


@pytest.mark.slow
def test_half_precision_has_its_own_error_and_half_the_size(exported: Exported, tuned: Path, tmp_path: Path) -> None:
    halved = eb.export(tuned, to="onnx", out=tmp_path / "out", fp16=True)
    assert halved.precision == "fp16"
    assert halved.difference is not None
    assert 1e-5 < halved.difference < 1e-2
    sizes = [(folder / "model.onnx").stat().st_size for folder in (halved.path, exported.path)]
    assert sizes[0] < 0.75 * sizes[1]
    found = use(halved.path, texts=QUESTIONS)["embeddings"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, SentenceTransformer(str(tuned)).encode(QUESTIONS), atol=1e-2)


@pytest.mark.slow
def test_embeddings_that_differ_are_not_written(tiny_llama: Path, tmp_path: Path) -> None:
    """States of 1e7 are no numbers in half precision; what was there stays."""
    model = saved(tiny_llama, tmp_path / "model")
    eb.export(model, to="transformers", out=tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*")}
    with torch.no_grad():
        model[0].model.embed_tokens.weight.mul_(1e4)
        model[0].model.layers[0].mlp.down_proj.weight.mul_(1e6)
    with pytest.raises(ExportError, match=r"in fp16 its embeddings differ from torch's by up to .*: leave out fp16"):
        eb.export(model, to="onnx", out=tmp_path / "out", fp16=True)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]
