"""`embudget fit`: scaling laws from runs."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Verbose


def command(
    runs: Annotated[
        str,
        typer.Argument(
            metavar="STORE|FILE",
            help="The store of a study, or a table with a row for each run: .csv, .tsv, .jsonl, .ndjson or .parquet.",
        ),
    ],
    columns: Annotated[
        str | None,
        typer.Option(
            help="Our name=the table's name, where they differ: loss=eval_loss,tokens=D. A factor brings it to our "
            "unit: model_params=millions*1e6,loss=bits/1.4427. scale= ignores a column."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="File to write the laws to.")] = Path("laws.json"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resampling behind the intervals.")] = 0,
    draws: Annotated[int, typer.Option(min=20, help="How often the runs are resampled for the intervals.")] = 200,
    form: Annotated[
        list[str] | None,
        typer.Option(
            help="Fit this form alone: tied, chinchilla, multiplicative, rectified, dense_retrieval, or zero_shot and "
            "zero_shot_level, which begin at each model's own zero-shot loss; repeatable."
        ),
    ] = None,
    asymptote: Annotated[
        float | None,
        typer.Option(help="The loss in nats that no budget gets below, if you know it; by default it is fitted."),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Fit the scaling laws of a study and print them.

    Several forms of law are fitted. How well each forecasts the largest budgets from the smaller ones decides its
    weight in the predictions.

    A table needs three columns: model_params (without embeddings), loss (in nats, held-out), and tokens or
    train_flops; the method gives the other of the two. Further columns are used where they are there: method (such as
    lora:32; full for all rows without it), rank and active_fraction for methods written without a number, model,
    budget, learning_rate, batch_size, seed, weight, run (the same for all checkpoints of one training run), and the
    others that `embudget records --csv` writes. All others are ignored. If a column has one of these names but another
    meaning, --columns NAME= ignores it; if it has another unit, NAME=NAME*1e6 brings it to ours.

    Warnings say where a table seems to mean something else: sizes with embeddings counted in, train_flops that are not
    those of training, losses partly in bits or that rise, rates and batches that change with the budget.

    Rows are left out, counted and listed if their loss, size, tokens or FLOP is missing, NaN, infinite or not
    positive, if their status is not done, if their loss is no better than chance (log of eval_candidates, where the
    table says it), or if they are there twice. Rows of equal settings but another loss are repeated seeds. If a cell
    has three or more learning rates, the minimum of a parabola through them counts. Text where a number belongs and
    files above 1 GB are refused.

    \b
    Examples: embudget fit study.db --out laws.json
              embudget fit runs.csv --columns "loss=eval_loss,model_params=Model Size"
    """  # noqa: D301
    from embudget.choices import unknown_models
    from embudget.contents import LAWS
    from embudget.errors import ConfigError
    from embudget.laws import fit
    from embudget.outputs import check_file_output, store_places
    from embudget.passwords import hide_passwords
    from embudget.runs import RunTable
    from embudget.runs.columns import ENDINGS, INSTEAD

    check_file_output(out, LAWS, store_places(runs))
    if "://" not in runs and Path(runs).suffix.lower() in (*ENDINGS, *INSTEAD):
        table = RunTable.read(runs, read_mapping(columns))
    elif columns is not None:
        raise ConfigError(f"--columns is for a file that ends in {', '.join(ENDINGS)}, got {hide_passwords(runs)}")
    else:
        from embudget.study import Store

        with Store(runs, create=False) as store:
            table = RunTable.of_rows(store.rows())
    laws = fit(table, seed=seed, draws=draws, forms=form, asymptote=asymptote)
    laws.save(out)
    typer.echo(laws.summary())
    suite = " --suite NAME" if any(unknown_models(one.table.models) for one in laws.every) else ""
    typer.echo(f"{out}: next: embudget recipe {out} --budget FLOP{suite}")


def read_mapping(text: str | None) -> dict[str, str]:
    """Read OURS=THEIRS,... as a user writes it; nothing on the right ignores the table's column of our name.

    Raises:
        ConfigError: a part has no name of ours or no =, or one of ours is there twice.
    """
    from embudget.errors import ConfigError

    mapping: dict[str, str] = {}
    for part in text.split(",") if text is not None else ():
        ours, equals, theirs = (piece.strip() for piece in part.partition("="))
        if not ours or not equals:
            raise ConfigError(f"--columns must be OURS=THEIRS,... as in loss=eval_loss, got {part!r}")
        if ours in mapping:
            raise ConfigError(f"--columns must name each column once, got {ours} twice")
        mapping[ours] = theirs
    return mapping
