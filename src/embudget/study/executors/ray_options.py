"""What each worker gets of a Ray cluster: ``num_gpus=1,num_cpus=4,memory=32GB``, in Ray's own words."""

from typing import Any, NamedTuple

from embudget.errors import ConfigError, shortened
from embudget.memory import parse_bytes
from embudget.number import read_number

_ALLOWED = "num_gpus, num_cpus, memory, accelerator_type, resources.NAME"
_LEAST_BYTES = 1e8
"""A worker with less memory cannot even load torch: whoever writes ``memory=32`` means gigabytes."""


class RayOptions(NamedTuple):
    """What each worker asks for, under the names that Ray itself gives them.

    Example:
        >>> RayOptions.read("num_gpus=1,num_cpus=4,memory=32GB").memory
        32000000000
    """

    num_gpus: float = 0.0
    """GPUs of a worker; a fraction has several workers share one."""
    num_cpus: float = 1.0
    """Cores of a worker, with as many threads."""
    memory: int | None = None
    """Bytes that are set aside for a worker on its node; Ray does not hold it to them."""
    accelerator_type: str | None = None
    """The kind of GPU, as Ray names it: A100, H100."""
    resources: tuple[tuple[str, float], ...] = ()
    """What nodes of a cluster were given by names of its own, with amounts."""

    @classmethod
    def read(cls, text: str) -> "RayOptions":
        """Read what was typed.

        Raises:
            ConfigError: an option is unknown or given twice, or its value breaks its rule.
        """
        given: dict[str, Any] = {}
        resources: dict[str, float] = {}
        for piece in filter(None, (piece.strip() for piece in text.split(","))):
            name, mark, value = (part.strip() for part in piece.partition("="))
            if not mark or not value:
                raise ConfigError(f"ray_options must be as in num_gpus=1,memory=32GB, got {_shown(piece)}")
            if name in given or name.partition(".")[2] in resources:
                raise ConfigError(f"ray_options: {_shown(name)} is given twice")
            if name.startswith("resources.") and len(name) > len("resources."):
                resources[name.partition(".")[2]] = _amount(name, value)
            else:
                given[name] = _value(name, value)
        return cls(**given, resources=tuple(resources.items()))

    def of_actor(self) -> dict[str, Any]:
        """The same as options of a Ray actor."""
        asked = {**self._asdict(), "resources": dict(self.resources) or None}
        return {name: value for name, value in asked.items() if value is not None}

    def of_node(self) -> dict[str, float]:
        """The same as Ray counts what a node has: a node without one of these amounts takes no worker."""
        asked = {"GPU": self.num_gpus, "CPU": self.num_cpus, "memory": float(self.memory or 0), **dict(self.resources)}
        if self.accelerator_type is not None:
            asked[f"accelerator_type:{self.accelerator_type}"] = 0.001  # as much of it as Ray takes
        return {name: amount for name, amount in asked.items() if amount}


def _value(name: str, value: str) -> object:
    if name in ("num_gpus", "num_cpus"):
        return _amount(name, value)
    if name == "memory":
        return _bytes(value)
    if name == "accelerator_type":
        if not value.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"ray_options: accelerator_type must be a name such as A100, got {_shown(value)}")
        return value
    raise ConfigError(f"ray_options: unknown option {_shown(name)}: allowed are {_ALLOWED}")


def _amount(name: str, value: str) -> float:
    """An amount of something, which Ray gives in fractions below 1 and whole above."""
    amount = read_number(value, f"ray_options: {shortened(name, 40)}", least=0.0, most=10_000.0)
    if amount > 1 and not amount.is_integer():
        raise ConfigError(
            f"ray_options: {shortened(name, 40)} above 1 must be a whole number, as Ray asks, got {_shown(value)}"
        )
    return amount


def _bytes(value: str) -> int:
    try:
        amount = parse_bytes(value)
    except ConfigError:
        amount = 0.0
    if amount < _LEAST_BYTES:
        raise ConfigError(f"ray_options: memory must be an amount such as 32GB or 24GiB, got {_shown(value)}")
    return round(amount)


def _shown(text: str) -> str:
    return shortened(repr(text), 60)
