"""An embedding server of an ONNX export, as small as one can be: no torch and no transformers.

python server.py FOLDER      prints its port, then answers POST {"texts": [...]} with {"embeddings": [[...], ...]}
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

FOLDER = Path(sys.argv[1])
SESSION = onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])
TOKENIZER = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


class Handler(BaseHTTPRequestHandler):
    """One request: texts in, embeddings out."""

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["texts"]
        encoded = TOKENIZER.encode_batch([text or " " for text in texts])
        inputs = {
            "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
            "attention_mask": np.array([one.attention_mask for one in encoded], dtype=np.int64),
        }
        body = json.dumps({"embeddings": SESSION.run(None, inputs)[0].tolist()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed but the port."""


class Server(ThreadingHTTPServer):
    """A thread a request."""

    request_queue_size = 64


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)  # noqa: T201
        server.serve_forever()
