"""What may a budget be spent on? The arms of a study's members and methods, and the runs that buy them.

A study names members, methods, pairs and how texts are read. Of each member and method it makes one run as a template
(`embudget.study`); an arm is what a policy needs to know of it, and a purchase of a setting becomes the template with
the setting's rate, batch, negatives and seed and with the purchase's budget.

**The batch.** Runs of one trunk have one batch size, also those that the search does not know of yet. A rule of the
study (`BatchRule`) is therefore taken at one budget for all of them: the geometric middle of C / 40, where the choice
is measured, and of 3/4 C, about what is left for the final run. That is 0.137 C, at which the default rule gives 26
pairs of a budget of 2e13 FLOP; the final run has a batch 2.3 times smaller than the rule's for it alone, the runs of
the search one as much larger.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from embudget.errors import ConfigError
from embudget.means import Unit
from embudget.methods import parse_method
from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.spending.allocation import DECAY, Allocation, Arm, Setting
from embudget.study import Study
from embudget.study.batch_size import BatchRule
from embudget.study.planning import settled
from embudget.suite import find_shape
from embudget.training.job import lengths_of

SEARCHED, LEFT = 1 / 40, 3 / 4
"""Shares of the whole budget: of the runs on which the choice rests, and of the final run."""

WARMUP: float = RunConfig.model_fields["warmup"].default
"""Share of the first budget of a trunk in which its rate rises."""


class Sources(NamedTuple):
    """The runs of a study's arms, as templates."""

    templates: Mapping[tuple[str, str], RunConfig]
    """(model, method) -> a run of it."""

    @classmethod
    def of(cls, study: Study, pairs: Pairs) -> "Sources":
        """Look members and methods up, and settle the precision of all runs.

        Members that cannot be trained are left out, as in a sweep.

        Raises:
            ModelError, MethodError: a member is unknown, none can be trained, or a method does not fit one.
            PairsError: there are fewer validation pairs than the study measures on.
            ConfigError: the study names several lengths, scales or weight decays, of which a budget takes one.
        """
        for name in ("max_length", "scale", "weight_decay"):
            if len(values := getattr(study, name)) > 1:
                raise ConfigError(f"{name} must be one value where one budget is spent, got {len(values)} of them")
        fields = {"budgets": (max(study.budgets),), "seeds": (0,), "schedule": "wsd", "decay": DECAY, "also": ()}
        one = settled(study.model_copy(update=fields | {"batch_size": 4, "negatives": (0,)}), pairs)
        refused = study.refused()
        runs = [config for config in one.configs(pairs) if config.model not in refused]
        if not runs:
            raise ConfigError(f"no member can be trained: {next(iter(refused.values()))}")
        first: dict[tuple[str, str], RunConfig] = {}
        for config in runs:
            first.setdefault((config.model, config.method), config)
        return cls(first)

    def config(self, setting: Setting, train_flops: float, warmup_flops: float) -> RunConfig:
        """The run that a purchase of a setting trains, on a trunk whose warm-up takes so many FLOP."""
        return self.templates[setting.model, setting.method].model_copy(
            update={
                "learning_rate": setting.learning_rate,
                "batch_size": setting.batch_size,
                "negatives": setting.negatives,
                "seed": setting.seed,
                "train_flops": train_flops,
                "warmup": warmup_flops / train_flops,
            }
        )

    def setting(self, config: RunConfig) -> Setting | None:
        """The setting whose purchase a run may have been; None where it differs from all in more than its budget."""
        if (config.model, config.method) not in self.templates:
            return None
        setting = Setting(
            model=config.model,
            method=config.method,
            learning_rate=config.learning_rate,
            batch_size=config.batch_size,
            negatives=config.negatives,
            seed=config.seed,
        )
        same = self.config(setting, config.train_flops, 0.0).model_copy(update={"warmup": config.warmup})
        return setting if same == config else None

    def arms(self) -> tuple[Arm, ...]:
        """What a policy needs to know of them, smallest member first."""
        return tuple(_arm(config) for config in self.templates.values())


def _arm(config: RunConfig) -> Arm:
    method, shape = parse_method(config.method), find_shape(config.model)
    return Arm(
        model=config.model,
        method=config.method,
        lineage=shape.lineage,
        model_params=shape.model_params,
        flops_per_token=method.flops_per_token(shape),
        default_rate=config.learning_rate,
    )


def batch_sizes(study: Study, budget: float) -> tuple[int, ...]:
    """Pairs a step for all runs that a budget in FLOP buys: the study's number, or its rule's at 0.137 of the budget.

    Example:
        >>> batch_sizes(eb.Study(suite="smollm2", methods=["full"], budgets=[2e13], pairs="pairs/"), 2e13)
        (28,)
    """
    if isinstance(study.batch_size, BatchRule):
        return (study.batch_size.batch_size(budget * math.sqrt(SEARCHED * LEFT)),)
    if isinstance(study.batch_size, dict):
        return tuple(sorted(set(study.batch_size.values())))
    return (study.batch_size,)


def allocation_of(
    study: Study,
    pairs: Pairs,
    budget: float,
    *,
    unit: Unit = "FLOP",
    arms: tuple[Arm, ...] | None = None,
    batch_flops: float | None = None,
    search_share: float | None = None,
    max_runs: int | None = None,
    workers: int = 1,
    seed: int = 0,
) -> Allocation:
    """What a budget may be spent on, by a study.

    Args:
        study: members, methods, pairs and how texts are read; its ``max_epochs`` says how often pairs are repeated.
        pairs: its text pairs.
        budget: of search and final run together, in the unit.
        unit: FLOP or seconds.
        arms: those of the study with their speeds, where they were measured; by default those without.
        batch_flops: what the budget is in FLOP, for the rule of the batch, where its unit is seconds.
        search_share: of the budget for the search at most; None leaves it to the policy.
        max_runs: of the search at most.
        workers: runs that are trained at the same time.
        seed: of the policy's own draws.

    Raises:
        ConfigError: the study names several lengths or scales, or a value is out of its range.
        ModelError, MethodError, PairsError: as `Sources.of`.
    """
    sources = Sources.of(study, pairs)
    lengths = [lengths_of(config, pairs).tokens_per_pair for config in _one_a_member(sources)]
    values = {
        "budget": budget,
        "unit": unit,
        "arms": sources.arms() if arms is None else arms,
        "batch_sizes": batch_sizes(study, batch_flops or budget),
        "negatives": study.negatives,
        "tokens_per_pair": sum(lengths) / len(lengths),
        "training_pairs": pairs.rows("train"),
        "min_steps": max(2, study.min_steps),  # a batch of long texts may take more than one mean step
        "search_share": search_share,
        "max_runs": max_runs,
        "workers": workers,
        "seed": seed,
    }
    return Allocation.read(values, "")


def _one_a_member(sources: Sources) -> list[RunConfig]:
    return list({config.model: config for config in sources.templates.values()}.values())
