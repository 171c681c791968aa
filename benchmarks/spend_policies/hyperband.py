"""What does Optuna make of one budget? Its TPE sampler with its Hyperband pruner, over member, method and rate.

A trial is an arm, at a rate within 1.5 e-folds of the default. It reports its loss at budgets R / 9, R / 3 and R, and
goes on along its trunk unless the pruner stops it; an arm that would take too few steps begins later. When the search's
share is spent, the trial with the lowest loss at the largest budget reached trains to the end.

Optuna is not a dependency of the package: `pip install embudget[rivals]`.
"""

from math import exp, inf

from benchmarks.spend_policies.scripts import REACH, Bracket, Script, loss_of, setting_of, trainable
from embudget.spending.allocation import Allocation, Setting, spent

ETA = 3


def tpe_hyperband(allocation: Allocation, bracket: Bracket) -> Script:
    """Search with Optuna, then train the best trial."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    top, batch = bracket.top * allocation.budget, allocation.batch_sizes[0]
    arms = {f"{arm.model} {arm.method}": arm for arm in trainable(allocation, top)}
    models, methods = (sorted({name.split(" ")[place] for name in arms}) for place in (0, 1))
    units = [ETA**k for k in range(bracket.rungs)]
    study = optuna.create_study(
        study_name=f"spend {allocation.seed}",  # the pruner draws a trial's bracket by it
        sampler=optuna.samplers.TPESampler(seed=allocation.seed, multivariate=True, n_startup_trials=8),
        pruner=optuna.pruners.HyperbandPruner(1, units[-1], ETA),
    )
    reached: dict[int, dict[Setting, float]] = {}
    count, setting = -1, setting_of(allocation, next(iter(arms.values())))
    while True:
        trial = study.ask()
        name = f"{trial.suggest_categorical('model', models)} {trial.suggest_categorical('method', methods)}"
        multiple = exp(trial.suggest_float("log_multiple", -REACH, REACH))
        if name not in arms:  # a method that this member cannot be trained by, or not within R
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        setting, value = setting_of(allocation, arms[name], multiple), inf
        rungs = [unit for unit in units if top * unit / units[-1] >= allocation.least(arms[name], batch)]
        for unit in rungs or units[-1:]:
            measured = yield [(setting, top * unit / units[-1])]
            if len(measured) == count:
                return _best(reached) or setting
            count, value = len(measured), loss_of(measured[-1])
            if value == inf:
                break
            reached.setdefault(unit, {})[setting] = value
            trial.report(value, unit)
            if spent(measured) >= bracket.share * allocation.budget:
                return _best(reached) or setting
            if unit < units[-1] and trial.should_prune():
                break
        if value == inf:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            pruned = unit < units[-1]
            study.tell(trial, None if pruned else value, optuna.trial.TrialState.PRUNED if pruned else None)


def _best(reached: dict[int, dict[Setting, float]]) -> Setting | None:
    losses = reached[max(reached)] if reached else {}
    return min(losses, key=losses.__getitem__) if losses else None
