"""One hierarchical Bayesian law of all methods, with NumPyro, for the experiment of `bayes.py`.

It is the rectified form, which holds that of Hoffmann et al. as D0 -> 0,

    log L = log(E + A/N^a + B/(D0^b + D^b)) + u + v log D + noise

with E, a, b and D0 of each kind of method about common values, A and B of each method about those of its kind, and for
each series of runs, one (model, method), a level u and a slope v: what no form explains, growing with distance. The
noise is Student's with 5 degrees of freedom, divided by the root of the number of seeds. N and D are centred. All
spreads have half-normal priors. The posterior is drawn by NUTS (Hoffman and Gelman 2014), one chain; the interval is
that of the predictive draws, with new u and v for a series that was not measured.

Compiling takes longer than drawing. So the numbers of kinds, methods, series and cells are rounded up to those of a
`Shape`, and studies of one shape are compiled once; what is added has no say in the likelihood.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from embudget.methods import kind_of
from embudget.runs import Cell

TAILS = 5.0
"""Degrees of freedom of the noise."""
Array = Any
"""An array of numpy, or of jax while the model is traced."""


class Shape(NamedTuple):
    """At most so many kinds, methods, series and cells."""

    kinds: int
    methods: int
    series: int
    cells: int


SHAPES = (Shape(4, 4, 16, 64), Shape(4, 9, 64, 192), Shape(4, 16, 512, 2048))


class Target(NamedTuple):
    """A new run."""

    model: str
    method: str
    model_params: float
    tokens: float
    log_loss: float
    times: float
    """Its budget divided by the largest fitted."""


@dataclass(frozen=True)
class Design:
    """The numbers by which the cells of a study are looked up, and the centres of log N and log D."""

    methods: tuple[str, ...]
    series: tuple[tuple[str, str], ...]
    centre: tuple[float, float]
    lowest: float
    typical: float

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> "Design":
        """The design of these cells."""
        logs = np.log([cell.loss for cell in cells])
        return cls(
            methods=tuple(sorted({cell.method for cell in cells})),
            series=tuple(sorted({(cell.model, cell.method) for cell in cells})),
            centre=(
                float(np.log([cell.model_params for cell in cells]).mean()),
                float(np.log([cell.tokens for cell in cells]).mean()),
            ),
            lowest=float(logs.min()),
            typical=float(logs.mean()),
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of method, sorted."""
        return tuple(sorted({kind_of(method) for method in self.methods}))

    def shape(self, cells: int) -> Shape:
        """The smallest shape that this design and so many cells fit into."""
        needed = len(self.kinds), len(self.methods), len(self.series), cells
        return next(one for one in SHAPES if all(has >= need for has, need in zip(one, needed, strict=True)))

    @property
    def kind_of_method(self) -> np.ndarray:
        """The place of each method's kind (methods,)."""
        return np.array([self.kinds.index(kind_of(method)) for method in self.methods])

    def places(self, runs: Sequence[Cell | Target]) -> dict[str, np.ndarray]:
        """Place of the method, of the series (-1 if it was not measured), centred log N and log D, (n,) each."""
        return {
            "method": np.array([self.methods.index(run.method) for run in runs]),
            "series": np.array(
                [self.series.index(key) if (key := (run.model, run.method)) in self.series else -1 for run in runs]
            ),
            "x": np.log([run.model_params for run in runs]) - self.centre[0],
            "y": np.log([run.tokens for run in runs]) - self.centre[1],
        }


def log_law(xp: Any, values: dict[str, Array], kind: np.ndarray, method: np.ndarray, x: Array, y: Array) -> Array:  # noqa: ANN401
    """The form (..., n) by parameters of each kind (..., kinds) and method (..., methods); ``xp`` is numpy or jax's."""
    asymptote, a, b, start = (values[name][..., kind[method]] for name in ("E", "a", "b", "start"))
    size, data = (values[name][..., method] for name in ("A", "B"))
    b_power, a_power = xp.exp(b), xp.exp(a)
    learned = xp.logaddexp(b_power * start, b_power * y)
    return xp.logaddexp(asymptote, xp.logaddexp(size - a_power * x, data - learned))


def data_of(design: Design, cells: Sequence[Cell], shape: Shape) -> dict[str, np.ndarray]:
    """What the model is given: the cells' numbers, filled up to a shape by cells that are not ``known``."""
    seeds, log_loss = (np.array([getattr(cell, name) for cell in cells], dtype=float) for name in ("seeds", "log_loss"))
    known = np.ones(len(cells), dtype=bool)
    columns = {**design.places(cells), "seeds": seeds, "log_loss": log_loss, "known": known}
    more = shape.cells - len(cells)
    filled = {name: np.concatenate([column, np.zeros(more, column.dtype)]) for name, column in columns.items()}
    filled["seeds"] = np.maximum(filled["seeds"], 1.0)
    kind = np.concatenate([design.kind_of_method, np.zeros(shape.methods - len(design.methods), dtype=int)])
    return {**filled, "kind": kind, "lowest": np.array(design.lowest), "typical": np.array(design.typical)}


