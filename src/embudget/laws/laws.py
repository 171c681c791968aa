"""What a study taught: the fitted laws, the domain they saw, what could not be fitted; and their file, laws.json."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from embudget.choices import Candidate, Choices
from embudget.errors import BudgetError, ConfigError, MethodError
from embudget.files import save_text
from embudget.frozen import Frozen
from embudget.laws import plot, summary
from embudget.laws.backtests import Backtest
from embudget.laws.cells_frame import cells_frame
from embudget.laws.checks import Refusal
from embudget.laws.diagnostics import Diagnostics, warnings_of
from embudget.laws.forms import Array
from embudget.laws.frontier import Frontier, FrontierRow
from embudget.laws.isoflop import Isoflop
from embudget.laws.on_pairs import OnPairs
from embudget.laws.rates import RateLaw
from embudget.laws.repetition import Repetition, unique_tokens_of
from embudget.laws.size_exponent import SizeExponent, exponent_of, exponents_of
from embudget.laws.stored import FORMAT, check_predictions, read_data
from embudget.laws.surface import Kind, Surface
from embudget.laws.weights import Ranked
from embudget.methods import parse_method
from embudget.runs.cells import Cell, RunTable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

OVER_ALL = "over all"
"""The key of the frontier over all methods."""


class Domain(Frozen):
    """What was measured of one method: (smallest, largest)."""

    model_params: tuple[PositiveFloat, PositiveFloat]
    tokens: tuple[PositiveFloat, PositiveFloat]
    budgets: tuple[PositiveFloat, PositiveFloat] = Field(description="FLOP")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name in ("model_params", "tokens", "budgets"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be (smallest, largest), got {low:g} and {high:g}")
        return self


class Laws(Frozen):
    """The fitted laws of a study.

    Example:
        >>> laws = embudget.fit(records)
        >>> laws.predict("lora:32", model_params=1.1e8, tokens=2e7)
        >>> laws.interval("lora:32", model_params=1.1e8, tokens=2e7)
        >>> print(laws.summary())
    """

    format_version: Literal[4] = FORMAT
    table: RunTable
    surface: Surface = Field(description="the loss over N, D and method")
    backtests: tuple[Backtest, ...] = Field(
        default=(), description="forecasts of measured budgets; none with fewer than 4, or with too few cells below"
    )
    ranking: tuple[Ranked, ...] = Field(description="forms of law by forecast error, the best first")
    diagnostics: Diagnostics
    frontiers: dict[str, Frontier] = Field(description="by method, and over all")
    isoflops: dict[str, Isoflop] = Field(description="by method")
    domain: dict[str, Domain] = Field(description="by method")
    rate_law: RateLaw | None = Field(default=None, description="None with fewer than 2 cells whose best rate is known")
    repetition: Repetition = Field(default=Repetition(), description="what repeated tokens are worth")
    refusals: tuple[Refusal, ...] = ()

    @model_validator(mode="after")
    def _of_the_same_methods(self) -> Self:
        measured = set(self.table.methods)
        for name, methods in (("domain", set(self.domain)), ("table", measured & set(self.methods))):
            if methods != set(self.methods):
                raise ValueError(f"{name} must have the methods of surface, {[*self.methods]}, got {sorted(methods)}")
        for name, found in (("frontiers", set(self.frontiers)), ("isoflops", set(self.isoflops))):
            if unknown := found - {*self.methods, OVER_ALL}:
                raise ValueError(f"{name} must have methods of surface, {[*self.methods]}, got {min(unknown)}")
        if self.rate_law is not None and (unknown := set(self.rate_law.methods) - set(self.methods)):
            raise ValueError(f"rate_law must have methods of surface, {[*self.methods]}, got {min(unknown)}")
        return self

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that have a law."""
        return self.surface.methods

    @property
    def noise(self) -> float:
        """Relative standard deviation of one run about the law."""
        return self.surface.noise

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The measured cells of the methods that have a law."""
        return tuple(cell for cell in self.table.cells if cell.method in self.methods)

    def on(self, unique_tokens: float | Array | None) -> Surface | OnPairs:
        """What predicts losses where training has so many unique tokens and repeats them; None: all are new."""
        return self.surface if unique_tokens is None else OnPairs(self.surface, self.repetition, unique_tokens)

    @property
    def on_study(self) -> Surface | OnPairs:
        """What predicts losses on the study's own pairs, repeated where a budget buys more; all new where not known."""
        pairs, length = self.table.known_pairs, self.table.tokens_per_pair
        return self.on(None if pairs is None or length is None else pairs * length)

    def predict(self, method: str, model_params: float, tokens: float, unique_tokens: float | None = None) -> float:
        """The loss that ``method`` reaches on N parameters after D tokens, nats: the mean of the bootstrap draws.

        Where D is more than ``unique_tokens``, those of the training data, each counted once, they are repeated: see
        `embudget.laws.repetition`.

        Raises:
            MethodError: the method is unknown or has no law.
            ConfigError: N, D or the unique tokens are not positive.
        """
        at = self._checked(method, model_params, tokens, unique_tokens)
        return self.on(unique_tokens).predict(*at)

    def interval(
        self,
        method: str,
        model_params: float,
        tokens: float,
        level: float = 0.9,
        of: Kind = "run",
        unique_tokens: float | None = None,
    ) -> tuple[float, float]:
        """Where the measured loss of a new run lies with probability ``level``, nats; errors as `predict`.

        Args:
            method: such as lora:32.
            model_params: N.
            tokens: D.
            level: in (0, 1).
            of: "run" for the measured loss of a new run, "law" for the loss itself, without the noise of a run.
            unique_tokens: as for `predict`; where tokens are repeated the interval is wider by what is not known of R.
        """
        if not 0 < level < 1:
            raise ConfigError(f"level must be in (0, 1), got {level:g}")
        at = self._checked(method, model_params, tokens, unique_tokens)
        return self.on(unique_tokens).interval(*at, level, of)

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

    def extrapolation(self, budget: float, method: str | None = None) -> float:
        """The factor by which a budget lies outside those measured of ``method``, or of any method; 1 inside.

        Raises:
            BudgetError: the budget is not positive.
            MethodError: the method is unknown or has no law.
        """
        if not 0 < budget < float("inf"):
            raise BudgetError(f"budget must be finite and > 0, got {budget:g}")
        budgets = self.table.budgets if method is None else self.domain[self._known(method)].budgets
        return max(1.0, budget / budgets[-1], budgets[0] / budget)

    def frontier(self, budgets: Iterable[float] | None = None, level: float = 0.9) -> list[FrontierRow]:
        """The best choice at each budget in FLOP; by default at the measured ones.

        At a measured budget it is the best measured cell, elsewhere the lowest prediction among the measured models and
        methods. Members that were not measured are considered by `embudget.recommend`.

        Raises:
            BudgetError: a budget is not positive.
        """
        wanted = list(self.table.budgets if budgets is None else budgets)
        return [self._best(budget, level) for budget in wanted]

    def _best(self, budget: float, level: float) -> FrontierRow:
        self.extrapolation(budget)  # refuses what is not a budget
        measured = [cell for cell in self.cells if cell.budget == budget]
        if measured:
            cell = min(measured, key=lambda cell: cell.loss)
            tokens, law = cell.tokens, self.on(cell.unique_tokens)
        else:
            law = self.on_study
            cell = self.cells[Choices.of(law, self._candidates, [budget]).best()[0]]
            tokens = budget / cell.flops_per_token
        return FrontierRow(
            budget=budget,
            method=cell.method,
            model=cell.model,
            measured_loss=cell.loss if measured else None,
            predicted_loss=law.predict(cell.method, cell.model_params, tokens),
            interval=law.interval(cell.method, cell.model_params, tokens, level),
            extrapolation=self.extrapolation(budget, cell.method),
        )

    def size_exponent(self, method: str, level: float = 0.9) -> SizeExponent:
        """How the best size of a method grows with the budget: the exponent s of N*(C) ~ C^s, by the laws.

        For the learning rate, the batch and the size at one budget ask `embudget.recommend`.

        Args:
            method: such as full.
            level: probability with which s lies in the interval, in (0, 1).

        Example:
            >>> laws = embudget.find_laws("smollm2")
            >>> exponent = laws.size_exponent("full")
            >>> exponent.value, exponent.interval

        Raises:
            MethodError: the method is unknown or has no law.
            ConfigError: ``level`` is not between 0 and 1.
            FitError: the laws know no best size within ten times the measured ones, or one budget or size was measured.
        """
        name = self._known(method)
        if not 0 < level < 1:
            raise ConfigError(f"level must be in (0, 1), got {level:g}")
        return exponent_of(self.surface, name, self.cells, level)

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
        return cells_frame(self.table, self.on(unique_tokens_of(self.cells)), self.methods, level)

    def plot(
        self,
        methods: Sequence[str] | None = None,
        up_to: float | None = None,
        level: float = 0.9,
        ax: "Axes | None" = None,
    ) -> "Axes":
        """Draw loss against budget by method: the measured cells, the laws' curves, and where new runs are expected.

        Large points are the best cells of a budget. A curve is the lowest prediction among the measured models, dashed
        beyond the measured budgets. For figures to explore use `embudget.write_report`.

        Args:
            methods: by default the best method of each kind.
            up_to: FLOP to which the curves go on; by default 4 times the largest measured budget.
            level: share of new runs within the bands.
            ax: matplotlib axes to draw on; by default those of a new figure.

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
        known = plot.best_of_kinds(self.cells) if methods is None else [self._known(method) for method in methods]
        return plot.draw_laws(self.on_study, self.surface, self.cells, known, up_to, level, ax)

    @cached_property
    def _candidates(self) -> tuple[Candidate, ...]:
        """Every cell as what a budget may be spent on, at its own FLOP per token."""
        return tuple(
            Candidate(cell.model, parse_method(cell.method), cell.model_params, cell.flops_per_token)
            for cell in self.cells
        )

    def summary(self) -> str:
        """What was fitted, as plain text for a terminal or a log."""
        warnings = warnings_of(self.diagnostics, self.table, self.cells)
        parts = [
            [*summary.describe_runs(self.table), ""],
            [*summary.describe_ranking(self.ranking), ""],
            summary.describe_surface(self.surface),
            summary.describe_backtests(self.backtests),
            [*summary.describe_diagnostics(self.diagnostics, warnings), ""],
            [*summary.describe_frontier(self.frontier()), ""],
            summary.describe_powers(self.frontiers, self.isoflops, exponents_of(self.surface, self.cells)),
            summary.describe_repetition(self.cells, self.repetition),
            summary.describe_rates(self.cells, self.rate_law),
            summary.describe_refusals(self.refusals),
        ]
        return "\n".join(line for part in parts for line in part)

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
        check_predictions(laws.table, laws.surface, str(path))
        return laws
