"""What is asked of a device must be there in the oldest torch that is supported, 2.6."""

import re
from pathlib import Path

import pytest
import torch
from torch.distributed.fsdp import FSDPModule

from embudget.errors import ConfigError
from embudget.training.sharding import ShardedBlocks

ROOT = Path(__file__).parents[2]

OLDEST = {"current_accelerator", "current_stream", "device_count", "is_available", "set_stream", "synchronize"}
"""What torch.accelerator has in torch 2.6. Memory came with 2.9 and 2.10: a device's own module tells of it."""


def test_no_newer_torch_is_needed_than_is_asked_for() -> None:
    assert '"torch>=2.6"' in (ROOT / "pyproject.toml").read_text()
    sources = [*ROOT.glob("src/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    used = {name for path in sources for name in re.findall(r"torch\.accelerator\.(\w+)", path.read_text())}
    assert {"is_available", "synchronize"} <= used <= OLDEST


@pytest.mark.parametrize("kind", [torch.cuda, torch.xpu])
def test_a_devices_own_module_tells_of_its_memory(kind: object) -> None:
    for name in ("mem_get_info", "memory_reserved", "memory_allocated", "empty_cache"):
        assert callable(getattr(kind, name))


def test_an_older_torch_that_cannot_sum_over_processes_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FSDPModule, "set_force_sum_reduction_for_comms")
    with pytest.raises(ConfigError, match=r"shard needs torch 2\.8 or newer, got \d"):
        ShardedBlocks(torch.nn.Module(), "layers", bf16=False)
