"""The model card: what was trained, how, on what, with which result, under which licence, and how to use the model.

Its head is metadata as the hub and mteb read them (YAML between two lines of dashes): start, data sets, licence,
language and results, written by huggingface_hub so that it is what that reads. What is not known is left out there, and
said to be unknown in the text.
"""

from typing import Any

from embudget.exports.card_results import eval_results, results_table
from embudget.exports.card_table import cell, inline, table
from embudget.exports.licences import inherited
from embudget.exports.origins import Origins, start_name
from embudget.exports.snippets import sentence_transformers_lines
from embudget.records import Pooling, RunRecord, after_warmup

_POOLED: dict[Pooling, str] = {
    "mean": "mean pooling over the tokens",
    "lasttoken": "the state of the last token",
    "cls": "the state of the first token",
    "weightedmean": "mean pooling over the tokens, later ones weighing more",
}


def model_card(
    record: RunRecord,
    needs: str = "6",
    *,
    origins: Origins | None = None,
    usage: str | None = None,
    to: str = "sentence-transformers",
) -> str:
    """The model card of a run's model.

    Args:
        record: of the run.
        needs: the release of sentence-transformers that reads the folder.
        origins: start and data with their licences; None where nobody kept them.
        usage: how to use the model in the formats that lie beside the card, as Markdown; by default by
            sentence-transformers.
        to: the format that lies there.

    Returns:
        Markdown that begins with the metadata.
    """
    config = record.config
    title = f"{start_name(record.config.model)} fine-tuned with {config.method}"
    title += "" if to == "sentence-transformers" else f", for {to}"
    sections = [
        f"# {title}",
        f"A text-embedding model: {_POOLED[config.pooling]}, normalised to unit length. Compare with the cosine.",
        _inputs(record),
        "## Use",
        _by_sentence_transformers(record, needs) if usage is None else usage,
        "## Recipe",
        table("recipe", _recipe(record)),
        "## Results",
        results_table(record),
        "## Licences",
        "\n".join(f"- {line}" for line in licence_lines(origins)),
        *(["## Data", _data(origins)] if origins is not None and origins.data else []),
        *(["## Remarks", "\n".join(f"- {remark}" for remark in record.remarks)] if record.remarks else []),
    ]
    return f"---\n{_metadata(record, origins, to)}\n---\n\n" + "\n\n".join(filter(None, sections)) + "\n"


def licence_lines(origins: Origins | None) -> list[str]:
    """What to know of the model's licence before it is passed on, a sentence each; the first names it."""
    if origins is None:
        return ["The licence is unknown, because what the model was made of was not kept."]
    verdict = inherited(origins.base_licence, origins.licences)
    named = verdict.licence if verdict.name is None else f"{verdict.licence} ({verdict.name})"
    data = "no data are known" if not origins.data else "those of the data follow"
    if origins.data and not verdict.remarks:
        data = f"those of its {len(origins.licences)} data sets ask for no more"
    start = f"The start {origins.base} is under {origins.base_licence or 'an unknown licence'}"
    return [f"Licence: {named}. {start}; {data}.", *verdict.remarks]


def _metadata(record: RunRecord, origins: Origins | None, to: str) -> str:
    """The head of the card in YAML."""
    results = eval_results(record, origins)
    if not results:
        return start_metadata(origins, to)
    name = f"{start_name(record.config.model)} {record.config.method}"
    return start_metadata(origins, to, model_name=name, eval_results=results)


def start_metadata(origins: Origins | None, to: str, **measured: Any) -> str:  # noqa: ANN401 - of ModelCardData
    """The head of a card in YAML, as far as it does not depend on a run; what was measured goes along as it is."""
    from huggingface_hub import ModelCardData

    verdict = None if origins is None else inherited(origins.base_licence, origins.licences)
    known: dict[str, Any] = {}
    if origins is not None:
        known = {
            "base_model": origins.hub_id,
            "datasets": origins.datasets or None,
            "language": list(origins.language) or None,
        }
    return ModelCardData(
        library_name=to,
        pipeline_tag="sentence-similarity",
        tags=[to, "sentence-similarity", "feature-extraction", "embudget"],
        license="unknown" if verdict is None else verdict.licence,
        license_name=None if verdict is None else verdict.name,
        **known,
        **measured,
    ).to_yaml()


def _recipe(record: RunRecord) -> dict[str, str]:
    """What was trained, and how."""
    config = record.config
    revision = f" ({record.provenance.model_revision})" if record.provenance else ""
    rows = {
        "base model": f"{start_name(record.config.model)}{revision}",
        "method": config.method,
        "parameters without embeddings": f"{record.model_params:,}",
        "budget": f"{config.train_flops:.3g} FLOP (spent {record.train_flops:.4g})",
        "time": _time(record),
        "tokens": f"{record.tokens:,}",
        "pairs": f"{record.pairs_seen:,} of the data {config.pairs}",
        "steps x batch": f"{record.steps:,} x {config.batch_size}",
        "peak learning rate": f"{config.learning_rate:g}, warm-up {config.warmup:g} of the budget, "
        f"then {after_warmup(config.schedule, config.decay)}",
        "weight decay": f"{config.weight_decay:g}",
        "loss": f"symmetric InfoNCE, scale {config.scale:g}",
        "precision": config.precision,
        "max length": f"{config.max_length} tokens",
    }
    if config.attention is not None:
        rows["attention"] = config.attention
    if config.negatives:
        rows["hard negatives"] = f"{config.negatives} of each pair"
    return {name: value for name, value in rows.items() if value}


def _time(record: RunRecord) -> str:
    """Hours of training and the device; empty where they are not known."""
    if record.seconds is None or record.provenance is None:
        return ""
    threads = record.provenance.threads
    return f"{record.seconds / 3600:.3g} hours on {record.provenance.device}, {threads} thread{'s' * (threads != 1)}"


def _inputs(record: RunRecord) -> str:
    """Prompts and smaller sizes, as far as there are any."""
    config, lines = record.config, []
    for side, prompt in (("query", config.query_prompt), ("document", config.document_prompt)):
        if prompt:
            lines.append(f"Put `{inline(prompt)}` in front of each {side}.")
    if config.matryoshka:
        sizes = ", ".join(map(str, config.matryoshka))
        lines.append(f"The first {sizes} numbers of an embedding, normalised anew, are an embedding of that size.")
    return "\n".join(lines)


def _by_sentence_transformers(record: RunRecord, needs: str) -> str:
    """How to use a sentence-transformers folder, of which the transformer lies at the top for transformers too."""
    config = record.config
    prompted = bool(config.query_prompt or config.document_prompt)
    lines = sentence_transformers_lines(prompted, config.matryoshka[0] if config.matryoshka else None)
    return f"""{lines}

It needs sentence-transformers {needs} or later with transformers 5 or later. transformers alone loads the folder with
`AutoModel.from_pretrained`, without pooling and normalisation."""


def _data(origins: Origins | None) -> str:
    """The parts of the data by source, with their licences."""
    assert origins is not None
    lines = ["| source | part | licence |", "|---|---|---|"]
    for source, parts in origins.data.items():
        lines += [
            f"| {cell(source)} | {cell(part)} | {cell(licence or 'unknown')} |" for part, licence in parts.items()
        ]
    return "\n".join(lines)
