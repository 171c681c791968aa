"""What a worker gets of a Ray cluster, as it is typed; and addresses at which no cluster is."""

import socket
import sys
import time
from collections.abc import Iterator

import pytest

from embudget.errors import ConfigError
from embudget.study.executors.ray_cluster import join
from embudget.study.executors.ray_options import RayOptions


def test_options_are_those_of_ray() -> None:
    asked = RayOptions.read("num_gpus=0.5, num_cpus=4,memory=32GB,accelerator_type=A100,resources.spot=1")
    assert asked == RayOptions(0.5, 4.0, 32_000_000_000, "A100", (("spot", 1.0),))
    assert asked.of_actor() == {
        "num_gpus": 0.5, "num_cpus": 4.0, "memory": 32_000_000_000, "accelerator_type": "A100",
        "resources": {"spot": 1.0},
    }  # fmt: skip
    assert asked.of_node() == {"GPU": 0.5, "CPU": 4.0, "memory": 3.2e10, "accelerator_type:A100": 0.001, "spot": 1.0}
    assert RayOptions.read("memory=24GiB").memory == 24 * 2**30


def test_by_default_a_worker_takes_a_core() -> None:
    """Ray itself gives an actor a core only until it runs, so that all would end up on one node."""
    assert RayOptions.read("").of_actor() == {"num_gpus": 0.0, "num_cpus": 1.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpus=1", "unknown option 'gpus': allowed are num_gpus, num_cpus, memory, accelerator_type, resources.NAME"),
        ("num_gpus", "must be as in num_gpus=1,memory=32GB, got 'num_gpus'"),
        ("num_gpus=", "must be as in num_gpus=1,memory=32GB, got 'num_gpus='"),
        ("num_gpus=one", "num_gpus must be a number, got 'one'"),
        ("num_gpus=-1", "num_gpus must be >= 0, got -1"),
        ("num_gpus=1.5", "num_gpus above 1 must be a whole number, as Ray asks, got '1.5'"),
        ("num_cpus=nan", "num_cpus must be >= 0, got nan"),
        ("num_cpus=1e9", "num_cpus must be <= 10000, got 1e"),
        ("num_gpus=1,num_gpus=2", "'num_gpus' is given twice"),
        ("resources.a=1,resources.a=1", "'resources.a' is given twice"),
        ("resources.=1", "unknown option 'resources.'"),
        ("memory=32", "memory must be an amount such as 32GB or 24GiB, got '32'"),
        ("memory=all", "memory must be an amount such as 32GB or 24GiB, got 'all'"),
        ("memory=0GB", "memory must be an amount such as 32GB or 24GiB, got '0GB'"),
        ("accelerator_type=A 100!", "accelerator_type must be a name such as A100, got 'A 100!'"),
    ],
)
def test_what_is_no_option_is_refused_with_those_that_are(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        RayOptions.read(text)
    assert str(error.value).startswith("ray_options") and said in str(error.value)
    assert len(str(error.value)) < 200 and "\n" not in str(error.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"ray needs the package ray: pip install 'embudget\[ray\]'"):
        join("auto")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def refused(address: str) -> str:
    """What is said of an address, within the time that a person waits."""
    begun = time.monotonic()
    with pytest.raises(ConfigError) as error:
        join(address)
    assert time.monotonic() - begun < 20
    assert "\n" not in str(error.value) and len(str(error.value)) < 250
    return str(error.value)


@pytest.mark.parametrize(
    "address", ["local", "head", "head:port", "http://head:6379", "ray://", "a b:1", "", "head:6379/x"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    assert refused(address).startswith(f"ray must be auto, HOST:PORT or ray://HOST:PORT, got {address!r}")


def test_an_address_where_nobody_answers_is_refused_within_seconds(silent: str) -> None:
    """Ray itself would wait for minutes."""
    assert "127.0.0.1:1: " in refused("127.0.0.1:1") and "no cluster answers" in refused("ray://127.0.0.1:1")
    assert "no cluster answers" in refused("no-such-host.invalid:6379")
    assert refused(silent) == f"ray: what answers at {silent} is no Ray cluster"
    assert refused(f"ray://{silent}") == f"ray: what answers at ray://{silent} is no Ray cluster"


def test_without_a_cluster_on_this_machine_auto_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from ray._private import services

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path_factory.mktemp("none")))
    monkeypatch.setattr(services, "find_gcs_addresses", set)  # Ray asks all processes, those of other tests included
    assert refused("auto") == "ray: there is no cluster on this machine, and RAY_ADDRESS is not set"


def test_a_cluster_that_has_ended_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its address stays in a file until the next one starts."""
    from ray._private import services

    left = tmp_path_factory.mktemp("left")
    (left / "ray").mkdir()
    (left / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(left))
    monkeypatch.setattr(services, "find_gcs_addresses", set)
    assert "no cluster answers at 127.0.0.1:1" in refused("auto")
