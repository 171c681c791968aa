"""One trunk, many budgets: runs of one setting whose rate is constant until it decays at each budget in turn.

    trunk   ──────┬───────────┬──────────────────────┬
                  └ C_1       └ C_2                  └ C_3        branches: the last ``decay`` of each budget

A run of `schedule: wsd` does not depend on its budget before its decay (see `embudget.training.schedule`), so runs
that differ in nothing else share their beginnings: the trunk is trained once, and where a run's decay begins its state
is set aside, the branch trained and measured, and the state put back. A branch has checkpoints of its own, in the
folder of the trunk's. Each record is, to the last bit, that of the run on its own. Source: Hägele et al. 2024, arXiv
2405.18392.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from embudget.errors import DivergedError
from embudget.flops import tokens_for
from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.training.base import base_score
from embudget.training.budget import run_to_budget, whole_steps
from embudget.training.device import in_float32
from embudget.training.fit import check_fits
from embudget.training.interrupt import interruptible_run
from embudget.training.job import Job
from embudget.training.loop import Training
from embudget.training.provenance import provenance
from embudget.training.resources import Resources, Scorer, unscored
from embudget.training.run import OnProgress, OnRunProgress, diverged_record, record_of
from embudget.training.schedule import factor_of
from embudget.training.state import SHARED, Resuming, paid_before, trunk_name


def train_trunk(
    configs: Sequence[RunConfig],
    pairs: Pairs,
    on_progress: OnRunProgress | None = None,
    resources: Resources | None = None,
    score: Scorer = unscored,
) -> Iterator[RunRecord]:
    """Train the runs of one trunk; yield each one's record as its branch ends, cheapest budget first.

    A run that diverges in its own branch has its record too, and the trunk goes on.

    Args:
        configs: runs of `schedule: wsd`, equal but for ``train_flops`` and for ``warmup``, which is the same FLOP in
            all.
        pairs: the text pairs whose content hash they name.
        on_progress: called after each step with the run that it serves next.
        resources: how to go about it; with checkpoints the trunk goes on where it was when it is started again.
        score: called with the model and the record of each run that spent its budget.

    Raises:
        EmbudgetError: as `embudget.training.run.train`; DivergedError if the trunk itself diverges, and with it all the
            runs that are left.
    """
    configs = sorted(configs, key=lambda config: config.train_flops)
    dearest = Job.of(configs[-1], pairs, resources)
    dearest.check_number()
    check_fits(dearest)
    with interruptible_run():
        yield from _trained(configs, dearest, on_progress or (lambda config, share, loss: None), score)


def _trained(
    configs: Sequence[RunConfig], dearest: Job, on_progress: OnRunProgress, score: Scorer
) -> Iterator[RunRecord]:
    first, resources = configs[0], dearest.resources
    training = Training(dearest)
    meter = training.meter
    # a checkpoint beyond the first branch is of no use: a run that had been given up may have come back
    end = tokens_for((1 - first.decay) * first.train_flops, dearest.method, dearest.shape)
    name, all_of_it = trunk_name(first), dearest.config.train_flops
    with Resuming(training, name, provenance(first.model), resources, all_of_it, end) as resuming:
        base = base_score(training, resuming.notes)
        shared = resuming.notes.setdefault(SHARED, [])
        for config in configs:
            replace(dearest, config=config).check_batches()
            factor, budget = factor_of(config), config.train_flops
            after_step = partial(on_progress, config)
            # the first step whose middle lies in the decay is the branch's
            while (middle := meter.share(budget, training.next_tokens() / 2)) < 1 - config.decay:
                with whole_steps(training):
                    loss = training.step(factor(middle))
                    resuming.save_if_due()
                    after_step(meter.share(budget), loss)
            tensors = {name: tensor.clone() for name, tensor in training.tensors().items()}
            numbers = training.numbers()
            # what cheaper runs had paid for, also before an interruption
            before = paid_before(resuming.notes, budget)
            shared.append((budget, meter.train_flops))
            resuming.save()
            resuming.aside = True
            branch = Resuming(training, f"{name}/branch-{config.id}", resuming.provenance, resources, budget)
            try:
                with branch:
                    run_to_budget(training, budget, factor, partial(_saving, branch, after_step))
                    record = record_of(training, config, base, training.measure(), resuming.provenance, before)
                    with in_float32(training.model):
                        record = score(training.model, record)
            except DivergedError as error:  # in its decay, which the dearer runs do not go through
                record = diverged_record(config, error, base)
            yield record
            branch.forget()
            training.restore(tensors, numbers)
            resuming.aside = False


def _saving(branch: Resuming, after_step: OnProgress, share: float, loss: float) -> None:
    branch.save_if_due()
    after_step(share, loss)
