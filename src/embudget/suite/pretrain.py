"""Pre-training a small GPT-NeoX suite from scratch, by next-token prediction on any text.

The recipe follows Pythia (Biderman et al. 2023); see `embudget.suite.language_model`. One tokenizer, and the same
tokens in the same order for every member, so that only the size differs. The folder that comes out is a suite: each
member is a Hugging Face checkpoint in a folder of its name.

A run may be killed at any time. Started again, it skips what is finished and goes on from the last checkpoint of the
member at hand; on a CPU the result is bit for bit that of an uninterrupted run.
"""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from embudget.errors import ConfigError, RunError
from embudget.files import write_whole
from embudget.frozen import Frozen
from embudget.suite.corpus import Corpus, prepare_corpus
from embudget.suite.language_model import Recipe, heldout_loss, new_model, save_model, train
from embudget.suite.pretrain_config import MemberConfig, PretrainConfig
from embudget.suite.shapes import shape_of_config

if TYPE_CHECKING:
    from transformers import GPTNeoXForCausalLM

__all__ = ["MemberConfig", "PretrainConfig", "PretrainedMember", "Progress", "pretrain_suite"]


class PretrainedMember(Frozen):
    """The outcome for one member."""

    name: str
    model_params: PositiveInt = Field(description="N, without embeddings and head")
    embedding_params: PositiveInt = Field(description="of the input embedding")
    tokens: PositiveInt
    steps: PositiveInt
    seconds: PositiveFloat = Field(description="training alone, over all resumed parts")
    heldout_tokens: PositiveInt
    heldout_loss: NonNegativeFloat = Field(description="mean cross-entropy, nats a token")
    heldout_perplexity: PositiveFloat


class Progress(Frozen):
    """One finished step."""

    member: str
    step: PositiveInt
    steps: PositiveInt
    loss: NonNegativeFloat = Field(description="training loss of the step, nats a token")


OnProgress = Callable[[Progress], None]


def pretrain_suite(
    config: PretrainConfig, out: str | Path, on_progress: OnProgress | None = None
) -> tuple[PretrainedMember, ...]:
    """Train every member that ``out`` does not hold yet.

    Args:
        config: what to train, on what.
        out: folder; afterwards it holds MEMBER/ for each member and pretrain.json with the outcomes.
        on_progress: called after each step.

    Raises:
        ConfigError: the text is missing, unreadable or too small, or ``out`` holds another configuration's run.
        RunError: a file cannot be written, or the loss is no longer finite.
    """
    from safetensors import SafetensorError

    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        claimed = _claim(out, config)
        corpus = prepare_corpus(out / "corpus", config.text, config.field, config.vocab_size, config.heldout)
        steps = count_steps(config, corpus)
        done: list[PretrainedMember] = []
        for member in config.members:
            done.append(_pretrain_member(member, config, corpus, steps, out, on_progress))
            _write_summary(out, claimed)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"pre-training into {out} stopped: {reason}") from error
    return tuple(done)


def count_steps(config: PretrainConfig, corpus: Corpus) -> int:
    """Whole batches in the wanted tokens.

    Raises:
        ConfigError: fewer than one, or more than the text and ``max_epochs`` give.
    """
    batch_tokens = config.batch_size * config.sequence_length
    steps = config.tokens // batch_tokens
    windows = (len(corpus.train) - 1) // config.sequence_length
    available = windows * config.max_epochs // config.batch_size
    if steps < 1:
        raise ConfigError(f"tokens must be >= batch_size * sequence_length = {batch_tokens}, got {config.tokens}")
    if steps > available:
        raise ConfigError(
            f"tokens must be <= {available * batch_tokens}, what {len(corpus.train)} training tokens of text give at "
            f"max_epochs={config.max_epochs}, got {config.tokens}"
        )
    if len(corpus.heldout) <= config.sequence_length:
        raise ConfigError(
            f"heldout={config.heldout:g} must give more than sequence_length={config.sequence_length} tokens of text, "
            f"got {len(corpus.heldout)}"
        )
    return steps


