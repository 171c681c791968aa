"""Records and forecasts that are made up."""

from typing import Any

from embudget.records import RunConfig, RunRecord


def record(loss: float | None, ndcg: float | None = None, status: str = "done", **config: object) -> RunRecord:
    values = {"model": "m:2", "method": "full", "train_flops": 1e12, "learning_rate": 1e-3, "batch_size": 16}
    return RunRecord.model_validate(
        {
            "config": RunConfig.model_validate(values | {"pairs": "abc"} | config),
            "status": status,
            "loss": loss,
            "ndcg": ndcg,
        }
    )


FORECAST: dict[str, Any] = {
    "recipe": {"model": "m:2", "method": "full", "train_flops": 1e12, "learning_rate": 1e-3, "predicted_loss": 2.5,
               "predicted_interval": [2.4, 2.6]},
    "rivals": [{"model": "m:1", "method": "full", "learning_rate": 2e-3}],
    "paper": {"model": "m:4", "method": "full", "learning_rate": 3e-3, "loss_by_its_line": 2.0},
}  # fmt: skip
