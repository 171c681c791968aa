"""What a benchmark found: a score for each task and system, and beside it what the system costs."""

from pydantic import Field

from embudget.frozen import Frozen


class Standing(Frozen):
    """One system with its scores."""

    revision: str = Field(description="hash of all that decides its embeddings")
    parameters: int | None = Field(default=None, description="all weights; None of a system without any")
    model_params: int | None = Field(default=None, description="N, weights without embeddings")
    texts_per_second: float | None = Field(default=None, description="over the texts of all its tasks, on this machine")
    scores: dict[str, float] = Field(description="task -> main score, as mteb defines it; a missing one is absent")


class Leaderboard(Frozen):
    """Scores of several systems on the same tasks, the model first."""

    mteb: str = Field(description="version of mteb, which defines the metrics")
    metrics: dict[str, str] = Field(description="task -> name of its main score")
    systems: dict[str, Standing] = Field(description="the systems by name, the model first")
    left_out: tuple[str, ...] = Field(default=(), description="tasks and baselines that were not scored, and why")

    def __str__(self) -> str:
        rows = [["task", "score", *self.systems]]
        for task, metric in self.metrics.items():
            found = [one.scores.get(task) for one in self.systems.values()]
            rows.append([task, metric, *("-" if score is None else f"{score:.4f}" for score in found)])
        systems = self.systems.values()
        rows.append(["parameters", "", *(_millions(one.parameters) for one in systems)])
        rows.append(["  without embeddings", "", *(_millions(one.model_params) for one in systems)])
        rows.append(["texts per second", "", *(_speed(one.texts_per_second) for one in systems)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = []
        for row in rows:
            words = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
            words += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
            lines.append("  ".join(words).rstrip())
        return "\n".join(
            [*lines, *(f"left out: {line}" for line in self.left_out), f"scores as mteb {self.mteb} defines them"]
        )


def _millions(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:.1f}M"


def _speed(speed: float | None) -> str:
    return "-" if speed is None else f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}"
