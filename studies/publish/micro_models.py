"""The suite `micro` as it comes with the package: half precision, with its model card.

    .venv/bin/python -m studies.micro_suite.pretrain studies/micro_suite.yaml --out micro/        # hours
    .venv/bin/python -m studies.publish.micro_models micro/
    .venv/bin/python -m studies.publish.micro_models

Writes src/embudget/data/models: a folder for each model, pretrain.json with the configuration, the outcomes and what
the text was, and README.md, the card. Rounding changes a model, so the perplexities are measured again on the weights
that are written. Without a folder the card alone is written anew, from pretrain.json; `make results` does that.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPTNeoXForCausalLM

from embudget.files import whole_folder, write_whole
from embudget.pairs import Pairs, load_pairs
from embudget.suite.loading import BUILTIN
from embudget.suite.quiet import quietly
from studies.micro_suite.pretrain import Corpus, SuiteConfig, heldout_loss, prepare_corpus

LIMIT = 20_000_000
"""Bytes of all files together: the models are part of every installation."""

CARD = """---
license: apache-2.0
language: en
library_name: transformers
---
# micro: four small GPT-NeoX language models

Decoder-only language models with biases, small enough to study contrastive fine-tuning by full fine-tuning, block
freezing, bias-only tuning and LoRA on a CPU. They are bases for embedding models of technical documentation, not meant
for writing text.

{table}

N leaves out the input embedding and the output head, which are as large as each other.

- **Data:** the training pairs of embudget's demo, content hash {pairs}: documentation of AWS and Google APIs and
  docstrings of Python packages. A document is a pair, its summary and the rest; {train_tokens:,} tokens, seen
  {epochs:.1f} times. Fine-tuning on the demo pairs sees the same training documents again; the groups (services,
  packages) held out for its validation and test are not among them.
- **Tokens:** {tokens:,} of every model, the same in the same order; a byte-level BPE vocabulary of {vocab:,}, trained
  on the same text.
- **Perplexity:** of the weights as they are here, on {heldout:,} tokens of the {share:.0%} of the documents that were
  kept back. These are of the same groups as the training documents, so it says little of other text.
- **Training:** `studies/micro_suite.yaml`, by Pythia's recipe (AdamW, weight decay {decay:g}, {warmup:.0%} warm-up,
  cosine to a tenth), sequences of {length} tokens, {batch} a step, float32.
- **Seconds:** of training alone{machine}
- **Weights:** float16 safetensors, rounded from float32.
- **Licence:** Apache 2.0, as embudget. The text is from packages with licences of their own: {packages}.
- **Limits:** English documentation only, {length} tokens at most; nothing was done against bias or errors in the text.
"""


def main() -> None:
    """Write the models and the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--machine", default=".", help="how the seconds came about: what follows 'of training alone'")
    options = parser.parse_args()
    folder: Path | None = options.folder
    if folder is None:
        write_whole(BUILTIN / "README.md", card(json.loads((BUILTIN / "pretrain.json").read_text())))
    else:
        pack_suite(folder, BUILTIN, options.machine)


def pack_suite(folder: Path, target: Path, machine: str = ".") -> None:
    """Write all models of a pre-training's folder in half precision, and the card."""
    if not (folder / "pretrain.json").exists():
        sys.exit(f"{folder} must be of a pre-training, has no pretrain.json")
    summary = json.loads((folder / "pretrain.json").read_text())
    config = SuiteConfig.read(summary["config"], str(folder / "pretrain.json"))
    if missing := {member.name for member in config.members} - {member["name"] for member in summary["members"]}:
        sys.exit(f"{folder} must have all members, {', '.join(sorted(missing))} are not finished")
    pairs = load_pairs(config.pairs)
    if json.loads((folder / "corpus" / "corpus.json").read_text())["pairs"] != pairs.hash:
        sys.exit(f"{folder}/corpus must be made of the training pairs {pairs.hash}, is of others")
    corpus = prepare_corpus(config, pairs, folder / "corpus")
    with whole_folder(target) as models:
        members = [packed(folder, one, models, corpus, config) for one in summary["members"]]
        text = {"pairs": pairs.hash, "train_tokens": len(corpus.train), "packages": packages_of(pairs)}
        facts = summary | {"members": members, "text": text, "machine": machine}
        write_whole(models / "pretrain.json", json.dumps(facts, indent=2) + "\n")
        write_whole(models / "README.md", card(facts))
        size = sum(path.stat().st_size for path in models.rglob("*") if path.is_file())
        if size >= LIMIT:
            sys.exit(f"the models must have less than {LIMIT:,} bytes together, have {size:,}")
    print(f"{size:,} bytes")  # noqa: T201


def packed(folder: Path, member: dict[str, Any], models: Path, corpus: Corpus, config: SuiteConfig) -> dict[str, Any]:
    """Write a model in half precision, and give its outcome with the perplexity of what was written."""
    source, target = folder / member["name"], models / member["name"]
    with quietly():
        AutoModelForCausalLM.from_pretrained(source, dtype=torch.float16).save_pretrained(target)
        AutoTokenizer.from_pretrained(source).save_pretrained(target)
        rounded: Any = GPTNeoXForCausalLM.from_pretrained(target, dtype=torch.float32)  # float16 is slow on a CPU
    loss, count = heldout_loss(rounded, corpus.heldout, config)
    return member | {"heldout_tokens": count, "heldout_loss": loss, "heldout_perplexity": math.exp(loss)}


def card(facts: dict[str, Any]) -> str:
    """The model card, from pretrain.json."""
    config, members, text = facts["config"], facts["members"], facts["text"]
    lines = ["| model | N | input embedding | seconds | held-out perplexity |", "|---|---|---|---|---|"]
    lines += [
        f"| {one['name']} | {one['model_params']:,} | {one['embedding_params']:,} | {one['seconds']:,.0f} "
        f"| {one['heldout_perplexity']:.1f} |"
        for one in sorted(members, key=lambda one: int(one["model_params"]))
    ]
    return CARD.format(
        table="\n".join(lines),
        pairs=text["pairs"],
        machine=facts["machine"],
        train_tokens=text["train_tokens"],
        packages=", ".join(text["packages"]),
        tokens=members[0]["tokens"],
        epochs=members[0]["tokens"] / text["train_tokens"],
        vocab=config["vocab_size"],
        heldout=members[0]["heldout_tokens"],
        share=config["heldout"],
        decay=config["weight_decay"],
        warmup=config["warmup"],
        length=config["sequence_length"],
        batch=config["batch_size"],
    )


def packages_of(pairs: Pairs) -> list[str]:
    """The Python packages that the training text is from, each with version and licence."""
    groups = set(pairs.table("train")["group"].to_pylist())
    return sorted(
        f"{name} {version} ({source.licences.get(name, 'licence not stated')})"
        for kind, source in pairs.info.sources.items()
        for name, version in source.versions.items()
        if kind != "docstrings" or f"docstrings/{name}" in groups
    )


if __name__ == "__main__":
    main()