def model(shape: Shape, data: dict[str, Array]) -> None:
    """The joint density; every effect is a standard normal times its spread, so that NUTS finds no funnel."""
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist

    def effect(name: str, spread: float, count: int) -> Array:
        scale = numpyro.sample(f"spread_{name}", dist.HalfNormal(spread))
        return scale * numpyro.sample(f"z_{name}", dist.Normal(0, 1).expand([count]).to_event(1))

    part = data["typical"] - 1.1  # a third of the typical loss
    common = {"E": (data["lowest"] - 0.7, 0.7), "a": (-1.1, 0.5), "b": (-1.1, 0.5), "start": (-4.0, 2.0)}
    of_kind = {"E": 0.3, "a": 0.3, "b": 0.3, "start": 0.5}
    values = {
        name: numpyro.sample(f"common_{name}", dist.Normal(*prior)) + effect(name, of_kind[name], shape.kinds)
        for name, prior in common.items()
    }
    for name in ("A", "B"):
        of_its_kind = numpyro.sample(f"common_{name}", dist.Normal(part, 1.0)) + effect(
            f"kind_{name}", 0.5, shape.kinds
        )
        values[name] = of_its_kind[data["kind"]] + effect(f"method_{name}", 0.2, shape.methods)
    for name, value in values.items():
        numpyro.deterministic(name, value)
    level = numpyro.deterministic("level", effect("level", 0.05, shape.series))
    slope = numpyro.deterministic("slope", effect("slope", 0.02, shape.series))
    noise = numpyro.sample("noise", dist.HalfNormal(0.05))
    mean = log_law(jnp, values, data["kind"], data["method"], data["x"], data["y"])
    mean = mean + level[data["series"]] + slope[data["series"]] * data["y"]
    with numpyro.handlers.mask(mask=data["known"]):
        scale = noise / jnp.sqrt(data["seeds"])
        numpyro.sample("log_loss", dist.StudentT(TAILS, mean, scale), obs=data["log_loss"])


@cache
def chain_of(shape: Shape, warmup: int, draws: int) -> Any:  # noqa: ANN401 - numpyro has no types
    """The chain for studies of a shape, compiled when it is first run."""
    from numpyro.infer import MCMC, NUTS, init_to_median

    kernel = NUTS(partial(model, shape), target_accept_prob=0.85, init_strategy=init_to_median, max_tree_depth=7)
    return MCMC(kernel, num_warmup=warmup, num_samples=draws, progress_bar=False, jit_model_args=True)


@dataclass(frozen=True)
class Posterior:
    """Draws of the parameters."""

    design: Design
    draws: dict[str, np.ndarray]
    diverged: int

    @classmethod
    def of(cls, cells: Sequence[Cell], warmup: int, draws: int) -> "Posterior":
        """Draw from the posterior of these cells."""
        import jax

        design = Design.of(cells)
        shape = design.shape(len(cells))
        chain = chain_of(shape, warmup, draws)
        chain.run(jax.random.PRNGKey(0), data_of(design, cells, shape), extra_fields=("diverging",))
        found = {name: np.asarray(value, dtype=float) for name, value in chain.get_samples().items()}
        return cls(design, found, int(np.asarray(chain.get_extra_fields()["diverging"]).sum()))

    def intervals(self, runs: Sequence[Target], level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the interval of each run's log loss (n,) and (n,), from twenty predictive draws of each draw."""
        at, rng = self.design.places(runs), np.random.default_rng(0)
        mean = log_law(np, self.draws, self.design.kind_of_method, at["method"], at["x"], at["y"])
        count, fresh = mean.shape, at["series"] < 0
        predictive = []
        for _ in range(20):
            effects = {}
            for name in ("level", "slope"):
                new = self.draws[f"spread_{name}"][:, None] * rng.standard_normal(count)
                effects[name] = np.where(fresh, new, self.draws[name][:, np.maximum(at["series"], 0)])
            noise = self.draws["noise"][:, None] * rng.standard_t(TAILS, count)
            predictive.append(mean + effects["level"] + effects["slope"] * at["y"] + noise)
        low, high = np.quantile(np.concatenate(predictive), ((1 - level) / 2, (1 + level) / 2), axis=0)
        return low, high
