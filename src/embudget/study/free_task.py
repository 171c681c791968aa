"""Which task of a queue comes next? The statement that picks it.

The runs at the head of the order are mostly held, a thousand of them where so many workers are busy. So these are
passed by first, by one list of all that are held; only of a run that is not, the rest of its task is looked at. What
is not there is asked by NOT EXISTS: where PostgreSQL was to compare counts with 0, it expected so few free runs that it
looked at the whole queue for each claim.
"""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from embudget.study.tables import LEASES, QUEUE


def longest_free(
    held: "ColumnElement[bool]",
    device_bytes: float,
    without: Collection[str],
    without_models: Collection[str],
    locks: bool,
) -> "Select[Any]":
    """Select the runs of the longest task that nobody is on, cheapest first, with their `place` and `out`.

    Args:
        held: whether a lease is held, of a row of the leases.
        device_bytes: memory of the worker's device, which may suffice for the task.
        without: the ids of places that the worker cannot use.
        without_models: the models that it lacks.
        locks: whether the database can lock the task's first run, so that others pass it by instead of waiting for
            this transaction.
    """
    first, other, cheaper = QUEUE.alias(), QUEUE.alias(), QUEUE.alias()
    busy = select(other.c.id).join(LEASES, LEASES.c.id == other.c.id).where(other.c.task == first.c.task, held)
    before = select(cheaper.c.id).where(cheaper.c.task == first.c.task, cheaper.c.train_flops < first.c.train_flops)
    free = (
        select(first.c.task, first.c.place, first.c.out)
        .where(
            first.c.too_small < device_bytes,
            first.c.id.not_in(select(LEASES.c.id).where(held)),
            ~busy.exists(),
            ~before.exists(),
        )
        .order_by(first.c.seconds.desc(), first.c.task)
        .limit(1)
    )
    if without:
        free = free.where(first.c.place.not_in(without))
    for model in without_models:  # a kind is a list that begins with it
        free = free.where(~first.c.kind.startswith(f"[{json.dumps(model)},", autoescape=True))
    if locks:
        free = free.with_for_update(of=first, skip_locked=True)
    one = free.subquery()
    return (
        select(QUEUE.c.config, one.c.place, one.c.out)
        .join(one, (QUEUE.c.task == one.c.task) & (QUEUE.c.place == one.c.place))
        .order_by(QUEUE.c.train_flops)
    )
