"""S3 for the tests: moto's server on the loopback, in a thread, with a switch by which it answers 500."""

import json
import logging
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from embudget.remote import attempts
from embudget.suite.members import _fetched

_numbers = count()

KEY, SECRET = "AKIAEMBUDGETTEST0001", "s3cr3t/of+the/bucket0000000000000000000"


class Bucket:
    """A server with one bucket. Whoever has the environment of `environment` reaches it, in any process."""

    name = "bucket"

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs each request
        self._app = DomainDispatcherApplication(create_backend_app)
        self.failing = threading.Event()
        self.refusing: dict[str, int] = {}
        """How many more requests to answer 500, by what is in their path."""
        self.requests, self.refused = 0, 0
        self.keys: set[str] = set()
        """The access keys that requests were signed with."""
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        # moto imports what it needs at the first request, on a busy machine for longer than clients wait
        with urllib.request.urlopen(self.environment["AWS_ENDPOINT_URL"], timeout=300):
            self.requests = 0

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.requests += 1
        signed = environ.get("HTTP_AUTHORIZATION", "")
        self.keys |= {signed.partition("Credential=")[2].partition("/")[0]} - {""}
        if self.failing.is_set() or self._refuses(f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}"):
            self.refused += 1
            content = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
            start_response(
                "500 Internal Server Error",
                [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))],
            )
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer

    def _refuses(self, path: str) -> bool:
        found = [part for part, left in self.refusing.items() if left and part in path]
        for part in found:
            self.refusing[part] -= 1
        return bool(found)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Answer 500 to everything."""
        self.failing.set()
        try:
            yield
        finally:
            self.failing.clear()

    @contextmanager
    def checking(self, *allowed: str) -> Iterator[tuple[str, str]]:
        """Check each request as S3 does, its key, its signature and what the key may do; yield a key and its secret.

        Args:
            allowed: actions of the key's only policy, such as `s3:GetObject`.
        """
        from moto import settings
        from moto.iam.models import iam_backends

        users, name = iam_backends["123456789012"]["aws"], f"user-{next(_numbers)}"
        users.create_user("us-east-1", name)
        statement = {"Effect": "Allow", "Action": list(allowed), "Resource": "*"}
        users.put_user_policy(name, "may", json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        key = users.create_access_key(name)
        unchecked, settings.INITIAL_NO_AUTH_ACTION_COUNT = settings.INITIAL_NO_AUTH_ACTION_COUNT, 0.0
        try:
            yield key.access_key_id, key.secret_access_key
        finally:
            settings.INITIAL_NO_AUTH_ACTION_COUNT = unchecked

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Bucket]:
    running = Bucket()
    yield running
    running.stop()


@pytest.fixture
def bucket(s3_server: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    """The server, its credentials in the environment, and a machine without anything fetched."""
    import s3fs

    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "machine"))
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.1)
    s3fs.S3FileSystem.clear_instance_cache()
    _fetched.cache_clear()
    fs = s3fs.S3FileSystem()
    if not fs.exists("bucket"):
        fs.mkdir("bucket")
    yield s3_server
    s3_server.failing.clear()
    s3_server.refusing.clear()


@pytest.fixture
def url() -> str:
    return f"s3://bucket/test-{next(_numbers)}"
