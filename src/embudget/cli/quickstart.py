"""`embudget quickstart`: one budget, spent on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for everything; quickstart/ by default. The same command again goes on there."),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A tiny version that checks the installation in a minute.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Build text pairs and spend a small budget on a model for them.

    It chooses among SmolLM2-135M cut to a few depths and all-MiniLM-L6-v2, trains the choice, and scores it beside
    MiniLM as it is, BM25 and TF-IDF. It needs the extras train and demo and no network, and took half an hour on
    two busy cores.

    \b
    Example: embudget quickstart --out quickstart/
    """  # noqa: D301
    from embudget.cli.console import counter, note
    from embudget.cli.spend_screen import SpendScreen
    from embudget.cli.store_view import StoreView
    from embudget.spending.folder import STORE
    from embudget.spending.quickstart import quickstart, quickstart_pairs, take_folder

    folder = out or Path("quickstart-smoke" if smoke else "quickstart")
    take_folder(folder, smoke=smoke)
    note("[1/2] text pairs")
    with counter("pairs") as on_progress:
        pairs = quickstart_pairs(folder, smoke=smoke, on_progress=on_progress)
    counts = ", ".join(f"{pairs.rows(split):,} {split}" for split in ("train", "validation", "test"))
    typer.echo(f"pairs      {counts} ({pairs.hash})")
    note("[2/2] one budget, spent")
    with SpendScreen(StoreView(folder / STORE)) as screen:
        quickstart(folder, smoke=smoke, listener=screen)
    typer.echo("\n" + closing(folder))


def closing(folder: Path) -> str:
    """What lies where, and what to do next."""
    return "\n".join(
        [
            f"model      {folder / 'model'}: SentenceTransformer({str(folder / 'model')!r})",
            f"ledger     {folder / 'ledger.json'}, and each round in {folder / 'decisions.jsonl'}",
            f"records    {folder / 'runs.db'}: embudget records {folder / 'runs.db'}",
            "next       your models and pairs: embudget spend --help",
        ]
    )
