"""`embudget pairs`: build, index, measure and look at text pairs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embudget.cli.options import Verbose

if TYPE_CHECKING:
    from embudget.pairs import PairsInfo, TokenStats

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Text pairs: build them, index files of your own, count, show."
)

Folder = Annotated[Path, typer.Argument(help="Folder made by `embudget pairs build` or `index`.")]


@app.command()
def build(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="demo (aws-docs, google-docs, docstrings), general (wordnet, gcide, foldoc, apt), one of these, man, "
            "javadoc, azure-docs, hub:ORG/NAME or files:PATH (JSON, CSV, ...), each perhaps with a weight: demo=0.5.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    query_column: Annotated[
        str | None, typer.Option(help="Column of the queries, for hub and files; by default recognised by its name.")
    ] = None,
    positive_column: Annotated[
        str | None, typer.Option(help="Column of the positives, for hub and files; by default recognised by its name.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many pairs of each source.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split and of the order.")] = 0,
    keep_near_duplicates: Annotated[
        bool, typer.Option("--keep-near-duplicates", help="Keep pairs that nearly repeat an earlier one.")
    ] = False,
    one_per_query: Annotated[
        bool, typer.Option("--one-per-query", help="Keep only the first pair of each query, for hub and files.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that cannot be read, and count them, for hub and files.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(help="Score from which two sentences are a pair, on your scale; by default 0.8 of 1."),
    ] = None,
    resplit: Annotated[
        bool, typer.Option("--resplit", help="Make new splits where the data come with train, dev and test.")
    ] = False,
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(help="Model whose tokens to count; repeatable. By default smollm2-135m where it is installed."),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Build text pairs: read, clean and split by group what you name.

    Layouts of sentence-transformers, FlagEmbedding, tevatron and BEIR are recognised, hard negatives included. A group
    is what belongs together, such as a product: in files, the column `group`. No group is in two splits, unless the
    data come with splits of their own. The same command again opens what is there.

    \b
    Examples: embudget pairs build demo --out pairs/
              embudget pairs build files:faq.csv \\
                --query-column question --positive-column answer --out faq/
              embudget pairs build demo=0.5 files:beir/scifact=0.5 --out mixed/
    """  # noqa: D301
    from embudget.cli.console import counter, note
    from embudget.errors import ConfigError
    from embudget.pairs import build_pairs
    from embudget.suite.loading import load_tokenizer
    from embudget.suite.packages import packaged_names

    for option, value in {"--query-column": query_column, "--positive-column": positive_column}.items():
        if value is not None and not any(source.startswith(("files:", "hub:")) for source in sources):
            raise ConfigError(f"{option} is for sources files:PATH and hub:ORG/NAME, got {', '.join(sources)}")
    for name in tokenizer or ():  # before minutes are spent on pairs
        load_tokenizer(name)
    said: list[str] = []
    with counter("pairs") as progress:
        pairs = build_pairs(
            sources,
            out,
            query_column=query_column,
            positive_column=positive_column,
            limit=limit,
            seed=seed,
            near_duplicates=not keep_near_duplicates,
            one_per_query=one_per_query,
            skip_bad=skip_bad,
            threshold=threshold,
            resplit=resplit,
            tokenizers=packaged_names() if tokenizer is None else tokenizer,
            on_progress=progress,
            on_remark=said.append,
        )
    for line in said:
        note(line)
    typer.echo(describe(pairs.info))
    for found in pairs.info.tokens.values():
        typer.echo(describe_tokens(found))


