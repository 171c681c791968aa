"""What the hub refuses becomes one line with what to do; a server on this machine stands in for the hub."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from embudget.errors import ModelError
from embudget.suite import find_shape, start_of
from tests.suite.test_starts import OLD

COMMIT = "0123456789abcdef0123456789abcdef01234567"

FILES: dict[str, object] = {
    "config.json": {
        "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4,
        "intermediate_size": 64, "vocab_size": 100, "max_position_embeddings": 64,
    },
    "modules.json": [
        {"path": path, "type": OLD + kind} for path, kind in [("", "Transformer"), ("1_Pooling", "Pooling")]
    ],
    "1_Pooling/config.json": {"pooling_mode": "lasttoken"},
    "config_sentence_transformers.json": {"prompts": {"query": "find: "}},
}  # fmt: skip

ANSWERS = {
    "gated": (403, "GatedRepo", "Access to model some/gated is restricted."),
    "missing": (404, "RepoNotFound", "Repository not found"),
    "private": (401, "RepoNotFound", "Repository not found"),
    "wrong-token": (401, None, "Invalid credentials in Authorization header"),
    "disabled": (403, None, "Access to this resource is disabled."),
    "broken": (503, None, "Service unavailable for an hour"),
}
"""By the repository's name: status, code and message that the hub answers with."""

asked: list[str] = []


class Hub(BaseHTTPRequestHandler):
    """Answers requests for a file of a repository as the hub does."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        asked.append(self.path)
        repository, _, file = self.path.strip("/").partition("/resolve/main/")
        status, code, said = ANSWERS.get(repository.rpartition("/")[2], (200, None, ""))
        content = json.dumps(FILES[file]).encode() if status == 200 and file in FILES else b""
        if status == 200 and file not in FILES:
            status, code, said = 404, "EntryNotFound", "Entry not found"
        self.send_response(status)
        for name, value in [("X-Error-Code", code), ("X-Error-Message", said)]:
            if value:
                self.send_header(name, value)
        if content:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{file}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A hub on this machine, with an empty cache."""
    from huggingface_hub import constants

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits for 20 s before it gives up
    asked.clear()
    yield address
    server.shutdown()
    server.server_close()


def test_a_model_on_the_hub_is_read_by_its_small_files_alone(hub: str) -> None:
    shape = find_shape("some/retriever")
    assert (shape.hub_id, shape.layers, shape.lineage) == ("some/retriever", 2, "llama retriever")
    own = start_of("some/retriever")
    assert (own.pooling, own.normalize, own.query_prompt) == ("lasttoken", False, "find: ")
    fetched = {path.partition("/resolve/main/")[2] for path in asked if "/resolve/" in path}
    assert fetched == {*FILES, "sentence_bert_config.json"}, "no weights, and nothing of another model"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gated", "its owner grants access to it: ask for it on its page there, then log in"),
        ("missing", "there is no such model, or it is private and you are not logged in"),
        ("private", "there is no such model, or it is private"),
        ("wrong-token", r"it does not accept your token \(Invalid credentials in Authorization header\): log in"),
        ("disabled", "it answered 403: Access to this resource is disabled."),
        ("broken", "it answered 503: Service unavailable for an hour"),
    ],
)
def test_the_hubs_reason_is_one_line(hub: str, name: str, reason: str) -> None:
    with pytest.raises(ModelError, match=f"^some/{name} is neither a folder nor .* from the hub: {reason}") as caught:
        find_shape(f"some/{name}")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


def test_a_hub_that_cannot_be_reached_is_one_line(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", nowhere + "/{repo_id}/resolve/{revision}/{filename}")
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:9 cannot be reached, and it is not in the local cache$"):
        find_shape("some/model")


def test_offline_is_said_to_be_so() -> None:
    with pytest.raises(ModelError, match=r"it is not in the local cache, and HF_HUB_OFFLINE is set$"):
        find_shape("nobody/nothing")
