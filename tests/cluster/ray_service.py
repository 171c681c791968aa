"""A Ray cluster for the tests: nodes of one core and one GPU that is none, each at a loopback address of its own."""

import contextlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

MEMORY = 80 * 2**20


class RayService:
    """A head node and one more, whose processes end by their handles.

    127.0.0.1 itself will not do: `ray.init` takes it for the machine's address in its network.
    """

    def __init__(self) -> None:
        # paths of sockets are short, and those of pytest are not; a driver finds "auto" by the same variable
        self.folder = Path(tempfile.mkdtemp(prefix="embudget-ray-", dir="/tmp"))
        os.environ["RAY_TMPDIR"] = str(self.folder)
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        (self.folder / "ray").mkdir()
        with socket.socket() as free:  # another cluster of this machine would share a fixed one, and take its calls
            free.bind(("127.0.0.2", 0))
            self._port = free.getsockname()[1]
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True,
            shutdown_at_exit=False,
            head_node_args=self._arguments(2) | {"include_dashboard": False, "ray_client_server_port": self._port},
        )
        self._added: list[Any] = []

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    @property
    def client_address(self) -> str:
        """Where programs that are no node reach the server."""
        return f"ray://127.0.0.2:{self._port}"

    @property
    def session(self) -> Path:
        """The folder of all logs."""
        return Path(self.cluster.head_node.get_session_dir_path())

    def _arguments(self, number: int) -> dict[str, Any]:
        return {
            "num_cpus": 1, "num_gpus": 1, "object_store_memory": MEMORY, "node_ip_address": f"127.0.0.{number}",
            "temp_dir": str(self.folder / "ray"),
        }  # fmt: skip

    def add(self, env: dict[str, str] | None = None, **resources: float) -> str:
        """Have a node join, with what only it has; return its address."""
        number = 3 + len(self._added)
        for left in (2, 1, 0):
            try:
                node = self.cluster.add_node(**self._arguments(number), resources=resources, env_vars=env)
                break
            except Exception:  # Ray gives a node 30 s to start, which a busy machine may not suffice for
                if not left:
                    raise
        self._added.append(node)
        return f"127.0.0.{number}"

    def remove(self) -> None:
        """Take the node that joined last away, without a word."""
        self.cluster.remove_node(self._added.pop(), allow_graceful=False)

    def empty(self) -> None:
        """End all actors, and have the nodes that were there at the beginning."""
        import ray
        from ray.util import list_named_actors

        ray.init(self.address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
        for found in list_named_actors(all_namespaces=True):
            with contextlib.suppress(ValueError):  # it has just ended
                ray.kill(ray.get_actor(found["name"], found["namespace"]))
        ray.shutdown()
        while len(self._added) > 1:
            self.remove()
        if not self._added:
            self.add()

    def stop(self) -> None:
        self.cluster.shutdown()
        for process in psutil.process_iter(["cmdline"]):  # what is left of a node that did not start in time
            if any(str(self.folder) in word for word in process.info["cmdline"] or ()):
                process.kill()
        del os.environ["RAY_TMPDIR"], os.environ["RAY_USAGE_STATS_ENABLED"]
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[RayService]:
    running = RayService()
    try:
        running.add()
        yield running
    finally:
        running.stop()
