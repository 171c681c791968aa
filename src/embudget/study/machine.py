"""What this machine offers to whoever works on it: the memory of its device."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_GPU_FILES = ("nvidiactl", "nvhost-gpu", "nvgpu", "dxg", "kfd")
"""In /dev, of the drivers of NVIDIA, of Jetson boards, of Linux in Windows and of AMD."""
_OF_GPU = "import torch; print(min(torch.cuda.get_device_properties(i).total_memory for i in range({count})))"


def least_device_bytes() -> float:
    """Memory of the device that trains: the smallest visible GPU, else what this process may use of the machine.

    Another process asks the GPUs, since asking takes some of their memory until the process ends.
    """
    if count := _gpus():
        command = [sys.executable, "-c", _OF_GPU.format(count=count)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    import psutil

    limits = [float(psutil.virtual_memory().total)]
    for file in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # "max", where there is no limit
            limits.append(float(file.read_text()))
    with suppress(ImportError):  # Windows has no such limit
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        limits += [] if soft == resource.RLIM_INFINITY else [float(soft)]
    return min(limits)


def _gpus() -> int:
    """How many GPUs torch sees.

    Where no driver has a file torch is not asked: a worker trains in a process of its own, and would import torch for
    this answer alone, which takes 3 seconds of a core and 210 MB.
    """
    if sys.platform == "linux" and not any(Path("/dev", name).exists() for name in _GPU_FILES):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
