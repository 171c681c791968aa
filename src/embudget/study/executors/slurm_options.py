"""What each worker asks Slurm for: ``partition=gpu,gpus=1,time=4h``, read once into what `sbatch` takes.

Five words are read here, because their units or their spelling differ between Slurm and people. Any other long option
of the `sbatch` that is installed passes as it is: ``account=nlp``, ``qos=low``, ``constraint=a100``, ``exclusive=yes``.
"""

import re
import shutil
import subprocess
from typing import Any, NamedTuple

from embudget.errors import ConfigError, shortened

_OWN = ("partition", "gpus", "cpus", "memory", "time")
_INSTEAD = {
    "cpus-per-task": "cpus", "gpus-per-node": "gpus", "gpus-per-task": "gpus", "mem": "memory",
}  # fmt: skip
"""Slurm's words for what is read here."""
_OURS = {
    "array", "chdir", "error", "export", "export-file", "get-user-env", "gid", "help", "input", "job-name", "nodes",
    "no-requeue", "ntasks", "ntasks-per-core", "ntasks-per-node", "ntasks-per-socket", "open-mode", "output",
    "parsable", "quiet", "requeue", "signal", "test-only", "uid", "usage", "verbose", "version", "wait", "wrap",
}  # fmt: skip
"""Options without which workers are neither hired nor found again: a worker is one task of a job array on one node."""

_MINUTES = {"s": 1 / 60, "m": 1, "min": 1, "h": 60, "d": 24 * 60}
_MEGABYTES = {"": 1, "m": 1, "g": 1024, "t": 1024**2}
_LEAST_MINUTES = 5
DEFAULT_MINUTES = 240
"""How long a job lasts by default, in minutes. A worker that has not done all by then goes on in the same job, queued
again, so that the value decides only how soon Slurm finds room for it."""


class SlurmOptions(NamedTuple):
    """What each worker asks for.

    Example:
        >>> SlurmOptions.read("partition=gpu,gpus=1,time=4h,memory=32GB,account=nlp").memory_mb
        32768
    """

    partition: str | None = None
    gpus: str | None = None
    """A number, or a type and a number as in a100:1."""
    cpus: int | None = None
    memory_mb: int | None = None
    minutes: int = DEFAULT_MINUTES
    more: dict[str, str | bool] = {}  # noqa: RUF012 - nobody changes it
    """Further options of sbatch by their long names; True for one without a value."""

    @classmethod
    def read(cls, text: str) -> "SlurmOptions":
        """Read what was typed. A piece without ``=`` belongs to the value before it, as in ``exclude=n1,n2``.

        Raises:
            ConfigError: an option is unknown, or its value breaks its rule; or Slurm is not installed here.
        """
        given: dict[str, str] = {}
        last = ""
        for piece in text.split(","):
            name, mark, value = piece.partition("=")
            if mark:
                last = _spelled(name)
                if last in given:
                    raise ConfigError(f"slurm: {last} is given twice")
                given[last] = value.strip()
            elif last:
                given[last] += f",{piece.strip()}"
            else:
                raise ConfigError(
                    f"slurm must be options as in partition=gpu,gpus=1,time=4h, got {shortened(text, 60)!r}"
                )
        for name, value in given.items():
            if not value or not value.isprintable():
                raise ConfigError(f"slurm: {shortened(name, 40)} needs a value, got {shortened(value, 40)!r}")
        more = {name: value for name, value in given.items() if name not in _OWN}
        _check_names(more)
        return cls(
            partition=given.get("partition"),
            gpus=_gpus(given["gpus"]) if "gpus" in given else None,
            cpus=_count(given["cpus"], "cpus") if "cpus" in given else None,
            memory_mb=_megabytes(given["memory"]) if "memory" in given else None,
            minutes=_minutes(given["time"]) if "time" in given else DEFAULT_MINUTES,
            more={name: True if value.lower() in ("yes", "true") else value for name, value in more.items()},
        )

    def parameters(self) -> dict[str, Any]:
        """The same as arguments of `submitit.SlurmExecutor.update_parameters`."""
        asked: dict[str, Any] = {
            "partition": self.partition,
            "gpus_per_node": None if self.gpus == "0" else self.gpus,
            "cpus_per_task": self.cpus,
            "mem": None if self.memory_mb is None else f"{self.memory_mb}MB",
            "time": self.minutes,
        }
        if self.cpus is not None:  # since 22.05 a step no longer takes it over from its job
            asked["srun_args"] = [f"--cpus-per-task={self.cpus}"]
        # Slurm puts a job that is preempted or whose node fails into its queue again
        asked["additional_parameters"] = {"requeue": True, **self.more}
        return {name: value for name, value in asked.items() if value is not None}

    def check(self) -> None:
        """Ask Slurm whether it could ever start such a job, without submitting one.

        Raises:
            ConfigError: it could not, with Slurm's reason; or Slurm is not installed, or does not answer.
        """
        sbatch_options()
        asked = self.parameters()
        asked |= asked.pop("additional_parameters")
        asked.pop("srun_args", None)
        flags = [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in asked.items()
        ]
        done = subprocess.run(
            ["sbatch", "--test-only", *flags, "--wrap=true"], capture_output=True, text=True, check=False
        )
        # nodes that are down for now come back
        if done.returncode and "drained" not in done.stderr:
            raise ConfigError(f"slurm would never start a worker: {said_by_slurm(done.stderr)}")


