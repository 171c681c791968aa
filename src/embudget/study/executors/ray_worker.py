"""What Ray starts on a node: an actor, whose one worker process takes runs from the store until none is left.

The worker is a process of its own, since signals and children behave otherwise in a process of Ray. It reads from a
pipe that the actor holds. When that is closed, on purpose or because the actor is gone, it writes checkpoints and lets
go of its runs as at a signal. Ray kills the children of a process that it ends: a shell stands in between, which is all
that is killed then.

The actor outlives its driver: a driver that is started again asks it the same question, and gets the same answer.
"""

import os
import signal
import subprocess
import sys
import threading
from typing import Any

from embudget.errors import shortened
from embudget.study.work import STORE, work

_UNCLAIMED_SECONDS = 120.0
"""An actor whose driver died before it said which store there is takes no room on its node for longer than this."""
_TELLING_SECONDS = 2.0
"""How long an actor stays when its worker has ended, so that all drivers hear how."""
_INTERRUPTED = 128 + signal.SIGTERM
_SHELL = ("/bin/sh", "-c", '"$@"; exit $?', "sh")
"""Runs a command as its child, and ends as that does: by 128 and its number where that was a signal."""


class RayWorker:
    """One worker on one node; Ray calls its methods in threads, several at once."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._reason = ""
        unclaimed = threading.Timer(_UNCLAIMED_SECONDS, self._leave_if_unclaimed)
        unclaimed.daemon = True
        unclaimed.start()

    def run(self, store: str, name: str) -> str:
        """Work, and return why the worker failed, empty if it did not. A second caller waits for the same worker.

        Args:
            store: the address. An argument of a method goes from process to process, and into no table of Ray's.
            name: of the worker.
        """
        with self._lock:
            first = self._process is None and not self._stopped
            if first:
                self._process = _start(store, f"{name} on {_node()}")
        if first:
            assert self._process is not None
            self._reason = _reason(self._process)
            self._ended.set()
            _leave_in(_TELLING_SECONDS)
        self._ended.wait()
        return self._reason

    def stop(self) -> None:
        """Have the worker write checkpoints and let go of its runs."""
        with self._lock:
            self._stopped = True
            if self._process is None:
                self._ended.set()
                _leave_in(_TELLING_SECONDS)
            elif self._process.stdin is not None:
                self._process.stdin.close()

    def _leave_if_unclaimed(self) -> None:
        with self._lock:
            if self._process is None:
                self._stopped = True
                _leave_in(0.0)


def _node() -> str:
    import ray.util

    return str(ray.util.get_node_ip_address())


def _start(store: str, name: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*_SHELL, sys.executable, "-m", __name__, name],
        env={**os.environ, STORE: store},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _reason(process: "subprocess.Popen[bytes]") -> str:
    """Wait for the end of a worker, passing on what it says to Ray's log of it; return why it failed."""
    assert process.stderr is not None
    last = ""
    for line in process.stderr:
        text = line.decode(errors="replace")
        last = text.strip() or last
        sys.stderr.write(text)
    code = process.wait()
    if code in (0, _INTERRUPTED):
        return ""
    number = -code if code < 0 else code - 128
    how = f"signal {number}" if number > 0 else f"exit code {code}"
    return f"{how}: {shortened(last, 200)}" if last else how


def _leave_in(seconds: float) -> None:
    """End this actor by the signal that Ray takes for a wish, and not for a crash."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()


def _end_with_the_actor() -> None:
    """Interrupt this process as soon as nobody holds the other end of its input."""

    def wait() -> None:
        os.read(0, 1)  # nothing is ever written; sys.stdin would hold a lock that aborts Python at its end
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _main(arguments: list[str]) -> Any:  # noqa: ANN401 - an exit code, or a line
    from embudget.errors import EmbudgetError
    from embudget.training.interrupt import Interrupted, interruptible

    try:
        with interruptible():
            _end_with_the_actor()
            work(os.environ[STORE], name=arguments[0])
    except Interrupted as error:
        return 128 + error.signal
    except EmbudgetError as error:
        return str(error)
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
