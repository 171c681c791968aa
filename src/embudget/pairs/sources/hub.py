"""Any data set on the Hugging Face hub, by its name and columns.

Write `hub:ORG/NAME`, or `hub:ORG/NAME:CONFIGURATION` for a data set that has several configurations. Its split `train`
is read, or the first one if none has that name; embudget makes its own splits. Columns and groups follow the rules of
`embudget.pairs.columns`. Licence: the data set's own, as far as its card states it.
"""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from embudget.errors import PairsError
from embudget.pairs.columns import GROUP, Record, Table, choose_columns
from embudget.pairs.sources.base import OWN_TEXTS, RawPair, Source


class Hub(Source):
    """A data set that `datasets.load_dataset` finds, downloaded into its cache on first use.

    Args:
        name: ORG/NAME, perhaps followed by :CONFIGURATION.
        columns: columns of query and positive; by default see `embudget.pairs.columns.DEFAULT_COLUMNS`.
        skip_bad: leave out rows without a text, and count them, instead of refusing the data set.
    """

    rules = OWN_TEXTS

    def __init__(self, name: str, columns: tuple[str, str] | None = None, *, skip_bad: bool = False) -> None:
        self.name = f"hub:{name}"
        self.dataset = name
        self.columns = columns
        self.skip_bad = skip_bad
        self.path, _, self.configuration = name.partition(":")

    def versions(self) -> dict[str, str]:
        """Hash the addresses of the downloaded files, which hold the revision; without any, the data's fingerprint."""
        addresses = sorted(getattr(self._data.info, "download_checksums", None) or {})
        identity = "\n".join(addresses) or self._data._fingerprint
        return {self.dataset: hashlib.sha256(identity.encode()).hexdigest()[:16]}

    def licences(self) -> dict[str, str]:
        """The licence as the data set's card states it."""
        return {self.dataset: getattr(self._data.info, "license", None) or "see the data set's card"}

    def read(self) -> Iterator[RawPair]:
        """Rows in the order of the data set."""
        data, table = self._data, Table(self.columns, self.skip_bad)
        columns = choose_columns(data.column_names, self.columns, self.name)
        table.ignore(data.column_names, columns)
        table.splits.update(dict.fromkeys(self._others))
        wanted = [*columns, GROUP] if GROUP in data.column_names and GROUP not in columns else list(columns)
        records: Iterator[Record] = (
            (f"row {row}", record) for row, record in enumerate(data.select_columns(wanted), start=1)
        )
        yield from table.pairs(records, lambda row: f"{self.name} {row}")
        self.unused = table.unused

    @property
    def _data(self) -> Any:  # noqa: ANN401 - datasets is untyped
        return self._splits[0]

    @property
    def _others(self) -> list[str]:
        return self._splits[1]

    @cached_property
    def _splits(self) -> tuple[Any, list[str]]:
        """The split that is read, and the names of the others."""
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
            return loaded, []
        chosen = "train" if "train" in loaded else next(iter(loaded))
        return loaded[chosen], [str(split) for split in loaded if split != chosen]
