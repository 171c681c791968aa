"""How long does the command line take to answer, as a whole process?

.venv/bin/python -m benchmarks.startup --out results/speed/startup.json
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from embudget.files import write_whole

ROUNDS = 15


def main() -> None:
    """Measure `--version` and `--help` in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"--version": [], "--help": [], "train --help": []}
    for _ in range(ROUNDS):
        for arguments, times in seconds.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", "embudget", *arguments.split()], capture_output=True, check=True)
            times.append(time.perf_counter() - started)
    result = {
        "command": "-m benchmarks.startup",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "median_seconds": {arguments: round(statistics.median(times), 3) for arguments, times in seconds.items()},
    }
    text = json.dumps(result, indent=2) + "\n"
    sys.stdout.write(text)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(options.out, text)


if __name__ == "__main__":
    main()
