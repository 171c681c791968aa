"""Run the tests marked `gpu`, and write down how each of them went as soon as it has ended.

    python -m benchmarks.gpu.tests --out results/gpu

OUT/tests.json holds each test's outcome, its seconds, and why it failed or was skipped; one that the time limit ended
is `running`. Warnings are no errors, since this machine may have other releases than the locks.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.device import device_name
from embudget.files import write_whole


class Outcomes:
    """A plugin of pytest that writes a file again with each test."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.found: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self.found[nodeid] = {"outcome": "running"}
        self._write()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One of a test's phases has ended: whatever is no success in any of them is how the test went."""
        one = self.found[report.nodeid]
        one["seconds"] = round(one.get("seconds", 0.0) + report.duration, 2)
        if report.when == "call" or not report.passed:
            one["outcome"] = report.outcome
        if not report.passed:
            one["reason"] = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext[-2000:]
        self._write()

    def _write(self) -> None:
        outcomes = [one["outcome"] for one in self.found.values()]
        result = {
            "device": device_name(),
            "date": datetime.now(UTC).date().isoformat(),
            "counts": {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))},
            "tests": self.found,
        }
        write_whole(self.file, json.dumps(result, indent=1) + "\n")


def main() -> None:
    """Run the tests in this process; the exit status is pytest's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mark", default="gpu", help="which tests: an expression of pytest's -m")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("tests", nargs="*", default=["tests/gpu", "tests/training/test_precision.py"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    arguments = ["-m", options.mark, "-n", "0", "-W", "default", "-p", "no:cacheprovider", "-v", "--tb=short"]
    sys.exit(pytest.main([*arguments, *options.tests], plugins=[Outcomes(options.out / "tests.json")]))


if __name__ == "__main__":
    main()
