"""Workers on a Ray cluster: an actor each, which Ray places on a node with what the worker asks for.

An actor that no node has room for waits, and takes the next node that is free or joins. The actors are detached: they
belong to the store, by whose address they are named, and not to the driver, which may be killed and started again, or
be there twice. One whose node is removed is gone, and the driver hires another. On Kubernetes, KubeRay runs the cluster
and nothing is different: such a cluster is reached by ray://.
"""

import hashlib
import logging
import re
import time
import uuid
from typing import Any, NamedTuple, final

from embudget.errors import ConfigError, first_line, shortened
from embudget.study.executors.base import Crew, Gone
from embudget.study.executors.ray_cluster import NAMESPACE, join
from embudget.study.executors.ray_options import RayOptions
from embudget.study.executors.ray_worker import RayWorker
from embudget.study.location import Location
from embudget.study.store import Store

LOG = logging.getLogger(__name__)

_HEARING_SECONDS = 5.0
"""An actor that has a node hears that it is to stop within this time."""
_SAVING_SECONDS = 30.0
"""Workers that are told to stop have this long for their checkpoints."""
_LOOK_SECONDS = 0.5
"""A look at the actors is good for this long."""
_DRIVERS = 16
"""Calls that an actor takes at once: one a driver, and one to stop it."""


class _Call(NamedTuple):
    """An actor, and the answer that it owes: why its worker failed."""

    actor: Any
    answer: Any


