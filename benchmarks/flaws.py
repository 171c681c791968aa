"""What may be wrong with a study whose law is known? Flaws of the runs, and truths that no form of law describes.

A flaw changes the truth, what is measured of it, or both. Every number is drawn from the world's kind and seed.

    short        the loss of a run of s steps is 1 + k / s times as high, k from 0.5 to 3
    bump         one measured size is 3 to 6 % worse or better than the law, at any budget
    misfit       the truth wanders about the law, smoothly over log N and log D, by 2 % (standard deviation)
    outlier      one run diverged: its loss is 1.5 times as high
    tails        the noise has Student's t distribution with 2.5 degrees of freedom, scaled to the same quartiles
    mislabelled  a tenth of the runs have the loss of another run
    correlated   nine tenths of the variance of the noise is common to the runs of one model and method, as on a trunk
    rates        the best learning rate drifts with N and D, and every cell is tried at the same three rates of its
                 method, 4 times apart about the best one of the smallest budget
    repeated     there are so few pairs that the longest run sees them 5 to 15 times; repeated tokens count less, by the
                 law of `embudget.laws.repetition` with R from 5 to 40
"""

from collections.abc import Sequence
from math import ceil, exp, log
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from embudget.design import TrueRate
from embudget.laws import Coefficients
from embudget.laws.repetition import Repetition
from embudget.methods import kind_of
from embudget.records import RunRecord

KINDS = ("full", "freeze", "bias", "lora")


class Flaw:
    """One flaw, drawn for a world; this base class changes nothing."""

    name: ClassVar[str]

    def __init__(self, rng: np.random.Generator, sizes: Sequence[int]) -> None:
        """Draw its numbers; ``sizes`` are N of the measured members, rising."""

    def factor(self, method: str, params: float, tokens: float, steps: float) -> float:
        """The true loss, divided by that of the world's law."""
        return 1.0

    def measured(self, records: list[RunRecord], noise: float, rng: np.random.Generator) -> list[RunRecord]:
        """The records as this study has them; ``noise`` is the relative standard deviation that they were made with."""
        return records


@final
class Short(Flaw):
    """Runs of few steps are worse."""

    name: ClassVar[str] = "short"

    def __init__(self, rng: np.random.Generator, sizes: Sequence[int]) -> None:
        self.lag = float(rng.uniform(0.5, 3))
        """k"""

    def factor(self, method: str, params: float, tokens: float, steps: float) -> float:
        """1 + k / s."""
        return 1 + self.lag / steps


@final
class Bump(Flaw):
    """One size does not lie on the law of the others."""

    name: ClassVar[str] = "bump"

    def __init__(self, rng: np.random.Generator, sizes: Sequence[int]) -> None:
        self.size = int(rng.choice(sizes))
        self.height = float(rng.uniform(0.03, 0.06) * rng.choice([-1, 1]))

    def factor(self, method: str, params: float, tokens: float, steps: float) -> float:
        """The bump, at its size alone."""
        return exp(self.height) if params == self.size else 1.0


@final
class Misfit(Flaw):
    """A random smooth function about the law: a Gaussian process, by 64 random waves (Rahimi and Recht 2007)."""

    name: ClassVar[str] = "misfit"
    SD = 0.02
    LENGTH = 1.5
    """e-folds of N or of D over which the truth wanders."""
    OWN = 0.5
    """Share of its variance that each kind of method has for itself."""

    def __init__(self, rng: np.random.Generator, sizes: Sequence[int]) -> None:
        self._waves: dict[str, NDArray[np.float64]] = {
            kind: np.stack([*rng.normal(0, 1 / self.LENGTH, (2, 64)), rng.uniform(0, 2 * np.pi, 64)])
            for kind in ("all", *KINDS)
        }
        """For each kind, and for all, the waves' frequencies in log N and log D, and their phases (3, 64)."""

    def factor(self, method: str, params: float, tokens: float, steps: float) -> float:
        """The wandering truth."""
        common, own = (self._wave(kind, params, tokens) for kind in ("all", kind_of(method)))
        return exp(self.SD * (np.sqrt(1 - self.OWN) * common + np.sqrt(self.OWN) * own))

    def _wave(self, kind: str, params: float, tokens: float) -> float:
        of_n, of_d, phase = self._waves[kind]
        return float(np.sqrt(2 / len(phase)) * np.cos(of_n * log(params) + of_d * log(tokens) + phase).sum())


@final
class Outlier(Flaw):
    """One run diverged."""

    name: ClassVar[str] = "outlier"

    def measured(self, records: list[RunRecord], noise: float, rng: np.random.Generator) -> list[RunRecord]:
        """Raise the loss of one run."""
        hit = int(rng.integers(len(records)))
        return _with_factors(records, [1.5 if place == hit else 1.0 for place in range(len(records))])


@final
class Tails(Flaw):
    """Most runs are as quiet as ever, some are far off."""

    name: ClassVar[str] = "tails"
    QUARTILE_OF_NORMAL, QUARTILE_OF_T = 0.6745, 0.7850  # t with 2.5 degrees of freedom

    def measured(self, records: list[RunRecord], noise: float, rng: np.random.Generator) -> list[RunRecord]:
        """Add the noise, the records being without any."""
        deviations = rng.standard_t(2.5, len(records)) * noise * self.QUARTILE_OF_NORMAL / self.QUARTILE_OF_T
        return _with_factors(records, np.exp(deviations).tolist())


