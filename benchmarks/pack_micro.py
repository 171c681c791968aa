"""The suite `micro` as it comes with the package: half precision, with its model card.

    embudget suite pretrain studies/micro_suite.yaml --out micro/        # hours
    .venv/bin/python benchmarks/pack_micro.py micro/

Writes src/embudget/data/models: a folder for each model, pretrain.json with the configuration and the outcomes, and
README.md, the card. The perplexities are those of the weights that are written, on the held-out documents of micro/.
"""

import argparse
import json
import math
import platform
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from embudget.files import write_whole
from embudget.suite.corpus import prepare_corpus
from embudget.suite.language_model import heldout_loss
from embudget.suite.loading import BUNDLED, quietly
from embudget.suite.pretrain_config import PretrainConfig

LIMIT = 20_000_000
"""Bytes of all files together."""

CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---
# micro: four small GPT-NeoX language models

Decoder-only language models with biases, small enough to study contrastive fine-tuning by full fine-tuning, block
freezing, bias-only tuning and LoRA on a CPU. They are bases for embedding models of technical documentation, not for
generating text.

{table}

- **Data:** the training groups of embudget's demo pairs: documentation of AWS and Google APIs and docstrings of Python
  packages, {train_tokens:,} tokens, seen {epochs:.1f} times. Documents of groups held out for testing embeddings are
  not among them, and 1 % of the documents were kept for the perplexity.
- **Tokens:** {tokens:,} of every model, the same in the same order; a byte-level BPE vocabulary of {vocab:,}, trained
  on the same text.
- **Training:** `embudget suite pretrain studies/micro_suite.yaml --out micro/`: Pythia's recipe (AdamW, weight decay
  0.1, 1 % warm-up, cosine to a tenth), sequences of {length} tokens, {batch} a step, float32 on {machine}.
- **Weights:** float16 safetensors; the perplexities are those of the rounded weights, on {heldout:,} tokens.
- **Limits:** English documentation only, {length} tokens at most; nothing was done against bias or errors in the text.
"""


def main() -> None:
    """Write the models and the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    summary = json.loads((folder / "pretrain.json").read_text())
    config = PretrainConfig.read(summary["config"], str(folder))
    corpus = prepare_corpus(folder / "corpus", config.text, config.field, config.vocab_size, config.heldout)
    for member in summary["members"]:
        rounded = pack(folder / member["name"], BUNDLED / member["name"])
        loss, _ = heldout_loss(rounded, corpus.heldout, config.sequence_length, config.batch_size)
        member |= {"heldout_loss": loss, "heldout_perplexity": math.exp(loss)}
    write_whole(BUNDLED / "pretrain.json", json.dumps(summary, indent=2) + "\n")
    write_whole(BUNDLED / "README.md", card(summary, len(corpus.train)))
    size = sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file())
    assert size < LIMIT, f"{size} bytes"
    print(f"{size:,} bytes")  # noqa: T201


def pack(source: Path, target: Path) -> Any:  # noqa: ANN401 - transformers is untyped
    """Write a model in half precision; that model, again in float32."""
    with quietly():
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float16)
        model.save_pretrained(target)
        AutoTokenizer.from_pretrained(source).save_pretrained(target)
        return AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)


def card(summary: dict[str, Any], train_tokens: int) -> str:
    """The model card."""
    config, members = summary["config"], summary["members"]
    lines = ["| model | N | input embedding | seconds | held-out perplexity |", "|---|---|---|---|---|"]
    lines += [
        f"| {one['name']} | {one['model_params']:,} | {one['embedding_params']:,} | {one['seconds']:,.0f} "
        f"| {one['heldout_perplexity']:.1f} |"
        for one in sorted(members, key=lambda one: int(one["model_params"]))
    ]
    return CARD.format(
        table="\n".join(lines),
        train_tokens=train_tokens,
        tokens=members[0]["tokens"],
        epochs=members[0]["tokens"] / train_tokens,
        vocab=config["vocab_size"],
        length=config["sequence_length"],
        batch=config["batch_size"],
        heldout=members[0]["heldout_tokens"],
        machine=f"two cores of an {platform.machine()} CPU",
    )


if __name__ == "__main__":
    main()
