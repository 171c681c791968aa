"""Starting the processes of one run on one machine, as torchrun does, with one voice and one exit code.

    embudget train ... --devices 8        this: eight processes on this machine
    torchrun --nnodes 2 ... -m embudget   the same over several machines

Each process runs the same command and finds its place in its environment. The first one speaks; what the others say is
kept aside, and told only of one that failed. Where one fails, the others would wait for it in vain: they get a while to
fail by themselves, then they are ended. Signals are handed on, so that all of them stop behind the same step.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from embudget.errors import ConfigError

GRACE_SECONDS, STOP_SECONDS = 60.0, 30.0
"""Time that the other processes have to end by themselves after one has failed, and then after they were told to."""

WRITING_SECONDS = 600.0
"""Time to write the last checkpoint, after a signal has ended one that need not."""

STOPPED_BY = 128
"""Exit codes above this are of processes that a signal has ended in order."""


def wants_processes(devices: int | None, env: Mapping[str, str] = os.environ) -> bool:
    """Whether processes are to be started here, which is so unless this is one of them.

    Raises:
        ConfigError: torchrun has started another number, or the machine has fewer devices.
    """
    if devices is None:
        return False
    started = env.get("WORLD_SIZE")
    if started is not None:
        if int(started) != devices:
            raise ConfigError(
                f"devices must be {started}, the number of processes that were started, got {devices}: leave it out"
            )
        return False
    if devices > (there := devices_there()):
        raise ConfigError(f"devices must be at most {there}, which this machine has, got {devices}")
    return devices > 1


def devices_there() -> int:
    """How many accelerators this machine has; without any, how many cores may each train a share."""
    import torch

    return torch.accelerator.device_count() or len(os.sched_getaffinity(0))


def launch(
    count: int, arguments: Sequence[str], *, module: str = "embudget", look: Callable[[], None] = lambda: None
) -> int:
    """Run ``embudget`` with these arguments in several processes that train together; the exit code of all.

    Args:
        count: processes.
        arguments: of the command line.
        module: another one to run.
        look: called several times a second, while they train.
    """
    from torch.distributed.elastic.utils.distributed import get_free_port

    cores = max(1, len(os.sched_getaffinity(0)) // count)
    shared = {
        "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(get_free_port()), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cores)),
    }  # fmt: skip
    command = [sys.executable, "-m", module, *arguments]
    children: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder, _handing_on(children):
        said = [Path(folder, str(rank)) for rank in range(count)]
        for rank in range(count):
            env = os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            with said[rank].open("wb") as file:
                stream = file if rank else None
                children.append(
                    subprocess.Popen(command, env=env, stdout=stream, stderr=stream, start_new_session=True)
                )
        failed = _first_failed(children, look)
        interrupted = failed is not None and children[failed].returncode > STOPPED_BY
        _end(children, WRITING_SECONDS if interrupted else GRACE_SECONDS)
        if failed is None:
            return 0
        code = children[failed].returncode
        if failed and code != children[0].returncode:  # else the first has said the same
            lines = said[failed].read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            reason = f"was ended by {signal.Signals(-code).name}" if code < 0 else lines[-1].removeprefix("embudget: ")
            sys.stderr.write(f"embudget: process {failed} of {count}: {reason}\n")
        return code if code > 0 else 1


def _first_failed(children: Sequence["subprocess.Popen[bytes]"], look: Callable[[], None]) -> int | None:
    """Wait until all have ended or one has failed: which one."""
    while True:
        codes = [child.poll() for child in children]
        for rank, code in enumerate(codes):
            if code:
                return rank
        if all(code == 0 for code in codes):
            return None
        look()
        time.sleep(0.1)


def _end(children: Sequence["subprocess.Popen[bytes]"], patience: float) -> None:
    """See to it that all have ended."""
    for seconds, last_resort in ((patience, signal.SIGTERM), (STOP_SECONDS, signal.SIGKILL)):
        ends = time.monotonic() + seconds
        for child in children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, ends - time.monotonic()))
        for child in children:
            if child.poll() is None:
                child.send_signal(last_resort)
    for child in children:
        child.wait()


@contextmanager
def _handing_on(children: Sequence["subprocess.Popen[bytes]"]) -> Iterator[None]:
    """Hand signals that ask to end on to the processes, which are in sessions of their own, and wait for them."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
