"""Studies: a grid of runs, planned, trained by an executor and kept as records in a store."""

from embudget.study.batch_size import BatchRule
from embudget.study.driver import sweep
from embudget.study.listener import SweepListener
from embudget.study.planning import Plan, plan
from embudget.study.spec import Study
from embudget.study.store import Store

__all__ = ["BatchRule", "Plan", "Store", "Study", "SweepListener", "plan", "sweep"]
