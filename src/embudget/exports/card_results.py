"""What was measured of a model, for its card: as a table, and as the metadata that the hub and mteb read."""

from typing import TYPE_CHECKING, Any

from embudget.exports.card_table import table
from embudget.exports.origins import Origins
from embudget.records import RunRecord

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


def eval_results(record: RunRecord, origins: Origins | None) -> "list[EvalResult]":
    """The measurements as the hub's metadata hold them: on the held-out pairs, and on benchmarks as mteb names them."""
    from huggingface_hub import EvalResult

    sources = ", ".join(origins.data) if origins is not None and origins.data else record.config.pairs
    held_out: dict[str, Any] = {
        "task_type": "Retrieval",
        "dataset_type": f"embudget-pairs-{record.config.pairs}",
        "dataset_name": f"held-out pairs of {sources}",
        "dataset_split": "validation",
    }
    measured = {
        "contrastive_loss": ("held-out contrastive loss, nats", record.loss),
        "accuracy": (f"share of queries that rank their own text first of {record.config.eval_candidates}",
                     record.accuracy),
        "ndcg_at_10": (f"nDCG@10 among {record.config.eval_candidates} texts", record.ndcg),
    }  # fmt: skip
    found = [
        EvalResult(**held_out, metric_type=kind, metric_name=name, metric_value=value)
        for kind, (name, value) in measured.items()
        if value is not None
    ]
    return found + [
        EvalResult(**_of_benchmark(name), metric_value=value, dataset_split="test")
        for name, value in sorted(record.scores.items())
    ]


def _of_benchmark(name: str) -> dict[str, Any]:
    """Type, data set and metric of a benchmark task: mteb's own words, where it is installed and knows the task."""
    plain = name.removeprefix("mteb:")
    try:
        import mteb

        metadata = mteb.get_task(plain).metadata
    except (ImportError, KeyError, ValueError):  # a task of the user's own
        return {"task_type": "Retrieval" if name.startswith("retrieval") else "Other", "dataset_type": plain,
                "dataset_name": plain, "metric_type": "main_score"}  # fmt: skip
    return {
        "task_type": metadata.type,
        "dataset_type": metadata.dataset["path"],
        "dataset_name": f"MTEB {plain}",
        "metric_type": metadata.main_score,
        "metric_name": "main_score",
    }


def results_table(record: RunRecord) -> str:
    """The measurements as a table, beside those of the start where they were taken."""
    config = record.config
    rows = {
        "held-out loss": f"{record.loss:.4f} nats over {config.eval_candidates} candidates; by chance "
        f"{record.by_chance:.4f}",
        "held-out accuracy": f"{record.accuracy:.3f}",
    }
    if record.ndcg is not None:
        rows["held-out nDCG@10"] = f"{record.ndcg:.4f}"
    if record.base_loss is not None:
        rows["the start before training"] = f"{record.base_loss:.4f} nats" + (
            "" if record.base_ndcg is None else f", nDCG@10 {record.base_ndcg:.4f}"
        )
    return table("measured on pairs that were not trained on", rows | {
        name: f"{value:.4f}" for name, value in sorted(record.scores.items())
    })  # fmt: skip
