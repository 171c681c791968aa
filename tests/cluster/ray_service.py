"""A Ray cluster for the tests: nodes of one core and one GPU that is none, each at a loopback address of its own."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

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
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True,
            shutdown_at_exit=False,
            head_node_args=self._arguments(2) | {"include_dashboard": False, "ray_client_server_port": 20001},
        )
        self._added: list[Any] = []

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    @property
    def session(self) -> Path:
        """The folder of all logs."""
        return Path(self.cluster.head_node.get_session_dir_path())  # type: ignore[union-attr]

    def _arguments(self, number: int) -> dict[str, Any]:
        return {
            "num_cpus": 1, "num_gpus": 1, "object_store_memory": MEMORY, "node_ip_address": f"127.0.0.{number}",
            "temp_dir": str(self.folder / "ray"),
        }  # fmt: skip

    @property
    def nodes(self) -> int:
        return 1 + len(self._added)

    def add(self) -> None:
        """Have a node join."""
        self._added.append(self.cluster.add_node(**self._arguments(3 + len(self._added))))

    def remove(self) -> None:
        """Take the node that joined last away, without a word."""
        self.cluster.remove_node(self._added.pop(), allow_graceful=False)

    def stop(self) -> None:
        self.cluster.shutdown()
        del os.environ["RAY_TMPDIR"], os.environ["RAY_USAGE_STATS_ENABLED"]
        shutil.rmtree(self.folder, ignore_errors=True)
