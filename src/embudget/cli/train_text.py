"""What `embudget train` says of a finished run."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embudget.records import RunRecord


def outcome(record: "RunRecord") -> str:
    """A finished run in a few lines: its size, its loss beside that of its start, and what to doubt."""
    from embudget.duration import duration
    from embudget.yardstick import loss_text

    config = record.config
    assert record.seconds is not None and record.train_flops is not None and record.loss is not None
    rate = f"{record.train_flops / record.seconds / 1e9:.0f} GFLOP/s"
    return "\n".join(
        [
            f"{config.model} {config.method}: {record.train_flops:.4g} FLOP in {duration(record.seconds)} ({rate})",
            f"{record.tokens:,} tokens, {record.steps:,} steps of {config.batch_size} pairs",
            f"held-out loss {loss_text(record.loss, record.groups, 4)} nats (chance {record.by_chance:.4f}), accuracy "
            f"{record.accuracy:.3f} in "
            f"{config.eval_candidates}",
            *_beside_start(record),
            *([f"no gain: {record.error}"] if record.status == "no_gain" else []),
            *(f"warning: {remark}" for remark in record.remarks),
        ]
    )


def _beside_start(record: "RunRecord") -> list[str]:
    """A line on what the start had before training, where it was measured."""
    if record.base_loss is None or record.base_ndcg is None or record.ndcg is None:
        return []
    return [
        f"before training: loss {record.base_loss:.4f} nats, nDCG@10 {record.base_ndcg:.3f}; after: nDCG@10 "
        f"{record.ndcg:.3f}"
    ]
