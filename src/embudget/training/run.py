"""One training run: a recipe or a configuration in, a trained model and its record out.

    look up and check (`job`) -> measure the start (`base`) -> train to the budget (`loop`) -> measure (`heldout`)
    -> doubt (`guard`) -> write (`embudget.exports`)

A run that was interrupted goes on from its last checkpoint (`state`). Runs of `schedule: wsd` that share a trunk are
trained together by `embudget.training.trunk`, with the same records.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, overload

from embudget.errors import DivergedError
from embudget.flops import tokens_for
from embudget.pairs import Pairs, as_pairs
from embudget.records import Provenance, RunConfig, RunRecord, no_gain
from embudget.suite import find_shape
from embudget.training.interrupt import interruptible_run
from embudget.training.job import Job
from embudget.training.provenance import provenance
from embudget.training.resources import Resources, check_interval
from embudget.training.yardstick import measured_on

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embudget.training.heldout import HeldOut
    from embudget.training.loop import Training

CURVE_POINTS = 100
"""Points of the training curve that a record keeps."""

OnProgress = Callable[[float, float], None]
"""Called after each step with the share of the budget spent and the step's training loss in nats."""

OnRunProgress = Callable[[RunConfig, float, float], None]
"""Where several runs are trained: called after each step with the run that it serves, then as `OnProgress`."""


class Plans(Protocol):
    """Whatever knows the run that it stands for, as a recipe does."""

    def run_config(self, pairs_hash: str, seed: int = 0) -> RunConfig:
        """The run on the pairs with this content hash."""
        ...


@overload
def train(
    what: RunConfig | Plans, pairs: Pairs | str | Path, out: str | Path | None = None, *,
    on_progress: OnProgress | None = None, resources: Resources | None = None, report_to: Sequence[str] = (),
    with_record: Literal[False] = False,
) -> "SentenceTransformer": ...  # fmt: skip


@overload
def train(
    what: RunConfig | Plans, pairs: Pairs | str | Path, out: str | Path | None = None, *,
    on_progress: OnProgress | None = None, resources: Resources | None = None, report_to: Sequence[str] = (),
    with_record: Literal[True],
) -> "tuple[SentenceTransformer, RunRecord]": ...  # fmt: skip


def train(
    what: RunConfig | Plans,
    pairs: Pairs | str | Path,
    out: str | Path | None = None,
    *,
    on_progress: OnProgress | None = None,
    resources: Resources | None = None,
    report_to: Sequence[str] = (),
    with_record: bool = False,
) -> "SentenceTransformer | tuple[SentenceTransformer, RunRecord]":
    """Train a recipe or a configuration to its budget, measure the model and, given ``out``, write it.

    To train many settings use `embudget.sweep`, which keeps their records and lets runs share trunks.

    Args:
        what: a recipe (`embudget.recommend`), or a `RunConfig`.
        pairs: the text pairs, or their folder; those of a `RunConfig` are named there by their content hash.
        out: folder or URL for the model: new, or of an earlier model that was not changed since. While the run lasts,
            ``{out}.checkpoints`` holds what an interrupted run goes on from when it is started again.
        on_progress: called after each step with the share of the budget spent and the training loss in nats.
        resources: how to go about it: gradient caching, compilation, where and how often to write checkpoints.
        report_to: experiment trackers: tensorboard, wandb, mlflow, trackio.
        with_record: whether to return the record as well, which ``out`` holds as ``embudget.json`` in any case.

    Returns:
        The trained `SentenceTransformer`, its adapters merged, on the device it was trained on; with ``with_record``
        the pair of it and its `RunRecord`: tokens, FLOP, seconds, the held-out loss in nats and its accuracy.

    Raises:
        ModelError, MethodError: the model cannot be loaded, or not be trained by the method.
        PairsError: the pairs are others than the configuration's, or too few for the budget or the measurement.
        ConfigError: a tracker is unknown or not installed, or the time between checkpoints is none.
        DivergedError: the loss became NaN or infinite, or exploded.
        RunError: ``out`` cannot be written, the pairs' texts repeat too often to make enough batches, memory does not
            suffice for one text at a time, or a checkpoint is that of another model.
        InfeasibleError: the model cannot fit into the memory of the device; what would is named.
        RemoteError: a URL cannot be read or written.

    Example:
        >>> recipe = eb.Recipe.load("recipe.yaml")
        >>> model = eb.train(recipe, "pairs/", out="model/")
        >>> model.encode(["a query", "a document"]).shape
        (2, 576)
    """
    from embudget.exports.adapter import adapter_of
    from embudget.exports.folder import check_folder
    from embudget.exports.origins import origins_of
    from embudget.exports.sentence_transformers import write_model
    from embudget.training.base import base_score
    from embudget.training.budget import run_to_budget
    from embudget.training.device import start_processes, use_float32
    from embudget.training.fit import check_fits
    from embudget.training.loop import Training
    from embudget.training.output import put_model, written_first
    from embudget.training.schedule import factor_of
    from embudget.training.state import Resuming, paid_before, trunk_name
    from embudget.training.tracking import tracked

    pairs = as_pairs(pairs)
    config = what if isinstance(what, RunConfig) else _on_this_machine(measured_on(what.run_config(pairs.hash), pairs))
    resources = resources or Resources()
    check_interval(resources.checkpoint_seconds)
    is_first = start_processes().is_main_process
    folder, url, resources = written_first(out, resources)
    if folder is not None and is_first:
        check_folder(folder, config.model, pairs.folder)
    # before training, since the start's card may be damaged, or the hub that has it may not answer
    origins = origins_of(config, pairs.info) if folder is not None and is_first else None
    with interruptible_run(), tracked(config, report_to if is_first else (), folder) as on_step:
        job = Job.of(config, pairs, resources)
        job.check_number()
        check_fits(job)
        job.check_batches()
        made = provenance(config.model)
        training = Training(job)
        # its trunk may have been trained by a search, up to a cheaper run's decay
        end = tokens_for((1 - config.decay) * config.train_flops, job.method, job.shape)
        trunk = (trunk_name(config), end) if config.schedule == "wsd" else None
        with Resuming(training, config.id, made, resources, config.train_flops, trunk=trunk) as resuming:

            def after_step(share: float, loss: float) -> None:
                resuming.save_if_due()
                if on_step is not None:
                    on_step(training)
                if on_progress is not None:
                    on_progress(share, loss)

            base = base_score(training, resuming.notes)
            run_to_budget(training, config.train_flops, factor_of(config), after_step)
            before = paid_before(resuming.notes, config.train_flops)
            record = record_of(training, config, base, training.measure(), resuming.provenance, before)
            if folder is not None:  # the last moment for it: merged, the state is another one
                resuming.save()
            resuming.aside = True
            if training.sharded is not None:
                training.sharded.assemble()
                training.model.cpu()
            use_float32(training.model)  # for whoever gets the model
            adapter = None if folder is None else adapter_of(training.model[0].model)
            training.model[0].model = job.method.merge(training.model[0].model)
            if folder is not None and is_first:  # while the checkpoints are still there
                write_model(training.model, record, folder, adapter, origins)
                put_model(folder, url)
    if folder is not None and is_first:
        assert resources.checkpoints is not None
        with suppress(OSError):  # other runs have checkpoints there
            resources.checkpoints.rmdir()
    return (training.model, record) if with_record else training.model


