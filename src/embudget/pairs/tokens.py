"""How long the pairs are in the tokens of a model.

A budget in FLOP buys tokens, and the mean tokens per pair say how many pairs and steps these are, before any run.
"""

import contextlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from embudget.errors import ConfigError, PairsError
from embudget.pairs.folder import Pairs
from embudget.pairs.manifest import SIDES, Quantiles, TokenStats, read_info, write_info
from embudget.pairs.negatives import NEGATIVES
from embudget.pairs.token_cache import prompts_key
from embudget.suite.identity import tokenizer_identity
from embudget.suite.loading import load_tokenizer
from embudget.suite.long_texts import beginning
from embudget.suite.members import local_folder, split_depth

if TYPE_CHECKING:
    import numpy as np

SAMPLE = 20_000
"""Training pairs that are measured at most. Even if lengths vary as much as their mean, its error is then 0.7 %."""
_PIECES = 20  # stretches of rows in the sample of an indexed folder; each costs the reading of a row group
_BATCH = 1000  # texts tokenised at a time


def token_stats(
    pairs: Pairs,
    tokenizer: str,
    max_length: int = 75,
    end_token: bool = False,
    negatives: int = 0,
    prompts: tuple[str, str] = ("", ""),
) -> TokenStats:
    """Measure how many tokens queries, positives and hard negatives have, up to 20,000 training pairs.

    The numbers are kept in `pairs.json` if that can be written, so that they are computed once.

    Args:
        pairs: the pairs; their training split is measured.
        tokenizer: a model's name or folder; its depth does not matter.
        max_length: tokens after which a text is cut, special tokens included.
        end_token: whether each text ends with an end token, as for last-token pooling.
        negatives: hard negatives of each pair that are trained on, where it has as many.
        prompts: what is put in front of each query, and of each positive and negative; its tokens count.

    Raises:
        PairsError: ``max_length`` is below 1, or the pairs cannot be read.
        ModelError: the tokenizer cannot be loaded.

    Example:
        >>> stats = token_stats(load_pairs("pairs/"), "smollm2-135m")
        >>> f"{stats.query_mean:.1f} + {stats.positive_mean:.1f} = {stats.tokens_per_pair:.1f} tokens a pair"
        '14.1 + 40.7 = 54.8 tokens a pair'
    """
    if max_length < 1:
        raise PairsError(f"max_length must be >= 1, got {max_length}")
    name, _ = split_depth(tokenizer)
    folder = local_folder(name)
    # the user may put another tokenizer into the same folder, so its content is a part of the key
    key = f"{name}@{max_length}" if folder is None else f"{name} {tokenizer_identity(folder)}@{max_length}"
    key += (" end" if end_token else "") + (f" negatives {negatives}" if negatives else "")
    key += f" prompts {prompts_key(prompts)}" if any(prompts) else ""
    known = pairs.info.tokens.get(key) or read_info(pairs.folder).tokens.get(key)
    if known is not None:
        return known
    stats = _measure(pairs, name, max_length, end_token, negatives, prompts)
    with contextlib.suppress(OSError):  # in a read-only folder the numbers are right, only not kept
        info = read_info(pairs.folder)
        if info.hash == pairs.hash:
            write_info(pairs.folder, info.model_copy(update={"tokens": {**info.tokens, key: stats}}))
    return stats


def check_prompts(tokenizer: str, max_length: int, prompts: tuple[str, str], end_token: bool = False) -> None:
    """Refuse a prompt that leaves no room for a text within ``max_length`` tokens: all texts would be alike.

    Args:
        tokenizer: a model's name or folder; its depth does not matter.
        max_length: tokens after which a prompt and its text together are cut, special tokens included.
        prompts: of queries, and of positives and negatives.
        end_token: whether each text ends with an end token.

    Raises:
        ConfigError: says which, and how many tokens it takes.
        ModelError: the tokenizer cannot be loaded.
    """
    for field, prompt in zip(("query_prompt", "document_prompt"), prompts, strict=True):
        if prompt and (taken := _length(split_depth(tokenizer)[0], prompt, end_token)) >= max_length:
            raise ConfigError(
                f"{field} must leave room for a text: with {tokenizer} it takes {taken} of max_length={max_length} "
                "tokens; shorten it or raise max_length"
            )


@lru_cache(maxsize=256)
def _length(name: str, text: str, end_token: bool) -> int:
    return len(load_tokenizer(name, end_token=end_token)(text)["input_ids"])


def _measure(
    pairs: Pairs, name: str, max_length: int, end_token: bool, negatives: int, prompts: tuple[str, str]
) -> TokenStats:
    import numpy as np
    import pyarrow as pa

    tokenizer = load_tokenizer(name, end_token=end_token)
    places = _sample(pairs)
    table = pa.concat_tables([pairs.read("train", *place) for place in places], promote_options="default")
    # one token more than allowed is asked for, to tell texts that are cut from those that just fit
    options = {"truncation": True, "max_length": max_length + 1, "return_attention_mask": False}

    cut_behind = tokenizer.truncation_side == "right"

    def length_of(text: str) -> int:
        return len(tokenizer(text, **options)["input_ids"])

    def lengths_of(texts: list[str], prompt: str) -> "np.ndarray":
        texts = [prompt + (beginning(text, max_length + 1, length_of) if cut_behind else text) for text in texts]
        batches = (texts[begin : begin + _BATCH] for begin in range(0, len(texts), _BATCH))
        counted = [len(ids) for batch in batches for ids in tokenizer(batch, **options)["input_ids"]]
        return np.maximum(np.array(counted, np.int64), 1)  # an empty text is read as a space

    values: dict[str, Any] = {}
    squares = 0
    for side, prompt in zip(SIDES, prompts, strict=True):
        lengths = lengths_of(table.column(side).to_pylist(), prompt)
        cut = np.minimum(lengths, max_length)
        squares += int((cut**2).sum())
        values[f"{side}_mean"] = float(cut.mean())
        values[f"{side}_cut"] = float((lengths > max_length).mean())
        p5, p25, p50, p75, p95 = np.quantile(cut, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()
        values[f"{side}_quantiles"] = Quantiles(p5=p5, p25=p25, p50=p50, p75=p75, p95=p95)
    if negatives:
        lists = table.column(NEGATIVES).to_pylist() if NEGATIVES in table.column_names else []
        texts = [text for texts in lists for text in (texts or ())[:negatives]]
        cut = np.minimum(lengths_of(texts, prompts[1]), max_length)
        squares += int((cut**2).sum())
        values |= {"negatives": negatives, "negatives_mean": int(cut.sum()) / table.num_rows}
    values["squares_mean"] = squares / table.num_rows
    return TokenStats(tokenizer=name, max_length=max_length, pairs=table.num_rows, **values)


def _sample(pairs: Pairs) -> list[tuple[int, int]]:
    """Stretches of up to `SAMPLE` training rows together that stand for all of them.

    If embudget built the pairs, their order is random and the first ones will do. In indexed files similar texts may
    lie together, short titles first and long passages last, so evenly spaced stretches are taken.
    """
    rows = pairs.rows("train")
    if not pairs.info.indexed or rows <= SAMPLE:
        return [(0, min(SAMPLE, rows))]
    length = SAMPLE // _PIECES
    starts = [(2 * piece + 1) * rows // (2 * _PIECES) - length // 2 for piece in range(_PIECES)]
    return [(start, start + length) for start in starts]