@app.command()
def index(
    folder: Annotated[
        Path, typer.Argument(help="Folder of train*.parquet, validation*.parquet and maybe test*.parquet.")
    ],
    query_column: Annotated[
        str | None, typer.Option(help="Column of the queries; by default query, anchor or question.")
    ] = None,
    positive_column: Annotated[
        str | None, typer.Option(help="Column of the positives; by default positive or answer.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Use Parquet files of any size as text pairs, without loading them.

    A pairs.json is written beside them. Rows are taken as they are. Nothing is cleaned, and the files' names say the
    splits. Held-out queries must not be in train. Runs are measured on validation pairs drawn evenly over the columns
    `group` and `source`, where these are there. Hard negatives are used too: a list `negatives`, or `negative`,
    `negative_1` and so on.

    \b
    Example: embudget pairs index shards/ --query-column anchor --positive-column positive
    """  # noqa: D301
    from embudget.cli.console import note
    from embudget.pairs import index_pairs

    pairs = index_pairs(folder, query_column=query_column, positive_column=positive_column, on_remark=note)
    typer.echo(describe(pairs.info))


@app.command()
def stats(
    folder: Folder,
    model: Annotated[str, typer.Option(help="Model whose tokenizer counts.")] = "smollm2-135m",
    max_length: Annotated[int, typer.Option(min=1, help="Tokens at which texts are cut.")] = 75,
    verbose: Verbose = False,
) -> None:
    """Show counts, what was dropped, licences and token statistics.

    \b
    Example: embudget pairs stats pairs/
    """  # noqa: D301
    from embudget.pairs import load_pairs, token_stats

    pairs = load_pairs(folder)
    found = token_stats(pairs, model, max_length)
    typer.echo(describe(pairs.info))
    typer.echo(describe_tokens(found))


@app.command()
def show(
    folder: Folder,
    split: Annotated[str, typer.Option(help="Which split: train, validation or test.")] = "train",
    count: Annotated[int, typer.Option("-n", min=1, help="How many pairs.")] = 5,
    verbose: Verbose = False,
) -> None:
    """Show the first pairs of a split.

    \b
    Example: embudget pairs show pairs/ --split test -n 3
    """  # noqa: D301
    from embudget.errors import ConfigError
    from embudget.pairs import load_pairs

    if split not in ("train", "validation", "test"):
        raise ConfigError(f"split must be train, validation or test, got {split!r}")
    for row in load_pairs(folder).head(split, count).to_pylist():  # type: ignore[arg-type]
        group = f"[{row['group']}]\n" if row["group"] else ""
        negatives = "".join(f"  negative  {text}\n" for text in row.get("negatives") or ())
        typer.echo(f"{group}  query     {row['query']}\n  positive  {row['positive']}\n{negatives}")


@app.command()
def mine(
    folder: Folder,
    model: Annotated[
        str, typer.Option(help="Model that finds them: a folder in sentence-transformers format, or a member.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write: the same pairs, with hard negatives.")],
    negatives: Annotated[int, typer.Option(min=1, help="Hard negatives of each pair at most.")] = 4,
    margin: Annotated[
        float, typer.Option(help="A negative's similarity to the query is lower than the positive's by this share.")
    ] = 0.05,
    absolute_margin: Annotated[
        float | None, typer.Option(help="The same as a difference of cosines, in place of --margin.")
    ] = None,
    range_min: Annotated[int, typer.Option(min=0, help="Most similar candidates to pass over.")] = 0,
    range_max: Annotated[
        int | None, typer.Option(min=1, help="Candidates to look at; by default 10 for each negative.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens at which texts are cut; by default what the model reads.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Add hard negatives to training pairs: texts that a model takes for an answer, and that are none.

    Candidates are the positives of other training pairs. Texts of validation and test are never used. What comes within
    the margin of the positive is left out as a likely right answer. A run takes them with `negatives`.

    \b
    Example: embudget pairs mine pairs/ --model model/ --out hard/
    """  # noqa: D301
    from embudget.cli.console import note
    from embudget.evaluation.mining import mine_negatives
    from embudget.pairs import load_pairs

    pairs = load_pairs(folder)
    note(f"{model} embeds the texts of {pairs.rows('train'):,} training pairs")
    hard = mine_negatives(
        pairs,
        model,
        out,
        negatives=negatives,
        margin=margin if absolute_margin is None else absolute_margin,
        absolute=absolute_margin is not None,
        range_min=range_min,
        range_max=range_max,
        max_length=max_length,
    )
    mined = hard.info.mined
    assert mined is not None
    typer.echo(
        f"{mined.negatives:,} hard negatives for {mined.pairs:,} of {hard.rows('train'):,} training pairs\n"
        f"mining took {mined.flops:.3g} FLOP, 2N for each of {mined.tokens:,} tokens, which no run's budget counts\n"
        f"content hash {hard.hash}\n{out}: train with negatives: {negatives} in a study, or embudget train --negatives"
    )


def describe(info: "PairsInfo") -> str:
    """Counts by split and source, what was dropped and why, licences."""
    from embudget.cli.console import table

    splits = list(info.splits)
    rows = [
        [name, f"{source.candidates:,}", *(f"{source.pairs[split]:,}" for split in splits)]
        for name, source in info.sources.items()
    ]
    read = sum(source.candidates for source in info.sources.values())
    rows.append(["all", f"{read:,}", *(f"{split.pairs:,}" for split in info.splits.values())])
    groups = ("-" if split.groups is None else f"{split.groups:,}" for split in info.splits.values())
    rows.append(["groups", "", *groups])
    lines = [table(["source", "read", *splits], rows), ""]
    for name, source in info.sources.items():
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in source.dropped.items()) or "nothing"
        licences = ", ".join(sorted(set(source.licences.values())))
        if source.negatives:
            lines.append(f"{name}: {source.negatives:,} hard negatives")
        lines += [f"{name}: dropped {dropped}", f"{name}: licence {licences}"]
    return "\n".join([*lines, f"content hash {info.hash}"])


def describe_tokens(found: "TokenStats") -> str:
    """Lengths of the training texts."""
    return (
        f"tokens of {found.tokenizer}, cut at {found.max_length}: {found.tokens_per_pair:.1f} a pair\n"
        f"  queries    mean {found.query_mean:.1f}, {100 * found.query_cut:.1f} % cut\n"
        f"  positives  mean {found.positive_mean:.1f}, {100 * found.positive_cut:.1f} % cut"
    )
