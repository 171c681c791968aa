"""What this machine offers to whoever works on it: the memory of its device."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_OF_GPU = "import torch; print(min(torch.cuda.get_device_properties(i).total_memory for i in range({count})))"


def least_device_bytes() -> float:
    """Memory of the device that trains: the smallest visible GPU, else what this process may use of the machine.

    Another process asks the GPUs, since asking takes some of their memory until the process ends.
    """
    import torch

    if count := torch.cuda.device_count() if torch.cuda.is_available() else 0:
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