def _spelled(name: str) -> str:
    name = name.strip().lower().lstrip("-").replace("_", "-")
    return _INSTEAD.get(name, name)


def _check_names(names: dict[str, str]) -> None:
    """Refuse what sbatch does not know, and what would take workers from us.

    Raises:
        ConfigError: names the option and those that are allowed.
    """
    if not names:
        return
    if ours := sorted(_OURS & set(names)):
        raise ConfigError(f"slurm: {ours[0]} cannot be given, since each worker is a job of its own, on one node")
    known = sbatch_options()
    for name in names:
        if name not in known:
            raise ConfigError(
                f"slurm: unknown option {shortened(name, 40)!r}: allowed are {', '.join(_OWN)} and the long options of "
                "sbatch, such as account, qos, constraint, exclude"
            )


def sbatch_options() -> set[str]:
    """The long options of the `sbatch` that is installed here.

    Raises:
        ConfigError: it is not, or it finds no cluster.
    """
    if shutil.which("sbatch") is None:
        raise ConfigError("slurm needs the command sbatch: start this on a login node of the cluster")
    done = subprocess.run(["sbatch", "--help"], capture_output=True, text=True, check=False)
    found = set(re.findall(r"^ +(?:-\w,? +)?--([a-z][a-z-]+)", done.stdout, re.MULTILINE))
    if done.returncode or not found:
        raise ConfigError(f"slurm: sbatch does not work here: {said_by_slurm(done.stderr)}")
    return found


def said_by_slurm(text: str) -> str:
    """The last line that a command of Slurm wrote, without its own name."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it does not say why"]
    return shortened(re.sub(r"^(?:\w+: (?:error|fatal)|allocation failure): ", "", lines[-1]), 150)


def _gpus(text: str) -> str:
    if not re.fullmatch(r"([A-Za-z][\w.-]*:)?\d{1,3}", text):
        raise ConfigError(f"slurm: gpus must be a number, or a type and a number as in a100:1, got {_shown(text)}")
    return text


def _count(text: str, name: str) -> int:
    if not re.fullmatch(r"\d{1,6}", text) or int(text) < 1:
        raise ConfigError(f"slurm: {name} must be a whole number >= 1, got {_shown(text)}")
    return int(text)


def _megabytes(text: str) -> int:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?) *([mgt]?)(?:i?b)?", text.lower())
    if found is None or (megabytes := round(float(found[1]) * _MEGABYTES[found[2]])) < 1:
        raise ConfigError(f"slurm: memory must be a size such as 32GB or 500MB, got {_shown(text)}")
    return megabytes


def _minutes(text: str) -> int:
    """Read 4h, 90m or 1.5d, or as Slurm writes it: 4:00:00, 1-12:00:00, or plain minutes."""
    if found := re.fullmatch(r"(\d{1,6}(?:\.\d+)?) *(s|m|min|h|d)", text.lower()):
        minutes = float(found[1]) * _MINUTES[found[2]]
    elif found := re.fullmatch(r"(?:(\d{1,3})-)?(\d{1,5}):(\d\d):(\d\d)", text):
        days, hours, minute, second = (int(part or 0) for part in found.groups())
        minutes = 24 * 60 * days + 60 * hours + minute + second / 60
    elif re.fullmatch(r"\d{1,6}", text):
        minutes = float(text)
    else:
        raise ConfigError(f"slurm: time must be a duration such as 4h, 90m or 1-12:00:00, got {_shown(text)}")
    if minutes < _LEAST_MINUTES:
        raise ConfigError(
            f"slurm: time must be at least {_LEAST_MINUTES}m, since a worker saves its run before its end, got "
            f"{_shown(text)}"
        )
    return round(minutes)


def _shown(text: str) -> str:
    return repr(shortened(text, 40))
