"""The suite `micro` as it comes with the package: half precision, with its model card.

    embudget suite pretrain studies/micro_suite.yaml --out micro/        # hours
    .venv/bin/python benchmarks/pack_micro.py micro/

Writes src/embudget/data/models: a folder for each model, pretrain.json with the configuration and the outcomes, and
README.md, the card. The perplexities are those of the weights that are written, on the held-out documents of micro/.
"""

import argparse
import json
import math
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from embudget.files import write_whole
from embudget.pairs import Pairs, load_pairs
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
---
# micro: four small GPT-NeoX language models

Decoder-only language models with biases, small enough to study contrastive fine-tuning by full fine-tuning, block
freezing, bias-only tuning and LoRA on a CPU. They are bases for embedding models of technical documentation and nothing
else: they write no usable text.

{table}

- **Data:** the training pairs of embudget's demo, content hash {pairs}: documentation of AWS and Google APIs and
  docstrings of Python packages. A document is a pair, its summary and the rest; {train_tokens:,} tokens, seen
  {epochs:.1f} times. Fine-tuning on the demo pairs sees the same training documents again; the groups (services,
  packages) held out for its validation and test are not among them.
- **Tokens:** {tokens:,} of every model, the same in the same order; a byte-level BPE vocabulary of {vocab:,}, trained
  on the same text.
- **Perplexity:** of the weights as they are here, on {heldout:,} tokens of the {share:.0%} of the documents that were
  kept back. These are of the same groups as the training documents, so it says little of other text.
- **Training:** `embudget suite pretrain studies/micro_suite.yaml --out micro/`: Pythia's recipe (AdamW, weight decay
  {decay:g}, {warmup:.0%} warm-up, cosine to a tenth), sequences of {length} tokens, {batch} a step, float32.
- **Weights:** float16 safetensors, rounded from float32.
- **Licence:** Apache 2.0, as embudget. The text is from packages with licences of their own: {packages}.
- **Limits:** English documentation only, {length} tokens at most; nothing was done against bias or errors in the text.
"""


def main() -> None:
    """Write the models and the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    summary = json.loads((folder / "pretrain.json").read_text())
    config = PretrainConfig.read(summary["config"], str(folder))
    if missing := {member.name for member in config.members} - {member["name"] for member in summary["members"]}:
        sys.exit(f"{folder} must have all members, {', '.join(sorted(missing))} are not finished")
    (text,) = config.text
    pairs = load_pairs(text)
    corpus = prepare_corpus(folder / "corpus", config.text, config.field, config.vocab_size, config.heldout)
    with TemporaryDirectory(dir=BUNDLED.parent) as made:
        models = Path(made) / BUNDLED.name
        for member in summary["members"]:
            rounded = pack(folder / member["name"], models / member["name"])
            loss, _ = heldout_loss(rounded, corpus.heldout, config.sequence_length, config.batch_size)
            member |= {"heldout_loss": loss, "heldout_perplexity": math.exp(loss)}
        write_whole(models / "pretrain.json", json.dumps(summary, indent=2) + "\n")
        write_whole(models / "README.md", card(summary, len(corpus.train), pairs))
        size = sum(path.stat().st_size for path in models.rglob("*") if path.is_file())
        if size >= LIMIT:
            sys.exit(f"the models must have less than {LIMIT:,} bytes together, have {size:,}")
        shutil.rmtree(BUNDLED, ignore_errors=True)
        models.rename(BUNDLED)
    print(f"{size:,} bytes")  # noqa: T201


def pack(source: Path, target: Path) -> Any:  # noqa: ANN401 - transformers is untyped
    """Write a model in half precision; that model, again in float32, where it can run fastest."""
    with quietly():
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float16)
        model.save_pretrained(target)
        AutoTokenizer.from_pretrained(source).save_pretrained(target)
        rounded = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)
        return rounded.to("cuda" if torch.cuda.is_available() else "cpu")


def card(summary: dict[str, Any], train_tokens: int, pairs: Pairs) -> str:
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
        pairs=pairs.hash,
        train_tokens=train_tokens,
        tokens=members[0]["tokens"],
        epochs=members[0]["tokens"] / train_tokens,
        vocab=config["vocab_size"],
        heldout=members[0]["heldout_tokens"],
        share=config["heldout"],
        decay=config["weight_decay"],
        warmup=config["warmup"],
        length=config["sequence_length"],
        batch=config["batch_size"],
        packages=", ".join(packages_of(pairs)),
    )


def packages_of(pairs: Pairs) -> list[str]:
    """Those that the text is from, with version and licence."""
    sources = pairs.info.sources.values()
    found = {
        f"{name} {version} ({source.licences.get(name, 'licence not stated')})"
        for source in sources
        for name, version in source.versions.items()
    }
    return sorted(found)


if __name__ == "__main__":
    main()
