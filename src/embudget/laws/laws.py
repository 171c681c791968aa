"""What may be asked of the laws of a study: losses, intervals, the frontier, figures and text; and their file.

What they hold is in `embudget.laws.fitted`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from embudget.errors import BudgetError, ConfigError, MethodError
from embudget.files import save_text
from embudget.laws import notebook, plot, summary
from embudget.laws.best_of_budget import best_of
from embudget.laws.cells_frame import cells_frame
from embudget.laws.fitted import OVER_ALL, Domain, Fitted
from embudget.laws.frontier import FrontierRow
from embudget.laws.repetition import unique_tokens_of
from embudget.laws.size_exponent import SizeExponent, exponent_of
from embudget.laws.stored import check_predictions, read_data
from embudget.laws.surface import Kind
from embudget.methods import parse_method

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["OVER_ALL", "Domain", "Laws"]


class Laws(Fitted):
    """The fitted laws of a study.

    Where its runs are of several lineages, as of a base language model's family and of existing retrievers, each has
    laws of its own, fitted together. The fields of this value are those of the lineage with the most cells; ``others``
    are the laws of the rest, and `of` gives any of them. What is asked of a method then needs its ``lineage``.

    Example:
        >>> laws = embudget.fit(records)
        >>> laws.predict("lora:32", model_params=1.1e8, tokens=2e7)
        >>> laws.interval("lora:32", model_params=1.1e8, tokens=2e7)
        >>> print(laws.summary())
    """

    others: tuple["Laws", ...] = Field(
        default=(), description="the laws of the other lineages; row by row their draws belong with these"
    )

    @model_validator(mode="after")
    def _of_different_lineages(self) -> Self:
        if not self.others:
            return self
        names = [one.lineage for one in self.every]
        if None in names or len(set(names)) < len(names):
            raise ValueError(f"others must be of different lineages that have names, got {names}")
        draws = {sum(len(part.branches[0].draws) for part in one.surface.components) for one in self.every}
        if len(draws) > 1 or any(one.others for one in self.others):
            raise ValueError("others must have as many draws as these laws, and no others of their own")
        return self

    @property
    def every(self) -> "tuple[Laws, ...]":
        """The laws of each lineage by themselves, these first."""
        return (self.model_copy(update={"others": ()}), *self.others) if self.others else (self,)

    @property
    def lineages(self) -> tuple[str | None, ...]:
        """The lineages that have laws, the one of most cells first; one None where nobody says it."""
        return tuple(one.lineage for one in self.every)

    def of(self, lineage: str | None) -> "Laws":
        """The laws of one lineage; these where there is no other.

        Raises:
            ConfigError: there are several, and the lineage is None or none of them.

        Example:
            >>> laws.of("minilm retriever").predict("full", model_params=1.1e7, tokens=2e6)
        """
        if not self.others and lineage in (None, self.lineage):
            return self
        for one in self.every:
            if lineage is not None and one.lineage == lineage:
                return one
        names = ", ".join(str(name) for name in self.lineages if name is not None)
        raise ConfigError(f"lineage must be {'one of ' * bool(self.others)}{names or 'None'}, got {lineage}")

    def of_model(self, model: str) -> "Laws | None":
        """The laws of the lineage that a model was measured in; None where it was not, and there are several."""
        if not self.others:
            return self
        return next((one for one in self.every if model in one.table.models), None)

    def predict(
        self,
        method: str,
        model_params: float,
        tokens: float,
        unique_tokens: float | None = None,
        *,
        lineage: str | None = None,
    ) -> float:
        """The loss that ``method`` reaches on N parameters after D tokens, nats: the mean of the bootstrap draws.

        Where D is more than ``unique_tokens``, those of the training data, each counted once, they are repeated: see
        `embudget.laws.repetition`.

        Raises:
            MethodError: the method is unknown or has no law.
            ConfigError: N, D or the unique tokens are not positive, or there are several lineages and none is named.
        """
        laws = self.of(lineage)
        at = laws._checked(method, model_params, tokens, unique_tokens)
        return laws.on(unique_tokens).predict(*at)

    def interval(
        self,
        method: str,
        model_params: float,
        tokens: float,
        level: float = 0.9,
        of: Kind = "run",
        unique_tokens: float | None = None,
        *,
        lineage: str | None = None,
    ) -> tuple[float, float]:
        """Where the measured loss of a new run lies with probability ``level``, nats; errors as `predict`.

        Args:
            method: such as lora:32.
            model_params: N.
            tokens: D.
            level: in (0, 1).
            of: "run" for the measured loss of a new run, "law" for the loss itself, without the noise of a run.
            unique_tokens: as for `predict`; where tokens are repeated the interval is wider by what is not known of R.
            lineage: of the model, where there are several.
        """
        if not 0 < level < 1:
            raise ConfigError(f"level must be in (0, 1), got {level:g}")
        laws = self.of(lineage)
        at = laws._checked(method, model_params, tokens, unique_tokens)
        return laws.on(unique_tokens).interval(*at, level, of)

    def _checked(
        self, method: str, model_params: float, tokens: float, unique_tokens: float | None
    ) -> tuple[str, float, float]:
        name, unique = self._known(method), 1.0 if unique_tokens is None else unique_tokens
        for what, value in (("model_params", model_params), ("tokens", tokens), ("unique_tokens", unique)):
            if not 0 < value < float("inf"):
                raise ConfigError(f"{what} must be finite and > 0, got {value:g}")
        return name, model_params, tokens

    def _known(self, method: str) -> str:
        name = str(parse_method(method))
        if name not in self.methods:
            raise MethodError(f"{name} has no law, since it was not measured enough: use one of {self.methods}")
        return name

    def extrapolation(self, budget: float, method: str | None = None, *, lineage: str | None = None) -> float:
        """The factor by which a budget lies outside those measured of ``method``, or of any method; 1 inside.

        Without a ``lineage`` it is that of all lineages together, or of these laws' own if a method is named.

        Raises:
            BudgetError: the budget is not positive.
            MethodError: the method is unknown or has no law.
        """
        if not 0 < budget < float("inf"):
            raise BudgetError(f"budget must be finite and > 0, got {budget:g}")
        asked = self.every if method is None and lineage is None else (self.of(lineage),)
        spans = [one.table.budgets if method is None else one.domain[one._known(method)].budgets for one in asked]
        return max(1.0, budget / max(span[-1] for span in spans), min(span[0] for span in spans) / budget)

    def frontier(self, budgets: Iterable[float] | None = None, level: float = 0.9) -> list[FrontierRow]:
        """The best choice at each budget in FLOP; by default at the measured ones.

        At a measured budget it is the best measured cell, elsewhere the lowest prediction among the measured models and
        methods. Members that were not measured are considered by `embudget.recommend`.

        Raises:
            BudgetError: a budget is not positive.
        """
        measured = sorted({budget for one in self.every for budget in one.table.budgets})
        found = []
        for budget in measured if budgets is None else budgets:
            self.extrapolation(budget)  # refuses what is not a budget
            rows = [best_of(one, budget, one.extrapolation, level) for one in self.every]
            found.append(min(rows, key=lambda row: row.measured_loss or row.predicted_loss))
        return found

    def size_exponent(self, method: str, level: float = 0.9, *, lineage: str | None = None) -> SizeExponent:
        """How the best size of a method grows with the budget: the exponent s of N*(C) ~ C^s, by the laws.

        For the learning rate, the batch and the size at one budget ask `embudget.recommend`.

        Args:
            method: such as full.
            level: probability with which s lies in the interval, in (0, 1).
            lineage: of the models, where there are several.

        Example:
            >>> exponent = embudget.find_laws("smollm2").size_exponent("full")
            >>> exponent.value, exponent.interval

        Raises:
            MethodError: the method is unknown or has no law.
            ConfigError: ``level`` is not between 0 and 1.
            FitError: the laws know no best size within ten times the measured ones, or one budget or size was measured.
        """
        laws = self.of(lineage)
        name = laws._known(method)
        if not 0 < level < 1:
            raise ConfigError(f"level must be in (0, 1), got {level:g}")
        return exponent_of(laws.surface, name, laws.cells, level)

    def cells_frame(self, level: float = 0.9) -> "pd.DataFrame":
        """The measured cells beside what the laws predict for them, as a table for a notebook: one row a cell.

        The columns are the fields of `embudget.runs.Cell`; `kind` and `number` of its method, lora and 32 of lora:32,
        NaN where there is no number; `predicted_loss` in nats; and `low` and `high`, between which the measured loss of
        a new run lies with probability ``level``. The last three are NaN where the method has no law.

        Example:
            >>> cells = laws.cells_frame()
            >>> errors = cells.loss / cells.predicted_loss - 1
            >>> errors.groupby(cells.kind).std()

        Raises:
            ConfigError: ``level`` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ConfigError(f"level must be in (0, 1), got {level:g}")
        return cells_frame([(one.table, one.on(unique_tokens_of(one.cells)), one.methods) for one in self.every], level)

    def plot(
        self,
        methods: Sequence[str] | None = None,
        up_to: float | None = None,
        level: float = 0.9,
        ax: "Axes | None" = None,
        *,
        lineage: str | None = None,
    ) -> "Axes":
        """Draw loss against budget by method: the measured cells, the laws' curves, and where new runs are expected.

        Large points are the best cells of a budget. A curve is the lowest prediction among the measured models, dashed
        beyond the measured budgets. For figures to explore use `embudget.write_report`.

        Args:
            methods: by default the best method of each kind.
            up_to: FLOP to which the curves go on; by default 4 times the largest measured budget.
            level: share of new runs within the bands.
            ax: matplotlib axes to draw on; by default those of a new figure.
            lineage: of the models, where there are several.

        Example:
            >>> axes = embudget.find_laws("smollm2").plot(["full", "lora:8"])
            >>> axes.figure.savefig("laws.png", dpi=200)

        Raises:
            ConfigError: ``level`` is not between 0 and 1, ``methods`` is empty, or matplotlib is not installed.
            MethodError: a method is unknown or has no law.
            BudgetError: ``up_to`` is not positive.
        """
        if not 0 < level < 1:
            raise ConfigError(f"level must be in (0, 1), got {level:g}")
        if up_to is not None:
            self.extrapolation(up_to)  # refuses what is not a budget
        laws = self.of(lineage)
        known = plot.best_of_kinds(laws.cells) if methods is None else [laws._known(method) for method in methods]
        return plot.draw_laws(laws.on_study, laws.surface, laws.cells, known, up_to, level, ax)

    def summary(self) -> str:
        """What was fitted, as plain text for a terminal or a log: lineage by lineage, where there are several."""
        if self.others:
            return summary.join_lineages(self.every, [one.summary() for one in self.every], self.frontier())
        return summary.summarised(self, self.frontier())

    _repr_html_ = notebook.laws_html

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all.

        Raises:
            ConfigError: the file cannot be written.
        """
        save_text(path, self.model_dump_json() + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ConfigError: the file cannot be read, is cut short, is not of laws, or of a newer version.
        """
        laws = cls.read(read_data(path), str(path))
        for one in laws.every:
            check_predictions(one.table, one.surface, str(path))
        return laws