@final
class Mislabelled(Flaw):
    """Runs whose losses were entered in each other's rows."""

    name: ClassVar[str] = "mislabelled"

    def measured(self, records: list[RunRecord], noise: float, rng: np.random.Generator) -> list[RunRecord]:
        """Turn the losses of a tenth of the runs, two at least, round in a ring."""
        count = max(2, round(len(records) / 10))
        hit = rng.choice(len(records), count, replace=False)
        losses = [one.loss or 0.0 for one in records]
        for place, other in zip(hit, np.roll(hit, 1), strict=True):
            losses[place] = records[other].loss or 0.0
        return _with_losses(records, losses)


@final
class Correlated(Flaw):
    """The runs of one model, method and seed err together."""

    name: ClassVar[str] = "correlated"
    COMMON = 0.9

    def measured(self, records: list[RunRecord], noise: float, rng: np.random.Generator) -> list[RunRecord]:
        """Add the noise, the records being without any."""
        shared: dict[tuple[str, str, int], float] = {}
        factors = []
        for record in records:
            series = record.config.model, record.config.method, record.config.seed
            common = shared.setdefault(series, float(rng.standard_normal()))
            own = float(rng.standard_normal())
            deviation = noise * (np.sqrt(self.COMMON) * common + np.sqrt(1 - self.COMMON) * own)
            factors.append(exp(deviation))
        return _with_factors(records, factors)


@final
class Rates(Flaw):
    """The best rate drifts; `benchmarks.worlds` gives the world these rate laws, and the rates that are tried."""

    name: ClassVar[str] = "rates"
    APART = 4.0

    def __init__(self, rng: np.random.Generator, sizes: Sequence[int]) -> None:
        self._rng = rng

    def rate_laws(self, methods: Sequence[str], params: float, tokens: float) -> dict[str, TrueRate]:
        """The law of every method; kinds of method have powers of their own."""
        laws: dict[str, TrueRate] = {}
        powers = {kind: self._rng.normal((-0.4, -0.2), 0.15) for kind in KINDS}
        curvature = float(np.exp(self._rng.uniform(np.log(0.01), np.log(0.05))))
        for method in methods:
            p, q = map(float, powers[kind_of(method)])
            # the best rate of this size and these tokens is about 1e-3
            at = 1e-3 * exp(self._rng.normal(0, 0.5)) / (exp(p * log(params / 1e7)) * exp(q * log(tokens / 1e6)))
            laws[method] = TrueRate(at=at, p=p, q=q, curvature=curvature)
        return laws

    def tried(
        self, laws: dict[str, TrueRate], sizes: Sequence[int], budgets: Sequence[float]
    ) -> dict[str, tuple[float, ...]]:
        """The rates of every cell: about the best one of the middle size at the smallest budget, by 6 N D."""
        size = sizes[len(sizes) // 2]
        best = {method: law.best(size, budgets[0] / (6 * size)) for method, law in laws.items()}
        return {method: (rate / self.APART, rate, rate * self.APART) for method, rate in best.items()}


@final
class Repeated(Flaw):
    """The pairs run out; `benchmarks.worlds` says of which laws, and how long the longest run is."""

    name: ClassVar[str] = "repeated"

    def __init__(self, rng: np.random.Generator, sizes: Sequence[int]) -> None:
        self.repetition = Repetition(reuse=float(np.exp(rng.uniform(np.log(5), np.log(40)))))
        self.passes = float(np.exp(rng.uniform(np.log(5), np.log(15))))
        """Passes of the longest run over the pairs."""

    def limit(self, truth: dict[str, Coefficients], most_tokens: float, tokens_per_pair: float) -> None:
        """Set the number of pairs by the tokens of the longest run; ``truth`` are the laws of tokens that are new."""
        self._truth = truth
        self.pairs = max(1, round(most_tokens / self.passes / tokens_per_pair))
        self._unique_tokens = self.pairs * tokens_per_pair

    def factor(self, method: str, params: float, tokens: float, steps: float) -> float:
        """The loss at the effective tokens, divided by that at as many new ones."""
        effective = float(self.repetition.effective(tokens, self._unique_tokens))
        return self._truth[method].loss(params, effective) / self._truth[method].loss(params, tokens)

    def measured(self, records: list[RunRecord], noise: float, rng: np.random.Generator) -> list[RunRecord]:
        """Let the records know the pairs."""
        config = {"max_epochs": ceil(self.passes)}
        return [
            one.model_copy(update={"training_pairs": self.pairs, "config": one.config.model_copy(update=config)})
            for one in records
        ]


FLAWS: dict[str, type[Flaw]] = {
    kind.name: kind for kind in (Short, Bump, Misfit, Outlier, Tails, Mislabelled, Correlated, Rates, Repeated)
}
NOISY = (Tails.name, Correlated.name)
"""Flaws that bring the noise themselves, so that their records are made without any."""


def _with_factors(records: list[RunRecord], factors: Sequence[float]) -> list[RunRecord]:
    losses = [(record.loss or 0.0) * factor for record, factor in zip(records, factors, strict=True)]
    return _with_losses(records, losses)


def _with_losses(records: list[RunRecord], losses: Sequence[float]) -> list[RunRecord]:
    return [record.model_copy(update={"loss": loss}) for record, loss in zip(records, losses, strict=True)]
