"""Which versions are the oldest that pyproject.toml allows? Printed as constraints for pip, one line a package.

`make test-minimum` installs them and runs the fast tests, so that a lower bound is a version that was seen to work. A
package that only others depend on stays free. torch stays at the version of the lock, because its older builds bring
gigabytes of CUDA.

    python -m pins.minimum pyproject.toml requirements.in > minimum.txt
"""

import re
import sys
import tomllib
from pathlib import Path

_BOUNDED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?>=(?P<version>[0-9.]+)")


def minimum(project: str, pinned: str) -> list[str]:
    """The constraints that hold every direct dependency, extras included, at its lower bound.

    Args:
        project: the text of pyproject.toml, in which every dependency is written ``name>=version``.
        pinned: constraints that take the place of a lower bound, one ``name==version`` a line.

    Raises:
        ValueError: a dependency has no lower bound, or two different ones.
    """
    metadata = tomllib.loads(project)["project"]
    wanted = [
        *metadata["dependencies"],
        *(line for extra in metadata["optional-dependencies"].values() for line in extra),
    ]
    lowest: dict[str, str] = {}
    for line in wanted:
        bounded = _BOUNDED.fullmatch(line)
        if bounded is None:
            raise ValueError(f"a dependency must be written name>=version, got {line!r}")
        if lowest.setdefault(bounded["name"], bounded["version"]) != bounded["version"]:
            raise ValueError(f"{bounded['name']} has two lower bounds")
    lowest |= dict(line.split("==") for line in pinned.splitlines() if "==" in line)
    return [f"{name}=={version}" for name, version in sorted(lowest.items())]


if __name__ == "__main__":
    project, pinned = (Path(name).read_text(encoding="utf-8") for name in sys.argv[1:])
    print("\n".join(minimum(project, pinned)))  # noqa: T201 - for the Makefile to redirect
