"""One budget spent on this machine, in minutes: text pairs, the search, the final run, and how good its model is.

The pairs are documentation that comes in Python packages. The models are SmolLM2-135M cut to its first blocks, and
all-MiniLM-L6-v2 as it is: an existing retriever is often the better start, and a cut one is none any more.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from embudget.errors import ConfigError
from embudget.evaluation.contenders import MINILM, minilm_folder
from embudget.files import write_whole
from embudget.means import find_means
from embudget.pairs import Pairs, build_pairs
from embudget.pairs.folder import check_replaceable
from embudget.spending.final import evaluated
from embudget.spending.folder import check_free
from embudget.spending.listener import SpendListener
from embudget.spending.prepare import Caps, prepare
from embudget.spending.spend import Spending, carry_out
from embudget.study import Study

MARK = "# embudget quickstart: the models that its budget may be spent on\n"
"""The first line of the list of members, by which a later start knows the folder for its own."""
MEMBERS, PAIRS = "members.yaml", "pairs"
WHOLE_MINILM = "minilm-l6:6"
"""all-MiniLM-L6-v2 with all its blocks; as the start of the final run it is scored as the untrained base."""


class Size(NamedTuple):
    """How much a quickstart does."""

    sources: tuple[str, ...]
    """Sources of text pairs."""
    pairs_limit: int | None
    """Pairs to take from each source; None takes all."""
    budget: float
    """FLOP of search and final run."""
    members: tuple[str, ...]
    study: dict[str, object]
    """What the runs have in common, as in a study's file."""
    caps: Caps
    max_queries: int
    """Test pairs for the retrieval scores."""


FULL = Size(
    sources=("demo",),
    pairs_limit=None,
    budget=3e13,
    members=(WHOLE_MINILM, "smollm2-135m:1", "smollm2-135m:2", "smollm2-135m:4", "smollm2-135m:8"),
    study={"methods": ["full", "freeze:0.5", "lora:32"], "batch_size": 32},
    caps=Caps(max_runs=12),
    max_queries=2000,
)

SMOKE = Size(
    sources=("google-docs",),
    pairs_limit=4000,
    budget=1.5e11,
    members=(WHOLE_MINILM, "smollm2-135m:1", "smollm2-135m:2"),
    study={
        "methods": ["full", "lora:32"],
        "batch_size": 4,
        "min_steps": 2,  # one of mean texts need not pay for one of longer ones, as MiniLM reads them
        "eval_pairs": 32,
        "eval_candidates": 32,
    },
    caps=Caps(max_runs=3),
    max_queries=50,
)


def quickstart(
    out: str | Path,
    *,
    smoke: bool = False,
    listener: SpendListener | None = None,
) -> Spending:
    """Build pairs and spend a budget on them in the folder ``out``, or do the rest of it.

    Args:
        out: folder for pairs/ and all that `spend` writes.
        smoke: a tiny version that checks the installation; what it finds out means nothing.
        listener: told how the budget is spent.

    Returns:
        What came of it; its ``evaluation`` holds the model, its start, all-MiniLM-L6-v2, BM25 and TF-IDF.

    Raises:
        ConfigError: the folder cannot be written, or holds what no quickstart wrote.
        EmbudgetError: what a stage raises.

    Example:
        >>> spending = eb.quickstart("quickstart/")
        >>> print(spending.ledger)
    """
    out, size, listener = Path(out), SMOKE if smoke else FULL, listener or SpendListener()
    quickstart_pairs(out, smoke=smoke)
    study = Study.read({"members": size.members, "pairs": out / PAIRS, "budgets": (size.budget,)} | size.study, "")
    prepared = prepare(study, find_means(size.budget), size.caps)
    spending = carry_out(prepared, out, listener=listener, max_queries=None)
    minilm = minilm_folder()
    scored = {spending.record.config.model, None if spending.untrained is None else spending.untrained.model}
    beside = {} if minilm is None or WHOLE_MINILM in scored else {MINILM: minilm}
    spending.evaluation = evaluated(out, spending.record, prepared.pairs, size.max_queries, beside)
    listener.evaluated(spending.evaluation)
    return spending


def quickstart_pairs(
    out: str | Path, *, smoke: bool = False, on_progress: Callable[[str, int], None] | None = None
) -> Pairs:
    """Take the folder ``out`` and build its pairs, if they are not there yet.

    Args:
        out: see `quickstart`.
        smoke: see `quickstart`.
        on_progress: told which source is read, and how many pairs there are so far.

    Raises:
        ConfigError: the folder cannot be written, or holds what no quickstart wrote.
    """
    out, size = Path(out), SMOKE if smoke else FULL
    take_folder(out, smoke=smoke)
    return build_pairs(
        size.sources,
        out / PAIRS,
        limit=size.pairs_limit,
        on_progress=on_progress,
        on_remark=lambda line: None,  # how much of the documentation repeats itself is no news
    )


def take_folder(out: Path, *, smoke: bool = False) -> None:
    """Take the folder, or refuse it before minutes are spent in it.

    Raises:
        ConfigError: it cannot be written, or holds what no quickstart wrote.
    """
    file, size = out / MEMBERS, SMOKE if smoke else FULL
    try:
        if file.is_file() and file.read_text(encoding="utf-8", errors="replace").startswith(MARK):
            check_replaceable(out / PAIRS)
            return
        check_free(out, also=(MEMBERS, PAIRS))
        if file.exists():
            raise ConfigError(f"{file} is yours, not a quickstart's: name another folder")
        out.mkdir(parents=True, exist_ok=True)
        write_whole(file, MARK + "".join(f"- {name}\n" for name in size.members))
    except OSError as error:
        raise ConfigError(f"cannot write the folder {out}: {error.strerror or error}") from None
