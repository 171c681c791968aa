"""Where text pairs come from: each source has a file of its own, and is found here by the name that a user writes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from embudget.errors import PairsError
from embudget.pairs.sources.apt import Apt
from embudget.pairs.sources.aws import AwsDocs
from embudget.pairs.sources.azure import AzureDocs
from embudget.pairs.sources.base import RawPair, Rules, Source
from embudget.pairs.sources.docstrings import Docstrings
from embudget.pairs.sources.files import Files
from embudget.pairs.sources.foldoc import Foldoc
from embudget.pairs.sources.gcide import Gcide
from embudget.pairs.sources.google import GoogleDocs
from embudget.pairs.sources.hub import Hub
from embudget.pairs.sources.javadoc import Javadoc
from embudget.pairs.sources.man import Man
from embudget.pairs.sources.wordnet import WordNet

__all__ = ["BUILT_IN", "DEMO", "GENERAL", "SETS", "RawPair", "Rules", "Source", "find_sources"]

BUILT_IN: dict[str, Callable[[], Source]] = {
    "aws-docs": AwsDocs,
    "google-docs": GoogleDocs,
    "docstrings": Docstrings,
    "wordnet": WordNet,
    "gcide": Gcide,
    "foldoc": Foldoc,
    "apt": Apt,
    "azure-docs": AzureDocs,
    "man": Man,
    "javadoc": Javadoc,
}
DEMO = ("aws-docs", "google-docs", "docstrings")
"""The sources that `demo` stands for: documentation inside Python packages, which is there without a network."""
GENERAL = ("wordnet", "gcide", "foldoc", "apt")
"""The sources that `general` stands for: general English, computing terms and software, from Debian packages. If two of
them hold a text, that of the earlier one stays."""
SETS = {"demo": DEMO, "general": GENERAL}
"""Names that stand for several sources."""


def find_sources(
    texts: Sequence[str],
    columns: tuple[str, str] | None = None,
    *,
    skip_bad: bool = False,
    threshold: float | None = None,
    resplit: bool = False,
) -> list[Source]:
    """Make the sources that a user names, each once, in the order in which they are named.

    The other arguments are for `hub:ORG/NAME` and `files:PATH`, see `Files`.

    Raises:
        PairsError: none is given, one is unknown, or columns are given although no source has any.
    """
    if isinstance(texts, str):
        raise PairsError(f"sources must be a list such as ['demo'], got {texts!r}")
    names = dict.fromkeys(name for text in texts for name in SETS.get(text, (text,)))
    if not names:
        raise PairsError("at least one source is needed, such as demo")
    own = partial(Files, columns=columns, skip_bad=skip_bad, threshold=threshold, resplit=resplit)
    hub = partial(Hub, columns=columns, skip_bad=skip_bad, threshold=threshold, resplit=resplit)
    sources = [_find(name, {"files": own, "hub": hub}) for name in names]
    if columns and not any(isinstance(source, Files | Hub) for source in sources):
        raise PairsError(f"columns can be named for files: and hub: only, got {', '.join(names)}")
    return sources


def _find(name: str, kinds: Mapping[str, Callable[[str], Source]]) -> Source:
    if name in BUILT_IN:
        return BUILT_IN[name]()
    kind, _, rest = name.partition(":")
    if kind in kinds and rest:
        return kinds[kind](rest)
    known = ", ".join([*SETS, *BUILT_IN])
    raise PairsError(f"source must be one of {known}, hub:ORG/NAME or files:PATH, got {name!r}")
