"""A Slurm cluster for the tests: munge, a controller and two nodes of one fake GPU each, all on this machine.

Nothing of it is shared with a Slurm that is installed here: configuration, key, state and ports are its own, and each
of its daemons is ended by its own number. It runs as whoever runs the tests; root is needed by none of it.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

NODES = ("node1", "node2")
GRACE_SECONDS = 10
"""What a preempted job has between SIGTERM and SIGKILL."""
_START_SECONDS = 60.0
_GPUS = ("/dev/null", "/dev/zero")  # a device file each is all that Slurm asks of a GPU

_CONFIGURATION = """\
ClusterName=embudget
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
JobRequeue=1
KillWait={grace}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{nodes}
PartitionName=gpu Nodes=ALL Default=YES MaxTime=60 PriorityTier=1 GraceTime={grace}
PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=2 PreemptMode=OFF
"""
_NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=4000 Gres=gpu:1"


class Slurm:
    """A running cluster with the partitions `gpu`, which is preempted, and `urgent`, which preempts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configuration = folder / "slurm.conf"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._configure()

    def _configure(self) -> None:
        controller, *ports = _free_ports(1 + len(NODES))
        host, user = socket.gethostname(), _user()
        nodes = [_NODE.format(name=name, host=host, port=port) for name, port in zip(NODES, ports, strict=True)]
        self.configuration.write_text(
            _CONFIGURATION.format(
                folder=self.folder, host=host, user=user, controller=controller, grace=GRACE_SECONDS,
                nodes="\n".join(nodes),
            )
        )  # fmt: skip
        gpus = [f"NodeName={name} Name=gpu File={file}" for name, file in zip(NODES, _GPUS, strict=True)]
        (self.folder / "gres.conf").write_text("\n".join(gpus) + "\n")
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)

    def start(self) -> None:
        """Start all daemons, and wait until both nodes are idle."""
        munge = self.folder / "munge"
        self._start(
            "munged", "--foreground", "--force", f"--socket={munge}.socket", f"--key-file={munge}.key",
            f"--log-file={munge}.log", f"--pid-file={munge}.pid", f"--seed-file={munge}.seed",
        )  # fmt: skip
        _until(lambda: (self.folder / "munge.socket").exists(), "munged does not start")
        self._start("slurmctld", "-D", "-c", "-f", self.configuration)
        for name in NODES:
            self.start_node(name)
        _until(lambda: self.states() == ["idle"] * len(NODES), f"the nodes do not become idle: see {self.folder}")

    def start_node(self, name: str) -> None:
        """Start the daemon of a node."""
        self._start("slurmd", "-D", "-N", name, "-f", self.configuration, key=name)

    @contextlib.contextmanager
    def dead(self, name: str) -> Iterator[None]:
        """End a node at once with all that runs on it, until the end of the block; it may have the only job."""
        usual = self.configuration.read_text()
        self.configuration.write_text(f"{usual}SlurmdTimeout=10\n")  # 5 minutes otherwise
        self("scontrol", "reconfigure")
        self._daemons[name].kill()
        self._daemons[name].wait()
        for process in self._of_jobs():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        try:
            yield
        finally:
            self.configuration.write_text(usual)
            self("scontrol", "reconfigure")
            self.start_node(name)
            _until(lambda: "down" not in " ".join(self.states()), f"{name} does not come back")

    def _of_jobs(self) -> list[psutil.Process]:
        """What Slurm has started for jobs, its own daemons of their steps first: they would tell the controller."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environment, words = process.environ(), " ".join(process.cmdline())
                if environment.get("SLURM_CONF") != str(self.configuration):
                    continue
                if words.startswith("slurmstepd:") or "SLURM_JOB_ID" in environment:
                    found.append((not words.startswith("slurmstepd:"), process))
        return [process for _, process in sorted(found, key=lambda one: one[0])]

    def _start(self, program: str, *arguments: object, key: str | None = None) -> None:
        with (self.folder / f"{key or program}.out").open("ab") as out:
            self._daemons[key or program] = subprocess.Popen(
                [_program(program), *map(str, arguments)], env=self.environment, stdout=out, stderr=out
            )

    def stop(self) -> None:
        """Cancel what is left, and end all daemons, munge last."""
        if "slurmctld" in self._daemons:
            subprocess.run(["scancel", "--me", "--state=PENDING"], env=self.environment, check=False)
            subprocess.run(["scancel", "--me", "--full", "--signal=KILL"], env=self.environment, check=False)
            subprocess.run(["scancel", "--me"], env=self.environment, check=False)
        for name in reversed(self._daemons):
            daemon = self._daemons[name]
            daemon.terminate()
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Slurm's commands ask this cluster."""
        return {**os.environ, "SLURM_CONF": str(self.configuration)}

    def __call__(self, *command: object) -> str:
        """Run one of Slurm's commands; return what it prints."""
        words = [str(word) for word in command]
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def states(self) -> list[str]:
        """The state of each node, in short; none while the controller does not answer."""
        found = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--partition=gpu", "--format=%t"],
            env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return found.stdout.split()


def _program(name: str) -> str:
    """The path of a daemon; those of Slurm are often not on a user's path."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert found is not None, f"{name} must be installed: apt-get install slurmctld slurmd slurm-client munge"
    return found


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _until(holds: Callable[[], bool], otherwise: str) -> None:
    """Wait for what a daemon does on its own time.

    Raises:
        AssertionError: it does not come within a minute.
    """
    end = time.monotonic() + _START_SECONDS
    while not holds():
        assert time.monotonic() < end, otherwise
        time.sleep(0.1)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    # a socket's path has at most 107 characters, which pytest's own folders may exceed
    with tempfile.TemporaryDirectory(prefix="embudget-slurm-", ignore_cleanup_errors=True) as name:
        cluster = Slurm(Path(name))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