def _on_this_machine(config: RunConfig) -> RunConfig:
    """The run of a recipe, which does not say in which numbers to multiply, in those that suit this machine."""
    from embudget.training.precision import resolve_precision

    return config.model_copy(update={"precision": resolve_precision(None, find_shape(config.model))})


def record_of(
    training: "Training",
    config: RunConfig,
    base: "HeldOut | None",
    measured: "HeldOut",
    made: Provenance,
    shared_flops: float | None = None,
) -> RunRecord:
    """The record of a run that has spent its budget; whether it learned anything is decided here.

    Args:
        training: the run, at its end.
        config: the run, which may be one of several that a trunk serves.
        base: its start before training, where that was measured.
        measured: the trained model.
        made: where it began.
        shared_flops: what a cheaper run of its trunk had spent; None for a run of its own.
    """
    from embudget.training.guard import remarks_of

    job = training.job
    meter, curve = training.meter, training.curve(config.train_flops)
    late = [loss for share, loss in curve if share >= 0.9]  # the last tenth of the budget, in which the last step ends
    pairs = job.pairs.rows("train")
    doubts: tuple[str, ...] = ()
    if base is not None:
        doubts = remarks_of(
            config, job.shape, job.method, base, measured,
            steps=meter.steps, passes=meter.pairs / pairs, got_gradient=training.got_gradient(),
        )  # fmt: skip
    gained = not no_gain(measured.loss, measured.chance, config.eval_pairs)
    seen = f"the held-out loss {measured.loss:.4f} nats is no better than chance, {measured.chance:.4f}"
    return RunRecord(
        config=config,
        status="done" if gained else "no_gain",
        error=None if gained else f"{seen}: try another learning rate or a larger budget",
        provenance=made,
        model_params=meter.shape.model_params,
        trained_params=meter.method.trained_params(meter.shape),
        steps=meter.steps,
        pairs_seen=meter.pairs,
        training_pairs=pairs,
        tokens=meter.tokens,
        train_flops=meter.train_flops,
        shared_flops=shared_flops,
        executed_flops=meter.executed_flops,
        seconds=training.seconds,
        **measured._asdict(),
        lineage=job.shape.lineage,
        base_loss=None if base is None else base.loss,
        base_ndcg=None if base is None else base.ndcg,
        remarks=doubts,
        train_loss=sum(late) / len(late),
        loss_curve=_thinned(curve),
    )


def diverged_record(config: RunConfig, error: DivergedError, base: "HeldOut | None" = None) -> RunRecord:
    """The record of a run whose loss became NaN, infinite or exploded; of its start what this process knows."""
    from embudget.training.base import known_base

    base = base or known_base(config)
    return RunRecord(
        config=config,
        status="diverged",
        error=str(error),
        loss_curve=_thinned(error.curve_of(config.train_flops)),
        lineage=find_shape(config.model).lineage,
        base_loss=None if base is None else base.loss,
        base_ndcg=None if base is None else base.ndcg,
    )


def _thinned(curve: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """At most `CURVE_POINTS` evenly spaced points of a training curve, the last one among them."""
    stride = -(-len(curve) // CURVE_POINTS)
    return tuple((round(share, 6), loss) for share, loss in curve[::-stride][::-1]) if curve else ()
