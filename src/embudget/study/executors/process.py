"""A process of this machine that trains one task at a time, and tells its driver of each run.

A worker sends progress, then a record as each run ends, and goes on when it is told that the record is stored, so that
no trunk outruns its records. What it saved when it was interrupted it sends as a text. It never outlives its driver.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

from embudget.errors import EmbudgetError
from embudget.records import RunRecord
from embudget.study.execution import Lost, Orders, Outcome, OutOfMemory, execute
from embudget.study.trunks import Task
from embudget.training.interrupt import Interrupted, deferred, end_with, heed, interruptible, tell, told
from embudget.training.run import OnRunProgress

STOP_SECONDS = 15.0
"""Workers that are told to stop have this long for their checkpoints."""


class Process:
    """A process that trains one task at a time, and the connection to it."""

    def __init__(self, slot: int, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.slot = slot
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, slot, count), daemon=True)
        # Ctrl-C reaches the whole group; the driver decides, and no worker is to stumble over it while it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if _POSIX else None
        try:
            self.process.start()
        finally:
            if before is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self.said = ""
        """What it saved when it was interrupted."""
        self.left: Task = ()
        """Runs of its task that have no record yet; none while it is idle."""

    def give(self, task: Task, orders: Orders) -> None:
        """Hand a task out."""
        self.left = task
        self._send((task, orders))

    def go_on(self) -> None:
        """Say that a record is stored. The process waits for it, so that no trunk outruns its records."""
        self._send(None)

    def _send(self, message: object) -> None:
        with suppress(BrokenPipeError):  # it has died: the next read says so
            self.connection.send(message)

    def join(self, until: float) -> None:
        """Wait for its end, reading on meanwhile so that it is not held up; kill it when the time is over."""
        with suppress(EOFError, OSError):
            while (left := until - time.monotonic()) > 0 and self.connection.poll(left):
                message = self.connection.recv()
                self.said = message if isinstance(message, str) else self.said
        self.process.join(max(0.1, until - time.monotonic()))
        self.process.kill()
        self.process.join()
        self.connection.close()


def stop_all(workers: Sequence[Process]) -> None:
    """End workers, which save what they have trained; a signal meanwhile asks for no more than that."""
    with deferred():
        busy = [worker for worker in workers if worker.left]
        for worker in workers:
            worker.process.terminate()
        until = time.monotonic() + STOP_SECONDS
        for worker in workers:
            worker.join(until)
        if busy:
            each = [f"{worker.left[0].model}: {worker.said or 'no checkpoint was written'}" for worker in busy]
            tell(None, "; ".join(each))


def receive(worker: Process, on_progress: OnRunProgress) -> Outcome | None:
    """Take one message of a busy worker; None if it was progress."""
    try:
        message = worker.connection.recv()
    except (EOFError, OSError):
        worker.join(time.monotonic() + STOP_SECONDS)
        code = worker.process.exitcode or 0
        # a worker that saves before it ends by a signal ends as a shell would say it
        number = -code if code < 0 else code - 128
        how = f"signal {number}" if number > 0 else f"exit code {code}"
        return Lost(worker.left, f"its process ended with {how}")
    if isinstance(message, EmbudgetError):
        raise message
    if isinstance(message, str):
        worker.said = message
        return None
    if isinstance(message, RunRecord):
        worker.left = tuple(config for config in worker.left if config != message.config)
        return message
    if isinstance(message, OutOfMemory):
        worker.left = ()
        return message
    on_progress(*message)
    return None


def _work(connection: Connection, slot: int, count: int) -> None:
    """Train tasks in a worker process until none comes, and end without taking the interpreter apart.

    With torch in it that takes two seconds of a core, for which the driver would wait, perhaps in a preempted node's
    grace period of ten.
    """
    code = _serve(connection, slot, count)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _serve(connection: Connection, slot: int, count: int) -> int:
    """Train on an even share of the cores or on one of the GPUs; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    if _POSIX:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    with interruptible():
        try:
            if (driver := multiprocessing.parent_process()) is not None and driver.pid is not None:
                end_with(driver.pid)  # elsewhere than on Linux the broken pipe says so, behind the step
            _take_one_gpu(slot)
            _work_on(connection, count)
        except Interrupted as error:
            try:
                with deferred():
                    connection.send(told() or "")
                    heed()
            except OSError:  # the driver was killed
                return 0
            return 128 + error.signal
    return 0


def _work_on(connection: Connection, count: int) -> None:
    import torch

    torch.set_num_threads(max(1, _cores() // count))

    def send(message: object) -> None:
        try:
            with deferred():  # half a message would leave the driver waiting for its end
                connection.send(message)
        except BrokenPipeError:
            raise Interrupted(signal.SIGTERM) from None  # the driver was killed

    while True:
        try:
            task, orders = connection.recv()
        except EOFError:
            return
        try:
            for outcome in execute(task, orders, lambda *now: send(now)):
                send(outcome)
                if isinstance(outcome, RunRecord):
                    connection.recv()  # says that the record is stored
        except EmbudgetError as error:
            send(error)
        except EOFError:
            return  # the driver was killed before it had stored the record: its checkpoints are there


def _cores() -> int:
    """Cores that this process may use: an engine, or the user by OMP_NUM_THREADS, may give it fewer than there are."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(there, int(said)) if said.isdigit() and int(said) else there


_POSIX = hasattr(signal, "pthread_sigmask")


def _take_one_gpu(slot: int) -> None:
    """Show this process one of the GPUs that the driver sees, before CUDA starts (counting them does not start it)."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(gpu) for gpu in range(torch.cuda.device_count())]
    if gpus and gpus != [""]:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
