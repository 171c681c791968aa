"""S3 for the tests: moto's server on the loopback, in a thread, with a switch by which it answers 500."""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

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

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.requests += 1
        signed = environ.get("HTTP_AUTHORIZATION", "")
        self.keys |= {signed.partition("Credential=")[2].partition("/")[0]} - {""}
        if self.failing.is_set():
            self.refused += 1
            content = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
            start_response(
                "500 Internal Server Error",
                [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))],
            )
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
