"""What a study taught: the fitted laws, the domain they saw, what could not be fitted; and their file, laws.json."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np
from pydantic import Field, PositiveFloat, model_validator

from embudget.choices import Candidate, Choices
from embudget.errors import BudgetError, ConfigError, MethodError
from embudget.files import save_text
from embudget.frozen import Frozen
from embudget.laws import summary
from embudget.laws.checks import Refusal
from embudget.laws.diagnostics import Diagnostics, warnings_of
from embudget.laws.frontier import Frontier, FrontierRow
from embudget.laws.isoflop import Isoflop
from embudget.laws.rates import RateLaw
from embudget.laws.surface import Kind, Surface
from embudget.laws.weights import Ranked
from embudget.methods import parse_method
from embudget.reading import read_json
from embudget.runs.cells import Cell, RunTable

if TYPE_CHECKING:
    import pandas as pd

FORMAT: Final = 2
"""Version of laws.json; raised when a reader of the old one would misread the new."""
CHECKED = 200
"""Cells at which the predictions of laws are tried as they are read."""
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

    format_version: Literal[2] = FORMAT
    table: RunTable
    surface: Surface = Field(description="the loss over N, D and method")
    ranking: tuple[Ranked, ...] = Field(description="forms of law by forecast error, the best first")
    diagnostics: Diagnostics
    frontiers: dict[str, Frontier] = Field(description="by method, and over all")
    isoflops: dict[str, Isoflop] = Field(description="by method")
    domain: dict[str, Domain] = Field(description="by method")
    rate_law: RateLaw | None = Field(default=None, description="None with fewer than 2 cells whose best rate is known")
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

    def predict(self, method: str, model_params: float, tokens: float) -> float:
        """The loss that ``method`` reaches on N parameters after D tokens, nats: the mean of the bootstrap draws.

        Raises:
            MethodError: the method is unknown or has no law.
            ConfigError: N or D is not positive.
        """
        return self.surface.predict(*self._checked(method, model_params, tokens))

    def interval(
        self, method: str, model_params: float, tokens: float, level: float = 0.9, of: Kind = "run"
    ) -> tuple[float, float]:
        """Where the measured loss of a new run lies with probability ``level``, nats; errors as `predict`.

        Args:
            method: such as lora:32.
            model_params: N.
            tokens: D.
            level: in (0, 1).
            of: "run" for the measured loss of a new run, "law" for the loss itself, without the noise of a run.
        """
        if not 0 < level < 1:
            raise ConfigError(f"level must be in (0, 1), got {level:g}")
        return self.surface.interval(*self._checked(method, model_params, tokens), level, of)

    def _checked(self, method: str, model_params: float, tokens: float) -> tuple[str, float, float]:
        name = self._known(method)
        for what, value in (("model_params", model_params), ("tokens", tokens)):
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
            tokens = cell.tokens
        else:
            cell = self.cells[Choices.of(self.surface, self._candidates, [budget]).best()[0]]
            tokens = budget / cell.flops_per_token
        return FrontierRow(
            budget=budget,
            method=cell.method,
            model=cell.model,
            measured_loss=cell.loss if measured else None,
            predicted_loss=self.surface.predict(cell.method, cell.model_params, tokens),
            interval=self.surface.interval(cell.method, cell.model_params, tokens, level),
            extrapolation=self.extrapolation(budget, cell.method),
        )

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
        import pandas as pd

        if not 0 < level < 1:
            raise ConfigError(f"level must be in (0, 1), got {level:g}")
        cells = pd.DataFrame([cell.model_dump() for cell in self.table.cells])
        for name in Cell.model_fields:
            if cells[name].isna().all():
                cells[name] = np.nan  # floats, where pandas has made a column of None
        methods = [parse_method(method) for method in cells["method"]]
        cells = cells.assign(
            kind=[method.name for method in methods],
            number=pd.Series([method.number for method in methods], dtype=float),
        )
        known = cells[cells["method"].isin(self.methods)]
        at = known["method"].tolist(), known["model_params"].to_numpy(), known["tokens"].to_numpy()
        cells.loc[known.index, "predicted_loss"] = np.exp(self.surface.log_draws(*at).mean(axis=0))
        cells.loc[known.index, "low"], cells.loc[known.index, "high"] = self.surface.intervals(*at, level)
        return cells

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
            [*summary.describe_diagnostics(self.diagnostics, warnings), ""],
            [*summary.describe_frontier(self.frontier()), ""],
            summary.describe_powers(self.frontiers, self.isoflops),
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
        data = read_json(path)
        version = data.get("format_version") if isinstance(data, dict) else None
        if not isinstance(version, int) or isinstance(version, bool):
            raise ConfigError(f"{path}: not a file of laws: it has no format_version")
        if version > FORMAT:
            raise ConfigError(f"{path}: format_version {version} is newer than this embudget's {FORMAT}: upgrade it")
        if version < FORMAT:
            raise ConfigError(f"{path}: format_version {version} is older than this embudget's {FORMAT}: fit again")
        laws = cls.read(data, str(path))
        laws._check_predictions(str(path))
        return laws

    def _check_predictions(self, source: str) -> None:
        """Refuse a file whose numbers are each within their limits, but which predicts no losses together."""
        for method in self.table.methods:
            try:
                parse_method(method)
            except MethodError as error:
                raise ConfigError(f"{source}: table: {error}") from None
        cells = self.cells[:: max(1, len(self.cells) // CHECKED)]
        sizes, tokens = (np.array([getattr(cell, name) for cell in cells]) for name in ("model_params", "tokens"))
        with np.errstate(all="ignore"):  # what comes of an overflow is refused below
            try:
                bounds = self.surface.intervals([cell.method for cell in cells], sizes, tokens, 0.9)
            except ValueError as error:  # LinAlgError among them
                raise ConfigError(f"{source}: surface predicts nothing: {error}") from None
        for cell, low, high in zip(cells, *bounds, strict=True):
            if not 0 < low <= high < float("inf"):
                raise ConfigError(
                    f"{source}: surface must predict finite losses > 0, got {low:g} to {high:g} for {cell.method} at "
                    f"{cell.model_params:.3g} parameters and {cell.tokens:.3g} tokens"
                )
