"""A stand-in for the hub of Hugging Face on a port of this machine: what huggingface_hub asks of it, and no more.

It keeps repositories in memory: it makes them and their branches, says which files go as LFS objects (those that are no
text or above 100 kB, as the hub's own rule has it), takes these by the basic transfer, and commits. Uploads without the
token, to another organisation or of another size or hash than was said are refused as the hub refuses them.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

TOKEN, ORG = "hf_secretsecretsecretsecretsecret1234", "me"


class Hub(ThreadingHTTPServer):
    """The server, with what was uploaded to it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, dict[str, Any]] = {}
        """Repository -> {"private": bool, "branches": {branch: {path: bytes}}}."""
        self.objects: dict[str, bytes] = {}
        """SHA-256 -> what was uploaded as an LFS object."""
        self.requests: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:  # noqa: ANN401
        """Say nothing on the screen."""

    def do_GET(self) -> None:
        self.body = b""
        match self.path_parts():
            case ["api", "models", org, name]:
                if f"{org}/{name}" not in self.server.repos:
                    return self.reply(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
                repo = self.server.repos[f"{org}/{name}"]
                return self.reply(200, {"id": f"{org}/{name}", "private": repo["private"], "siblings": []})
            case ["api", "models", org, name, "revision", _]:
                return self.reply(200, {"id": f"{org}/{name}", "private": False, "siblings": []})
        return self.reply(404, {"error": "not here"}, {"X-Error-Code": "EntryNotFound"})

    def do_PUT(self) -> None:
        self.read()
        oid = self.path_parts()[-1]
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self.reply(400, {"error": "another hash"})
        self.server.objects[oid] = self.body
        return self.reply(200, {})

    def do_POST(self) -> None:
        self.read()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.reply(401, {"error": "Invalid username or password."})
        match self.path_parts():
            case ["api", "repos", "create"]:
                return self.create(json.loads(self.body))
            case ["api", "validate-yaml"]:  # the head of README.md
                return self.reply(200, {"errors": [], "warnings": []})
            case ["api", "models", org, name, "branch", branch]:
                branches = self.server.repos[f"{org}/{name}"]["branches"]
                if branch in branches:
                    return self.reply(409, {"error": "Reference already exists"})
                branches[branch] = dict(branches["main"])
                return self.reply(200, {})
            case ["api", "models", _, _, "preupload", _]:
                files = json.loads(self.body)["files"]
                modes = [
                    {"path": file["path"], "uploadMode": upload_mode(file), "shouldIgnore": False} for file in files
                ]
                return self.reply(200, {"files": modes})
            case ["api", "models", org, name, "commit", branch]:
                return self.commit(f"{org}/{name}", branch)
            case [_, _, "info", "lfs", "objects", "batch"]:
                return self.batch(json.loads(self.body))
            case [*_, "verify"]:
                return self.reply(200, {})
        return self.reply(404, {"error": "not here"})

    def create(self, asked: dict[str, Any]) -> None:
        if asked["organization"] != ORG:
            return self.reply(403, {"error": f"You don't have the rights to create a model under {ORG}"})
        name = f"{asked['organization']}/{asked['name']}"
        url = {"url": f"{self.server.address}/{name}", "name": name, "id": "1"}
        if name in self.server.repos:
            return self.reply(409, {"error": "You already created this model repo", **url})
        self.server.repos[name] = {"private": asked.get("visibility") == "private", "branches": {"main": {}}}
        return self.reply(200, url)

    def batch(self, asked: dict[str, Any]) -> None:
        objects = []
        for one in asked["objects"]:
            upload = {"href": f"{self.server.address}/objects/{one['oid']}"}
            verify = {"href": f"{self.server.address}/objects/{one['oid']}/verify"}
            objects.append({**one, "authenticated": True, "actions": {"upload": upload, "verify": verify}})
        self.reply(200, {"transfer": "basic", "objects": objects})

    def commit(self, repo: str, branch: str) -> None:
        files = self.server.repos[repo]["branches"].get(branch)
        if files is None:
            return self.reply(404, {"error": "no such branch"}, {"X-Error-Code": "RevisionNotFound"})
        for line in self.body.splitlines():
            step = json.loads(line)
            value = step["value"]
            if step["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif step["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
        oid = hashlib.sha1(self.body, usedforsecurity=False).hexdigest()
        return self.reply(200, {"commitUrl": f"{self.server.address}/{repo}/commit/{oid}", "commitOid": oid})

    def path_parts(self) -> list[str]:
        self.server.requests.append(f"{self.command} {self.path}")
        return urlsplit(self.path).path.replace(".git/", "/").strip("/").split("/")

    def read(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            self.body = b"".join(pieces)
        else:
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        if status >= 400:
            self.send_header("X-Error-Message", str(content["error"]))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def upload_mode(file: dict[str, Any]) -> str:
    """How the hub has a file sent: as an LFS object where it is large or no text."""
    sample = base64.b64decode(file["sample"])
    return "lfs" if file["size"] > 100_000 or b"\0" in sample else "regular"


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