def _claim(out: Path, config: PretrainConfig) -> PretrainConfig:
    """Keep the configuration in ``out``, with the members of earlier calls; refuse another once training has begun."""
    path = out / "pretrain.json"
    try:
        before = PretrainConfig.read(json.loads(path.read_text())["config"], str(path))
    except FileNotFoundError:
        before = config
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path}: not the summary of a pre-training run") from None
    free = {"members", "checkpoint_seconds", "checkpoint_steps"}
    changed = [
        field for field in set(type(config).model_fields) - free if getattr(config, field) != getattr(before, field)
    ]
    members = {member.name: member for member in before.members}
    changed += [f"member {each.name}" for each in config.members if members.setdefault(each.name, each) != each]
    if changed and not _is_begun(out, before):
        shutil.rmtree(out / "corpus", ignore_errors=True)  # made for the other configuration
        members = {member.name: member for member in config.members}
    elif changed:
        raise ConfigError(f"{out} holds a run with another {min(changed)}: give a new folder or the same configuration")
    claimed = config.model_copy(update={"members": tuple(members.values())})
    _write_summary(out, claimed)
    return claimed


def _is_begun(out: Path, config: PretrainConfig) -> bool:
    return any(
        (out / member.name).exists() or any((out / "checkpoints" / member.name).glob("step-*"))
        for member in config.members
    )


def _write_summary(out: Path, config: PretrainConfig) -> None:
    finished = [_outcome(out / member.name) for member in config.members if (out / member.name).exists()]
    summary = {"config": config.model_dump(mode="json"), "members": [member.model_dump() for member in finished]}
    write_whole(out / "pretrain.json", json.dumps(summary, indent=2) + "\n")


def _outcome(folder: Path) -> PretrainedMember:
    path = folder / "pretrain.json"
    try:
        return PretrainedMember.read(json.loads(path.read_text()), str(path))
    except (FileNotFoundError, ValueError):
        raise ConfigError(f"{folder} is in the way: it is not a member of this run") from None


def _pretrain_member(
    member: MemberConfig, config: PretrainConfig, corpus: Corpus, steps: int, out: Path, on_progress: OnProgress | None
) -> PretrainedMember:
    """Train one member and move it to its folder, or read the outcome if it is there."""
    folder = out / member.name
    if folder.exists():
        return _outcome(folder)

    def report(step: int, loss: float) -> None:
        if on_progress is not None:
            on_progress(Progress(member=member.name, step=step, steps=steps, loss=loss))

    model = _model(member, config)
    checkpoints = out / "checkpoints" / member.name
    seconds = train(model, corpus.train, _recipe(member, config, steps), checkpoints, report)
    loss, heldout_tokens = heldout_loss(model, corpus.heldout, config.sequence_length, config.batch_size)
    shape = shape_of_config(model.config.to_dict(), member.name)
    result = PretrainedMember(
        name=member.name,
        model_params=shape.model_params,
        embedding_params=shape.embedding_params,
        tokens=steps * config.batch_size * config.sequence_length,
        steps=steps,
        seconds=seconds,
        heldout_tokens=heldout_tokens,
        heldout_loss=loss,
        heldout_perplexity=math.exp(loss),
    )
    part = checkpoints / "finished"
    shutil.rmtree(part, ignore_errors=True)
    save_model(model, corpus.folder / "tokenizer.json", part)
    (part / "pretrain.json").write_text(result.model_dump_json(indent=2) + "\n")
    part.rename(folder)
    shutil.rmtree(checkpoints)
    return result


def _model(member: MemberConfig, config: PretrainConfig) -> "GPTNeoXForCausalLM":
    return new_model(
        vocab_size=config.vocab_size,
        layers=member.layers,
        hidden=member.hidden,
        heads=member.heads,
        intermediate=member.intermediate or 4 * member.hidden,
        max_length=config.sequence_length,
        seed=config.seed,
    )


def _recipe(member: MemberConfig, config: PretrainConfig, steps: int) -> Recipe:
    return Recipe(
        steps=steps,
        batch_size=config.batch_size,
        sequence_length=config.sequence_length,
        learning_rate=member.learning_rate or config.learning_rate,
        warmup=config.warmup,
        weight_decay=config.weight_decay,
        seed=config.seed,
        checkpoint_seconds=config.checkpoint_seconds,
        checkpoint_steps=config.checkpoint_steps,
    )
