"""What the user's own pairs may look like: JSON, JSONL, CSV, TSV, Parquet, a saved data set, or a folder of BEIR.

A file that breaks a rule is refused as a whole, with the line and the reason: to leave out rows silently would hide the
user's mistakes. Bad rows are left out, counted and listed where that is asked for.
"""

from embudget.pairs.formats.files import SUFFIXES, is_readable, read_pairs

__all__ = ["SUFFIXES", "is_readable", "read_pairs"]
