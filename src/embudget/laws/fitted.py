"""What is known of one lineage after a fit: its laws, the domain they saw, and what could not be fitted."""

from functools import cached_property
from typing import Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from embudget.frozen import Frozen
from embudget.laws.backtests import Backtest
from embudget.laws.checks import Refusal
from embudget.laws.diagnostics import Diagnostics
from embudget.laws.forms import Array
from embudget.laws.frontier import Frontier
from embudget.laws.isoflop import Isoflop
from embudget.laws.on_pairs import OnPairs
from embudget.laws.rates import RateLaw
from embudget.laws.repetition import Repetition
from embudget.laws.stored import FORMAT
from embudget.laws.surface import Surface
from embudget.laws.weights import Ranked
from embudget.runs.cells import Cell, RunTable

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


class Fitted(Frozen):
    """The fields of `Laws`, which says what may be asked of them."""

    format_version: Literal[7] = FORMAT
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
    lineage: str | None = Field(
        default=None, description="family and kind of start whose members these laws are of; None where nobody says it"
    )

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
