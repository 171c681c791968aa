"""`embudget export`: a model in the format of another runtime."""

from pathlib import Path
from typing import Annotated

import typer

from embudget.cli.options import Verbose
from embudget.errors import ConfigError


def command(
    model: Annotated[
        str,
        typer.Argument(
            help="A sentence-transformers folder, such as `embudget train` writes, or its URL; or a member such as "
            "smollm2-135m:2."
        ),
    ],
    to: Annotated[
        list[str],
        typer.Option(metavar="sentence-transformers|transformers|peft|onnx|openvino|gguf", help="The format."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    fp16: Annotated[bool, typer.Option("--fp16", help="Half precision, for onnx, openvino and gguf.")] = False,
    verbose: Verbose = False,
) -> None:
    """Write a model in the format of another runtime.

    onnx and openvino have pooling and normalisation in the graph, and the tokenizer beside it. Each is compared with
    torch on 200 texts before it is put in place, and timed. peft takes the adapters of a model trained by lora.
    transformers leaves pooling to you. How to use what was written stands in its README.md.

    \b
    Examples: embudget export model/ --to onnx --out model-onnx/
              embudget export model/ --to peft --out adapter/
              embudget export smollm2-135m:2 --to transformers --out base/
    """  # noqa: D301
    if len(to) > 1:
        raise ConfigError(f"--to must be given once, got {' and '.join(to)[:80]}: each format has a folder of its own")
    write_export(model, to[0], out, fp16)


def write_export(model: str | Path, to: str, out: Path, fp16: bool = False) -> None:
    """Export a model, and print how its runtime compares with torch."""
    from embudget.exports import export

    done = export(model, to, out, fp16=fp16)
    if done.difference is not None:
        typer.echo(f"largest difference from torch {done.difference:.2g}, in {done.precision}, over 200 texts")
        typer.echo(f"texts per second {done.texts_per_second:.3g}, by torch {done.torch_texts_per_second:.3g}")
    typer.echo(f"{out}: how to use it stands in {out / 'README.md'}")
