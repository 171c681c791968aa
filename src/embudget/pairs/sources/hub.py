"""Any data set on the Hugging Face hub, by its name and columns.

Write `hub:ORG/NAME`, or `hub:ORG/NAME:CONFIGURATION` for a data set that has several configurations. Its splits train,
validation and test stay what they are (`embudget.pairs.own_splits`); the columns follow `embudget.pairs.layouts`.
Licence: the data set's own, as far as its card states it.
"""

import hashlib
from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

from embudget.errors import PairsError
from embudget.pairs.columns import Record, Table
from embudget.pairs.layouts import GROUP
from embudget.pairs.own_splits import choose_splits
from embudget.pairs.sources.base import OWN_TEXTS, RawPair, Source
from embudget.pairs.splitting import Split


class Hub(Source):
    """A data set that `datasets.load_dataset` finds, downloaded into its cache on first use.

    Args:
        name: ORG/NAME, perhaps followed by :CONFIGURATION.
        columns: columns of query and positive; by default see `embudget.pairs.layouts`.
        skip_bad: leave out rows without a text, and count them, instead of refusing the data set.
        threshold: the score from which two sentences are a pair.
        resplit: read the training split only, and leave it to embudget to make new ones.
    """

    rules = OWN_TEXTS

    def __init__(
        self,
        name: str,
        columns: tuple[str, str] | None = None,
        *,
        skip_bad: bool = False,
        threshold: float | None = None,
        resplit: bool = False,
    ) -> None:
        self.name = f"hub:{name}"
        self.dataset = name
        self.columns = columns
        self.skip_bad = skip_bad
        self.threshold = threshold
        self.resplit = resplit
        self.path, _, self.configuration = name.partition(":")

    def versions(self) -> dict[str, str]:
        """Hash the addresses of the downloaded files, which hold the revision; without any, the data's fingerprint."""
        addresses = sorted(getattr(self._info, "download_checksums", None) or {})
        identity = "\n".join(addresses or [data._fingerprint for _, data in self._splits[0]])
        return {self.dataset: hashlib.sha256(identity.encode()).hexdigest()[:16]}

    def licences(self) -> dict[str, str]:
        """The licence as the data set's card states it."""
        return {self.dataset: getattr(self._info, "license", None) or "see the data set's card"}

    def read(self) -> Iterator[RawPair]:
        """Rows in the order of the data set, those of held-out splits first."""
        chosen, left = self._splits
        table = Table(self.columns, self.skip_bad, self.threshold)
        table.splits.update(dict.fromkeys(left))
        for split, data in chosen:
            name = f"{self.name} {split}" if split else self.name
            used = table.choose(data.column_names, name).used
            wanted = data.select_columns([column for column in data.column_names if column in used or column == GROUP])
            records: Iterator[Record] = ((f"row {row}", record) for row, record in enumerate(wanted, start=1))
            yield from table.pairs(records, partial("{} {}".format, name), split)
        self.unused, self.read_as, self.scored = table.unused, table.read_as, table.scored

    @property
    def _info(self) -> Any:  # noqa: ANN401 - datasets is untyped
        return self._splits[0][-1][1].info

    @cached_property
    def _splits(self) -> tuple[list[tuple[Split | None, Any]], list[str]]:
        """The splits that are read with what they are, and the names of the others."""
        try:
            import datasets
        except ImportError:
            raise PairsError("package datasets is not installed; get it with: pip install 'embudget[train]'") from None
        try:
            loaded = datasets.load_dataset(self.path, self.configuration or None)
        except Exception as error:  # the hub, the network or the data's own format failed: it is never our bug
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise PairsError(f"cannot load {self.name}: {reason}") from error
        if not isinstance(loaded, dict):
            return [(None, loaded)], []
        if not loaded:
            raise PairsError(f"{self.name} is empty: it has no split")
        chosen, left = choose_splits([str(name) for name in loaded], resplit=self.resplit)
        return [(split, loaded[name]) for name, split in chosen], left
