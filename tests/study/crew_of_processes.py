"""A crew whose workers are processes of this machine, `embudget worker` each: a real engine that needs no service."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from embudget.study import Store
from embudget.study.executors.base import Crew, Gone
from embudget.study.work import STORE

COMMAND = (sys.executable, "-m", "embudget", "worker")


class Processes(Crew):
    """Hires processes.

    Args:
        store: where the runs are.
        command: of the n-th worker hired, the last one's of all after it.
        env: more environment for all of them.
    """

    def __init__(
        self, store: Store, commands: Sequence[Sequence[str]] = (COMMAND,), env: Mapping[str, str] | None = None
    ) -> None:
        self._env = os.environ | {"OMP_NUM_THREADS": "1", STORE: store.address} | dict(env or {})
        self._commands = commands
        self._folder = Path(tempfile.mkdtemp(prefix="embudget-crew-"))
        self.workers: list[subprocess.Popen[str]] = []
        self._told: set[int] = set()

    def hire(self, count: int) -> None:
        for _ in range(count):
            command = self._commands[min(len(self.workers), len(self._commands) - 1)]
            with (self._folder / f"{len(self.workers)}.err").open("w") as errors:
                self.workers.append(
                    subprocess.Popen(command, env=self._env, stdout=subprocess.DEVNULL, stderr=errors, text=True)
                )

    def waiting_or_working(self) -> int:
        return sum(worker.poll() is None for worker in self.workers)

    def gone(self) -> list[Gone]:
        ended = [one for one in self.workers if one.poll() is not None and one.pid not in self._told]
        self._told |= {one.pid for one in ended}
        return [Gone(f":{one.pid}", self.reason(one) if one.returncode else "") for one in ended]

    def reason(self, worker: "subprocess.Popen[str]") -> str:
        lines = (self._folder / f"{self.workers.index(worker)}.err").read_text().strip().splitlines()
        return f"exit code {worker.returncode}: {lines[-1] if lines else ''}"

    def dismiss(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(60)
