"""The model card: what was trained, how, on what, with which result, and how to use the model."""

from embudget.records import Pooling, RunRecord, after_warmup

_POOLED: dict[Pooling, str] = {
    "mean": "mean pooling over the tokens",
    "lasttoken": "the state of the last token",
    "cls": "the state of the first token",
    "weightedmean": "mean pooling over the tokens, later ones weighing more",
}


def model_card(record: RunRecord, needs: str = "6") -> str:
    """The model card: what was trained, how, on what, with which result; ``needs`` is of sentence-transformers."""
    config = record.config
    base = record.provenance.model_revision if record.provenance else config.model
    rows = {
        "base model": f"{config.model} ({base})",
        "method": config.method,
        "parameters without embeddings": f"{record.model_params:,}",
        "budget": f"{config.train_flops:.3g} FLOP (spent {record.train_flops:.4g})",
        "tokens": f"{record.tokens:,}",
        "pairs": f"{record.pairs_seen:,} of the data {config.pairs}",
        "steps x batch": f"{record.steps:,} x {config.batch_size}",
        "peak learning rate": f"{config.learning_rate:g}, warm-up {config.warmup:g} of the budget, "
        f"then {after_warmup(config.schedule, config.decay)}",
        "loss": f"symmetric InfoNCE, scale {config.scale:g}",
        "max length": f"{config.max_length} tokens",
        "held-out loss": f"{record.loss:.4f} nats over {config.eval_candidates} candidates; by chance "
        f"{record.by_chance:.4f}",
        "held-out accuracy": f"{record.accuracy:.3f}",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, sentence-similarity, feature-extraction, embudget]
---

# {config.model} fine-tuned with {config.method}

A text-embedding model: {_POOLED[config.pooling]}, normalised to unit length. Compare with the cosine.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
embeddings = model.encode(["first text", "second text"])
```

It needs sentence-transformers {needs} or later with transformers 5 or later.

| recipe | |
|---|---|
{table}
"""
