"""What a study taught: the fitted laws, the domain they saw, and what could not be fitted."""

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from embudget.errors import BudgetError, ConfigError, MethodError
from embudget.files import read_text, save_text
from embudget.frozen import Frozen
from embudget.laws.alternatives import Alternative, alternatives
from embudget.laws.diagnostics import Diagnostics
from embudget.laws.frontier import Frontier
from embudget.laws.isoflop import Isoflop
from embudget.laws.mixture import Ranked
from embudget.laws.points import Points
from embudget.laws.rates import RateLaw
from embudget.laws.summary import summarise
from embudget.laws.surface import Kind, Surface
from embudget.methods import parse_method
from embudget.runs.cells import Cell, RunTable

FORMAT: Final = 2
"""Version of laws.json; raised when a reader of the old one would misread the new."""
OVER_ALL = "over all"
"""The key of the frontier over all methods."""


class Domain(Frozen):
    """What was measured of one method: (smallest, largest)."""

    model_params: tuple[float, float]
    tokens: tuple[float, float]
    budgets: tuple[float, float] = Field(description="FLOP")


class Refusal(Frozen):
    """A fit that the data do not support."""

    what: str = Field(description="e.g. isoFLOP profile of full at 1e+12 FLOP")
    method: str | None = Field(default=None, description="whose fit; None over all methods")
    budget: float | None = Field(default=None, description="FLOP; None where it is not of one budget")
    error: str = Field(description="its name in `embudget.errors`")
    reason: str


class FrontierRow(Frozen):
    """The best choice at one budget."""

    budget: float = Field(description="FLOP")
    method: str
    model: str
    measured_loss: float | None = Field(description="nats; None where the budget was not measured")
    predicted_loss: float = Field(description="nats")
    interval: tuple[float, float] = Field(description="of the measured loss of a new run")
    extrapolation: float = Field(ge=1, description="budget / the nearest one measured of the method; 1 inside")


class Laws(Frozen):
    """The fitted laws of a study."""

    format_version: Literal[2] = FORMAT
    table: RunTable
    surface: Surface = Field(description="the loss over N, D and method")
    ranking: tuple[Ranked, ...] = Field(description="the forms of law by their forecast errors, the best first")
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

        With ``of="law"`` where the loss itself lies, without the noise of a run.
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
        """How far a budget lies outside those measured of ``method``, or of any, as a factor; 1 inside.

        Raises:
            BudgetError: the budget is not positive.
            MethodError: the method is unknown or has no law.
        """
        if not 0 < budget < float("inf"):
            raise BudgetError(f"budget must be finite and > 0, got {budget:g}")
        budgets = self.table.budgets if method is None else self.domain[self._known(method)].budgets
        return max(1.0, budget / budgets[-1], budgets[0] / budget)

    def frontier(self, budgets: Iterable[float] | None = None, level: float = 0.9) -> list[FrontierRow]:
        """The best choice at each budget; by default at the measured ones.

        At a measured budget it is the best measured cell, elsewhere the lowest prediction among the measured models and
        methods; members that were not measured are the recipe's business.
        """
        return [self._best(budget, level) for budget in (self.table.budgets if budgets is None else budgets)]

    def _best(self, budget: float, level: float) -> FrontierRow:
        self.extrapolation(budget)  # refuses what is not a budget
        at_budget = [cell for cell in self.cells if cell.budget == budget]
        if at_budget:
            cell = min(at_budget, key=lambda cell: cell.loss)
            tokens = cell.tokens
        else:
            every = np.array([budget / cell.flops_per_token for cell in self.cells])
            sizes = np.array([cell.model_params for cell in self.cells])
            logs = np.log(self.surface.drawn([cell.method for cell in self.cells], sizes, every)).mean(axis=0)
            cell, tokens = self.cells[int(logs.argmin())], float(every[logs.argmin()])
        return FrontierRow(
            budget=budget,
            method=cell.method,
            model=cell.model,
            measured_loss=cell.loss if at_budget else None,
            predicted_loss=self.surface.predict(cell.method, cell.model_params, tokens),
            interval=self.surface.interval(cell.method, cell.model_params, tokens, level),
            extrapolation=self.extrapolation(budget, cell.method),
        )

    def alternatives(self) -> tuple[Alternative, ...]:
        """The law of Hoffmann et al. under other objectives: how much of it is the data's, how much the fitter's."""
        return alternatives(Points.of(self.cells), self.surface.asymptote)

    def summary(self) -> str:
        """The laws as a plain-text table."""
        return summarise(self)

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
        try:
            data: Any = json.loads(read_text(path))
        except ValueError as error:
            raise ConfigError(f"{path}: not valid JSON, perhaps cut short: {error}") from None
        except RecursionError:
            raise ConfigError(f"{path}: not a file of laws: it is nested too deeply") from None
        version = data.get("format_version") if isinstance(data, dict) else None
        if not isinstance(version, int):
            raise ConfigError(f"{path}: not a file of laws: it has no format_version")
        if version > FORMAT:
            raise ConfigError(f"{path}: format_version {version} is newer than this embudget's {FORMAT}: upgrade it")
        if version < FORMAT:
            raise ConfigError(f"{path}: format_version {version} is older than this embudget's {FORMAT}: fit again")
        return cls.read(data, str(path))
