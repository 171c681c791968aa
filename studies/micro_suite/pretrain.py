"""Pre-trains small GPT-NeoX language models from scratch, on the text of a folder of pairs, with transformers' Trainer.

    .venv/bin/python -m studies.micro_suite.pretrain studies/micro_suite.yaml --out micro/      # hours of two cores

One tokenizer, and the same tokens in the same order for every member, so that only the size differs. The recipe is that
of Pythia (Biderman et al. 2023 and its published configurations): parallel residuals, rotary positions on a quarter of
each head, an untied output head, weights drawn with variance 2 / 5h for the hidden size h, no dropout, AdamW with betas
0.9 and 0.95, no decay on biases and norms, gradients clipped at norm 1, linear warm-up, then a cosine to a tenth of the
peak rate. Unlike there, the output projections get no second scale that depends on the depth.

`--out` becomes a suite that `embudget --suite micro/` takes:

    corpus/          the tokenizer and the token ids, from which all members are trained
    MEMBER/          a checkpoint in safetensors with its tokenizer, written when the member is finished
    checkpoints/     what Trainer keeps of the member at hand
    pretrain.json    the configuration and the outcomes

Started again, it skips finished members and goes on from the last checkpoint, on a CPU to the same bits. The weights in
`src/embudget/data/models` are older: they come from a loop of this recipe that drew another order of sequences.
`studies.publish.micro_models` packs a new suite in their place.
"""

import argparse
import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    default_data_collator,
)
from transformers.trainer_utils import get_last_checkpoint

from embudget.files import whole_folder, write_whole
from embudget.frozen import Frozen
from embudget.pairs import Pairs, load_pairs
from embudget.suite import shape_of_config

END_OF_TEXT, PAD = SPECIAL_TOKENS = "<|endoftext|>", "<|pad|>"
"""Tokens 0 and 1; each document is followed by the first."""

HELDOUT_TOKENS = 262_144
"""Held-out tokens that the perplexity is measured on at most: its standard error is then below half a percent."""


class MemberConfig(Frozen):
    """The sizes of one model and its rate."""

    name: str = Field(description="name of its folder")
    layers: PositiveInt
    hidden: PositiveInt = Field(description="a multiple of 8 * heads: a quarter of each head is rotated, in pairs")
    heads: PositiveInt
    learning_rate: PositiveFloat = Field(description="peak rate")


class SuiteConfig(Frozen):
    """Everything that determines the pre-training of a suite."""

    pairs: str = Field(description="folder of pairs whose training rows are the text")
    vocab_size: int = Field(ge=256 + len(SPECIAL_TOKENS), le=2**16, description="every byte is a token")
    members: tuple[MemberConfig, ...] = Field(min_length=1)
    tokens: PositiveInt = Field(description="of every member, in whole batches")
    max_epochs: PositiveInt = Field(default=1, description="passes over the text before the run is refused")
    sequence_length: int = Field(default=128, ge=2, description="tokens; also the longest input later")
    batch_size: PositiveInt = Field(default=32, description="sequences a step")
    warmup: float = Field(default=0.01, ge=0, lt=1, description="share of the steps with a rising rate")
    weight_decay: float = Field(default=0.1, ge=0)
    seed: int = Field(default=0, ge=0)
    heldout: float = Field(default=0.01, gt=0, lt=0.5, description="share of the documents kept for the perplexity")
    save_steps: PositiveInt = Field(default=500, description="between checkpoints")


class Corpus(NamedTuple):
    """The text of a suite as token ids, and the tokenizer that made them."""

    tokenizer: Tokenizer
    train: NDArray[np.uint16]
    heldout: NDArray[np.uint16]


class Windows(Dataset[dict[str, NDArray[np.int64]]]):
    """Token ids cut into sequences of ``length`` inputs, each with the ``length`` tokens that follow as labels."""

    def __init__(self, tokens: NDArray[np.uint16], length: int) -> None:
        self.tokens, self.length = tokens, length

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.length

    def __getitem__(self, index: int) -> dict[str, NDArray[np.int64]]:
        first = index * self.length
        ids = self.tokens[first : first + self.length + 1].astype(np.int64)
        return {"input_ids": ids[:-1], "labels": ids[1:]}


