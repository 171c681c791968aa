"""On what, when and by which command was a result measured? The head of each file of results."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path


def measured_by(module: str) -> dict[str, str]:
    """The command, the date and the machine, with how busy it is: 1 means one core in use over the last 5 minutes."""
    return {
        "command": " ".join([f"python -m {module}", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores of {_processor()}, load {os.getloadavg()[1]:.1f}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
