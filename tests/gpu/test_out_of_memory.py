"""A device whose memory is really full makes the chunks smaller, and the step comes out the same.

On a GPU all memory but a little is taken beforehand. On a CPU the process may map no more than a little above what it
has, so that the allocator of torch fails as it does on a machine without memory.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("method", ["full", "freeze:0.5", "lora:4"])
@pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)]
)
def test_a_full_memory_halves_the_chunks_and_changes_nothing(device: str, method: str, tmp_path: Path) -> None:
    """In a process of its own, whose limit and whose trouble end with it."""
    command = [sys.executable, "-m", "tests.gpu.fill_memory", str(tmp_path / "model"), device, method]
    # large tensors are given back when they are freed, as a GPU's are
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert "out of memory: gradients are cached from now on" in done.stderr
    assert "out of memory: chunks hold" in done.stderr
    assert found["cached"] and found["chunk_tokens"] < found["chunk_tokens_before"]
    assert found["loss_difference"] < 1e-3
    assert found["gradient_distance"] < 1e-3
