"""Which files may pip install for a package that stands outside of requirements.lock? Their hashes, as a lock has them.

torch stands outside because one version has several builds: package indexes offer one of them, and a disk or an index
of small CPU builds another, `2.13.0+cpu`, that pip prefers. The models' packages do because their dependencies are not
wanted. Every file of the version that this machine's pip can find is listed, whichever build, Python or platform it is
for.

    python -m pins.hashes requirements.in > requirements-torch.lock
"""

import sys
from pathlib import Path

from pip._internal.req.constructors import install_req_from_line
from piptools.repositories import PyPIRepository


def pinned(requirement: str) -> str:
    """The requirement with the hashes of all its files, as a lock states it.

    Args:
        requirement: ``name==version``; builds of that version with a local suffix belong to it.

    Raises:
        SystemExit: no file is found.
    """
    name, _, version = requirement.partition("==")
    index = PyPIRepository(["--quiet"], cache_dir="")
    with index.allow_all_wheels():
        builds = {str(file.version) for file in index.find_all_candidates(name) if file.version.public == version}
        hashes = {hashed for build in builds for hashed in index.get_hashes(install_req_from_line(f"{name}==={build}"))}
    if not hashes:
        sys.exit(f"no file of {requirement} is found")
    return " \\\n".join([requirement, *(f"    --hash={hashed}" for hashed in sorted(hashes))])


if __name__ == "__main__":
    for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines():
        print(pinned(line) if "==" in line else line)  # noqa: T201 - for the Makefile to redirect
