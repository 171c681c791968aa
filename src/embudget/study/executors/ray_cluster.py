"""Joining a Ray cluster: found or refused within seconds, quietly, and with nothing of ours told to it.

Ray waits for minutes for a cluster that does not answer, prints what befalls its nodes, replaces the handler of SIGTERM
and notes each driver's command line, which may hold the password of a store, for its dashboard. Each of these is
undone here; where Ray has no option for it, in its private module, and the tests say if a version of Ray moves it.
"""

import logging
import os
import re
import signal
import socket
import threading
from contextlib import suppress
from typing import Any

from embudget.errors import ConfigError, first_line, shortened

NAMESPACE = "embudget"

_ANSWER_SECONDS = 15.0
_CLIENT = "ray://"


def join(address: str) -> None:
    """Connect this process to a cluster, unless it is connected already.

    Args:
        address: ``auto`` for the cluster of RAY_ADDRESS or of this machine, HOST:PORT of a head node for a machine
            that is itself a node, or ray://HOST:PORT for any machine that reaches the cluster's client server.

    Raises:
        ConfigError: Ray is not installed, the address is none, or no cluster answers there within seconds.
    """
    os.environ.setdefault("RAY_GCS_SERVER_REQUEST_TIMEOUT_SECONDS", f"{_ANSWER_SECONDS:g}")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's own default to come; it warns until then
    try:
        import ray
    except ImportError:
        raise ConfigError("ray needs the package ray: pip install 'embudget[ray]'") from None
    if ray.is_initialized():
        return
    found = _address(address)
    _check_answer(found)
    _silence()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(found, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises whatever its parts do
        raise ConfigError(f"ray: cannot join the cluster at {address}: {shortened(first_line(error), 200)}") from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _address(given: str) -> str:
    """An address as `ray.init` takes it, with ``auto`` replaced by what it stands for.

    Raises:
        ConfigError: it is none, or there is no cluster on this machine.
    """
    if given == "auto":
        from ray._private import services

        try:
            given = os.environ.get("RAY_ADDRESS") or services.get_ray_address_from_environment("auto", None)
        except ConnectionError:
            raise ConfigError("ray: there is no cluster on this machine, and RAY_ADDRESS is not set") from None
    if not re.fullmatch(rf"(?:{_CLIENT})?(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):\d{{1,5}}", given):
        raise ConfigError(
            f"ray must be auto, HOST:PORT or ray://HOST:PORT, got {shortened(repr(given), 60)}"
            + (": without a cluster, give --workers instead" if given == "local" else "")
        )
    return given


def _check_answer(address: str) -> None:
    """Ask whether a server is there that talks as Ray does, which `ray.init` would wait for for minutes.

    Raises:
        ConfigError: there is none.
    """
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS / 3).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"ray: no cluster answers at {address}: {first_line(error)}") from None
    try:
        import grpc  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        if address.startswith(_CLIENT):
            raise ConfigError(
                "ray: addresses with ray:// need the package ray[client]: pip install 'ray[client]'"
            ) from None
        return
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return  # the server speaks to nobody without its certificates
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_ANSWER_SECONDS / 3)
        except grpc.FutureTimeoutError:
            raise ConfigError(f"ray: what answers at {address} is no Ray cluster") from None


def _silence() -> None:
    """Keep Ray from printing what befalls its nodes and actors, and from noting this process's command line."""
    from ray._private import utils, worker

    def nothing(*_: Any, **__: Any) -> None:  # noqa: ANN401 - whatever Ray hands over
        pass

    worker.print_to_stdstream = nothing
    utils.get_entrypoint_name = lambda: "embudget"


def leave() -> None:
    """End the connection of this process."""
    import ray

    with suppress(Exception):  # the cluster may be gone
        ray.shutdown()