@final
class RayCrew(Crew):
    """Workers that Ray starts, each an actor with what the options ask for.

    Every node needs embudget in the Python that its Ray runs in, and must reach the store, the pairs and the folder of
    checkpoints.

    Args:
        store: where the runs are: PostgreSQL, or a SQLite file on a disk that all nodes share, with locks that work
            there.
        address: auto, HOST:PORT or ray://HOST:PORT.
        options: what each worker asks for.

    Raises:
        ConfigError: Ray is not installed, no cluster answers, or no other machine reaches the store.

    Example:
        >>> with Store("postgresql://me@db/study") as store:
        ...     crew = RayCrew(store, "ray://head:10001", RayOptions.read("num_gpus=1,num_cpus=4"))
        ...     crew.hire(8)
    """

    def __init__(self, store: Store, address: str, options: RayOptions) -> None:
        self._prefix = f"{hashlib.sha256(Location(store.address).apart.encode()).hexdigest()[:12]}-"
        self._store = store.address
        self._options = options
        self._calls: dict[str, _Call] = {}
        self._told: set[str] = set()
        self._gone: list[Gone] = []
        self._looked = -_LOOK_SECONDS
        self._warned = False
        join(address)
        self._look()

    def hire(self, count: int) -> None:
        """Make so many more actors; those that no node has room for wait.

        Raises:
            ConfigError: the cluster no longer answers, or refuses what was asked for.
        """
        import ray

        actors = ray.remote(RayWorker)
        self._warn()
        for _ in range(count):
            name = f"{self._prefix}{uuid.uuid4().hex[:8]}"
            try:
                actor = actors.options(
                    name=name,
                    namespace=NAMESPACE,
                    lifetime="detached",
                    max_restarts=0,
                    max_concurrency=_DRIVERS,
                    **self._options.of_actor(),
                ).remote()
            except Exception as error:  # Ray raises whatever its parts do
                raise ConfigError(f"ray refuses a worker: {shortened(first_line(error), 200)}") from None
            self._ask(name, actor)

    def waiting_or_working(self) -> int:
        """How many actors of this store wait for a node or are at work, whoever has hired them."""
        self._look()
        return len(self._calls)

    def gone(self) -> list[Gone]:
        """Workers that ended since this was last asked."""
        self._look()
        gone, self._gone = self._gone, []
        return gone

    def dismiss(self) -> None:
        """End all workers of this store: those at work write checkpoints and let go of their runs."""
        import ray

        self._look(at_once=True)
        told = {call.actor.stop.remote(): name for name, call in self._calls.items()}
        heard, _ = ray.wait(list(told), num_returns=len(told), timeout=_HEARING_SECONDS) if told else ([], [])
        answers = [self._calls[told[one]].answer for one in heard]
        if answers:
            ray.wait(answers, num_returns=len(answers), timeout=_SAVING_SECONDS)
        self._look(at_once=True)
        for call in self._calls.values():  # it waits for a node, or does not end
            ray.kill(call.actor)
        self._told |= set(self._calls)
        self._calls.clear()

    def _ask(self, name: str, actor: Any) -> None:  # noqa: ANN401 - of Ray, untyped
        self._calls[name] = _Call(actor, actor.run.remote(self._store, f"ray {name.removeprefix(self._prefix)}"))

    def _look(self, at_once: bool = False) -> None:
        """Find the actors of this store that others have hired, and hear which have ended.

        Raises:
            ConfigError: the cluster no longer answers.
        """
        import ray
        from ray.util import list_named_actors

        if not at_once and time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        try:
            for found in list_named_actors(all_namespaces=True):
                name = found["name"]
                if found["namespace"] == NAMESPACE and name.startswith(self._prefix):
                    self._adopt(name)
            answers = {call.answer: name for name, call in self._calls.items()}
            ready, _ = ray.wait(list(answers), num_returns=len(answers), timeout=0) if answers else ([], [])
            for answer in ready:
                self._hear(answers[answer])
        except (ConnectionError, ray.exceptions.RaySystemError, ray.exceptions.RpcError) as error:
            raise ConfigError(
                f"ray: the cluster no longer answers: {shortened(first_line(error), 150)}; the same command goes on"
            ) from None
        self._looked = time.monotonic()

    def _adopt(self, name: str) -> None:
        import ray

        if name in self._calls or name in self._told:
            return
        try:
            self._ask(name, ray.get_actor(name, NAMESPACE))
        except ValueError:  # it has just ended
            return

    def _hear(self, name: str) -> None:
        """Take the answer of an actor, or that there will be none."""
        import ray

        call = self._calls.pop(name)
        try:
            reason = str(ray.get(call.answer))
        except ray.exceptions.ActorUnavailableError:
            self._ask(name, call.actor)  # its node may be gone, which Ray finds out within seconds
            return
        except ray.exceptions.RayError as error:
            reason = _reason(str(error))
        self._told.add(name)
        self._gone.append(Gone(name.removeprefix(self._prefix), reason))

    def _warn(self) -> None:
        """Say once what the user may not have meant: a wish that no node meets, or GPUs that nobody asked for."""
        import ray

        if self._warned:
            return
        self._warned = True
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        asked = self._options.of_node()
        if not any(all(node.get(name, 0.0) >= amount for name, amount in asked.items()) for node in nodes):
            wish = ", ".join(f"{amount:g} {name}" for name, amount in asked.items())
            LOG.warning("no node of the Ray cluster has %s: the workers wait for one to join", wish)
        elif not self._options.num_gpus and any(node.get("GPU") for node in nodes):
            LOG.warning("the Ray cluster has GPUs, and no worker asks for one: --ray-options num_gpus=1 does")


_CAUSES = {
    r"No module named '?embudget": "embudget is not installed in the Python of the node's Ray",
    r"ray\.kill|RAY_KILL": "it was killed by another program",
    r"node has died|node died|NODE_DIED|node.{0,80}(?:dead|terminated)": "its node was removed",
    r"OutOfMemory|due to memory|low on memory|OOM": "Ray ended it, since its node was out of memory",
}


def _reason(text: str) -> str:
    """Why an actor died, in a few words of Ray's many."""
    for pattern, reason in _CAUSES.items():
        if re.search(pattern, text):
            return reason
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"its actor died: {shortened(lines[-1] if lines else 'Ray does not say why', 200)}"
