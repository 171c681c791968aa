"""Text pairs (query, positive) to train on: read from sources, cleaned, split by group, kept in a folder of Parquet.

    import embudget as eb

    pairs = eb.build_pairs(["files:faq.csv"], out="pairs/")    # small data: cleaned and split
    pairs = eb.index_pairs("shards/")                          # your own Parquet of any size: taken as it is
    pairs = eb.load_pairs("pairs/")
    pairs.rows("train"), pairs.head("train", 5).to_pylist()

The content hash `Pairs.hash` names the pairs in every record, so that runs on other data are never mixed in one fit.
"""

from embudget.pairs.build import build_from, build_pairs
from embudget.pairs.folder import Pairs, as_pairs, load_pairs
from embudget.pairs.index import index_pairs
from embudget.pairs.manifest import FileInfo, PairsInfo, SourceInfo, SplitInfo, TokenStats
from embudget.pairs.remarks import remarks
from embudget.pairs.sources import RawPair, Rules, Source
from embudget.pairs.splitting import Split
from embudget.pairs.token_cache import TokenCache
from embudget.pairs.tokens import token_stats

__all__ = [
    "FileInfo",
    "Pairs",
    "PairsInfo",
    "RawPair",
    "Rules",
    "Source",
    "SourceInfo",
    "Split",
    "SplitInfo",
    "TokenCache",
    "TokenStats",
    "as_pairs",
    "build_from",
    "build_pairs",
    "index_pairs",
    "load_pairs",
    "remarks",
    "token_stats",
]
