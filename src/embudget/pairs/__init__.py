"""Text pairs (query, positive): sources, cleaning, splitting by group, shards, and their tokens."""

from embudget.pairs.build import build_from, build_pairs
from embudget.pairs.folder import Pairs, load_pairs
from embudget.pairs.index import index_pairs
from embudget.pairs.info import FileInfo, PairsInfo, SourceInfo, SplitInfo, TokenStats
from embudget.pairs.sources import RawPair, Rules, Source
from embudget.pairs.split import Split
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
    "build_from",
    "build_pairs",
    "index_pairs",
    "load_pairs",
    "token_stats",
]
