"""The device that the measurements are taken on: its clock, its memory, and what it could do at best.

Each works on a CPU too, where the numbers mean little: peak memory there is the whole process's.
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from embudget.flops import DEVICES

SIDE = 8192
"""Rows and columns of the square matrices whose product is timed on a GPU: 1.1e12 FLOP, a millisecond on an H200."""
CPU_SIDE = 512


def device() -> torch.device:
    """The device that training takes here."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name() -> str:
    """Its name, as records have it."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that work takes until the device has done all of it."""
    finish()
    started = time.perf_counter()
    work()
    finish()
    return time.perf_counter() - started


def finish() -> None:
    """Wait for what a GPU has been given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_bytes_of(work: Callable[[], object]) -> float:
    """Most bytes of tensors that are there while work is done, those before it included."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        work()
        finish()
        return float(torch.cuda.max_memory_allocated())
    Path("/proc/self/clear_refs").write_text("5")  # Linux forgets the largest resident set so far
    work()
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def memory_bytes() -> float | None:
    """All memory of the GPU; None on a CPU."""
    return float(torch.cuda.mem_get_info()[1]) if torch.cuda.is_available() else None


def published_peak(name: str) -> float | None:
    """FLOP/s in bf16 by the vendor's data sheet; None for a device that embudget does not know.

    Example:
        >>> published_peak("NVIDIA L40S")
        362050000000000.0
    """
    written = name.lower().replace(" ", "")
    known = [key for key in DEVICES if key in written]
    return DEVICES[max(known, key=len)].peak_flops if known else None  # l40s before l4


def product_rate(kind: torch.dtype = torch.bfloat16, rounds: int = 10) -> float:
    """FLOP/s of a bare product of large matrices of random numbers: what can be reached, as opposed to published."""
    side = SIDE if torch.cuda.is_available() else CPU_SIDE
    one, other = (torch.randn(side, side, device=device()).to(kind) for _ in range(2))
    torch.mm(one, other)  # loads the kernel

    def products() -> None:
        for _ in range(rounds):
            torch.mm(one, other)

    return rounds * 2 * side**3 / seconds_of(products)
