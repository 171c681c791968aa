"""Is there a GPU, and can the parts run here? Says what is where, before minutes are spent.

    python -m benchmarks.gpu.machine --out results/gpu

Exits 3 where there is no GPU and 2 where a package is missing that the parts import. OUT/machine.json names the device,
the versions, and those of our requirements that this machine meets with an older version or not at all.
"""

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
NO_GPU, MISSING = 3, 2
IMPORTED = (
    "torch", "embudget.training.run", "embudget.study.driver", "embudget.spending.study_outlook", "embudget.laws",
    "benchmarks.engine", "peft", "pytest", "xdist",
)  # fmt: skip


def main() -> None:
    """Look, write, and say in one line why nothing can be measured where that is so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="go on without a GPU")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    for name in IMPORTED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            _end(MISSING, f"the parts need a package that is not installed: {error}")
    import torch

    if not (torch.cuda.is_available() or options.toy):
        _end(NO_GPU, f"no GPU: torch {torch.__version__} sees no CUDA device, so there is nothing to measure")
    from benchmarks.gpu.device import device_name, memory_bytes, product_rate, published_peak
    from embudget.files import write_whole

    facts = {
        "device": device_name(),
        "memory_bytes": memory_bytes(),
        "published_tflops": (published_peak(device_name()) or 0.0) / 1e12 or None,
        "bf16_product_tflops": product_rate() / 1e12,
        "float32_product_tflops": product_rate(torch.float32) / 1e12,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
        "versions": {name: found for name in _required() if (found := _version(name)) is not None},
        "unmet": unmet(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    write_whole(options.out / "machine.json", json.dumps(facts, indent=1) + "\n")
    sys.stdout.write(json.dumps(facts) + "\n")


def unmet() -> list[str]:
    """Our requirements for training that this machine does not meet, with what is here instead.

    They do not end anything: with other releases most things work.
    """
    from packaging.requirements import Requirement

    found = []
    for text in _required().values():
        required, version = Requirement(text), _version(Requirement(text).name)
        if version is None or not required.specifier.contains(version, prereleases=True):
            found.append(f"{text}: {version or 'not installed'}")
    return found


def _required() -> dict[str, str]:
    from packaging.requirements import Requirement

    project = tomllib.loads(PROJECT.read_text())["project"]
    texts = project["dependencies"] + project["optional-dependencies"]["train"]
    return {Requirement(text).name: text for text in texts}


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _end(status: int, line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