def main() -> None:
    """Read the configuration and train what ``--out`` does not hold yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    config = SuiteConfig.read(yaml.safe_load(options.config.read_text()), str(options.config))
    for outcome in pretrain_suite(config, options.out):
        print(json.dumps(outcome))  # noqa: T201


def pretrain_suite(config: SuiteConfig, out: Path) -> list[dict[str, Any]]:
    """Train every member that ``out`` does not hold yet; the outcomes of all."""
    out.mkdir(parents=True, exist_ok=True)
    summary = out / "pretrain.json"
    asked = config.model_dump(mode="json")
    if summary.exists() and json.loads(summary.read_text())["config"] != asked:
        sys.exit(f"{out} holds a run of another configuration: give a new folder")
    corpus = prepare_corpus(config, load_pairs(config.pairs), out / "corpus")
    steps = count_steps(config, corpus)
    outcomes: list[dict[str, Any]] = []
    for member in config.members:
        write_whole(summary, json.dumps({"config": asked, "members": outcomes}, indent=2) + "\n")
        finished = out / member.name / "pretrain.json"
        if not finished.exists():
            pretrain_member(member, config, corpus, steps, out)
        outcomes.append(json.loads(finished.read_text()))
    write_whole(summary, json.dumps({"config": asked, "members": outcomes}, indent=2) + "\n")
    return outcomes


def prepare_corpus(config: SuiteConfig, pairs: Pairs, folder: Path) -> Corpus:
    """Train the tokenizer and tokenise the training pairs, unless ``folder`` holds that already.

    A document is a pair, its query and its positive on lines of their own.
    """
    made_of = {"pairs": pairs.hash, "vocab_size": config.vocab_size, "heldout": config.heldout}
    if not (folder / "corpus.json").exists() or json.loads((folder / "corpus.json").read_text()) != made_of:
        table = pairs.table("train")
        texts = zip(table["query"].to_pylist(), table["positive"].to_pylist(), strict=True)
        documents = [f"{query}\n{positive}" for query, positive in texts]
        parts = {
            "train": [text for text in documents if not is_held_out(text, config.heldout)],
            "heldout": [text for text in documents if is_held_out(text, config.heldout)],
        }
        with whole_folder(folder) as part:
            tokenizer = train_tokenizer(parts["train"], config.vocab_size)
            tokenizer.save(str(part / "tokenizer.json"))
            for name, texts_of_part in parts.items():
                encodings = tokenizer.encode_batch([text + END_OF_TEXT for text in texts_of_part])
                np.save(part / f"{name}.npy", np.concatenate([np.array(one.ids, dtype=np.uint16) for one in encodings]))
            (part / "corpus.json").write_text(json.dumps(made_of) + "\n")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return Corpus(tokenizer, np.load(folder / "train.npy"), np.load(folder / "heldout.npy"))


def is_held_out(document: str, share: float) -> bool:
    """Whether a document is kept for the perplexity: decided by its content, so that duplicates stay on one side."""
    digest = hashlib.blake2b(document.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def train_tokenizer(documents: list[str], vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE tokenizer, to which no text is out of vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    if tokenizer.get_vocab_size() < vocab_size:
        sys.exit(f"vocab_size must be <= {tokenizer.get_vocab_size()}, all that this text supports, got {vocab_size}")
    return tokenizer


def count_steps(config: SuiteConfig, corpus: Corpus) -> int:
    """Whole batches in the wanted tokens, which the text must give within ``max_epochs``."""
    batch_tokens = config.batch_size * config.sequence_length
    steps = config.tokens // batch_tokens
    available = len(Windows(corpus.train, config.sequence_length)) // config.batch_size * config.max_epochs
    if not 1 <= steps <= available:
        sys.exit(
            f"tokens must be between {batch_tokens} and {available * batch_tokens}, what {len(corpus.train)} training "
            f"tokens of text give at max_epochs={config.max_epochs}, got {config.tokens}"
        )
    return steps


def new_model(member: MemberConfig, config: SuiteConfig) -> GPTNeoXForCausalLM:
    """A model with random weights, which depend on nothing but its sizes and the seed."""
    sizes = GPTNeoXConfig(
        vocab_size=config.vocab_size,
        num_hidden_layers=member.layers,
        hidden_size=member.hidden,
        num_attention_heads=member.heads,
        intermediate_size=4 * member.hidden,
        max_position_embeddings=config.sequence_length,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        initializer_range=math.sqrt(2 / (5 * member.hidden)),
        tie_word_embeddings=False,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return GPTNeoXForCausalLM(sizes)


def token_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:  # noqa: ANN401
    """Mean cross-entropy in nats a token; the labels are those of the next tokens already."""
    del num_items_in_batch  # Trainer's argument for batches that are accumulated
    return cross_entropy(outputs.logits.flatten(0, 1).float(), labels.flatten())


def pretrain_member(member: MemberConfig, config: SuiteConfig, corpus: Corpus, steps: int, out: Path) -> None:
    """Train one member, from its last checkpoint if there is one, and write it with its outcome."""
    checkpoints = out / "checkpoints" / member.name
    checkpoints.mkdir(parents=True, exist_ok=True)
    last = get_last_checkpoint(str(checkpoints))
    # Trainer resumes by the names of the file, where GPT-NeoX's head is embed_out and not lm_head: it would start anew
    model = GPTNeoXForCausalLM.from_pretrained(last) if last else new_model(member, config)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=config.batch_size,
        dataloader_drop_last=True,  # so that every step has as many tokens
        learning_rate=member.learning_rate,
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.1},
        warmup_steps=math.ceil(config.warmup * steps),
        weight_decay=config.weight_decay,
        adam_beta2=0.95,
        max_grad_norm=1.0,
        bf16=torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=config.seed,
        save_steps=config.save_steps,
        save_total_limit=2,
        logging_steps=100,
        report_to="none",
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=Windows(corpus.train, config.sequence_length),
        compute_loss_func=token_loss,
    )
    result = trainer.train(resume_from_checkpoint=last)
    loss, heldout_tokens = heldout_loss(model, corpus.heldout, config)
    if not math.isfinite(loss):
        sys.exit(f"the held-out loss of {member.name} is {loss}: take a lower learning_rate")
    shape = shape_of_config(model.config.to_dict(), member.name)
    outcome = {
        "name": member.name,
        "model_params": shape.model_params,
        "embedding_params": shape.embedding_params,
        "tokens": steps * config.batch_size * config.sequence_length,
        "steps": steps,
        "seconds": result.metrics["train_runtime"],  # since the last start
        "heldout_tokens": heldout_tokens,
        "heldout_loss": loss,
        "heldout_perplexity": math.exp(loss),
    }
    with whole_folder(out / member.name) as part:
        model.save_pretrained(part)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=corpus.tokenizer, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, pad_token=PAD,
            model_max_length=config.sequence_length,
        )  # fmt: skip
        tokenizer.save_pretrained(part)
        (part / "pretrain.json").write_text(json.dumps(outcome, indent=2) + "\n")


@torch.inference_mode()
def heldout_loss(model: GPTNeoXForCausalLM, tokens: NDArray[np.uint16], config: SuiteConfig) -> tuple[float, int]:
    """Mean cross-entropy in nats a token, in float32, and the number of tokens it was measured on."""
    model.eval()
    windows = Windows(tokens[: HELDOUT_TOKENS + 1], config.sequence_length)
    total = 0.0
    for first in range(0, len(windows), config.batch_size):
        batch = default_data_collator([windows[i] for i in range(first, min(first + config.batch_size, len(windows)))])
        ids_BT, labels_BT = (batch[name].to(model.device) for name in ("input_ids", "labels"))
        total += float(token_loss(model(input_ids=ids_BT), labels_BT)) * labels_BT.numel()
    count = len(windows) * config.sequence_length
    return total / count if count else math.nan, count


if __name__ == "__main__":
    main()
