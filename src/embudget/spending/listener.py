"""What spending a budget tells while it goes on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from embudget.spending.allocation import Allocation, Decision, Measurement, Purchase

if TYPE_CHECKING:
    from embudget.evaluation import Evaluation
    from embudget.recipe.choice import Untrained
    from embudget.records import RunConfig, RunRecord
    from embudget.spending.ledger import Ledger


class SpendListener:
    """Is told how a budget is spent; this base class ignores it.

    The order is: `start_measured` of each retriever, at the first start; `planned` once; for each round `decided`, then
    `progress` and `measured` of its purchases; `training` and `progress` of each final run, then its `measured`;
    `untrained` where no run beat a start; `evaluated` where scores were asked for; `done` once. What an earlier start
    had measured is in `planned` and is not told again.
    """

    def start_measured(self, model: str, loss: float) -> None:
        """A retriever was measured before any training, nats: what it is as it is."""

    def planned(self, allocation: Allocation, measured: Sequence[Measurement]) -> None:
        """It is known what may be bought; these measurements are there already, by an earlier start."""

    def decided(self, decision: Decision, changed: str) -> None:
        """A round's purchases are decided; ``changed`` says what the last measurements did to the choice."""

    def progress(self, config: "RunConfig", share: float, loss: float) -> None:
        """A step of a run: the share of its budget spent, its training loss in nats.

        A run that goes on from a trunk starts with the share that the trunk has spent.
        """

    def lost(self, config: "RunConfig", reason: str, attempt: int) -> None:
        """The process of a run was lost; it is done again while attempts are left."""

    def measured(self, measurement: Measurement, record: "RunRecord | None") -> None:
        """A purchase was trained and measured; it has no record where it could not be begun."""

    def training(self, purchase: Purchase, number: int, of: int) -> None:
        """The search is over: this final run begins, the ``number``-th of so many, counted from 1."""

    def untrained(self, start: "Untrained") -> None:
        """No final run beat this start as it is, which therefore is the model."""

    def evaluated(self, evaluation: "Evaluation") -> None:
        """The final model has its retrieval scores."""

    def done(self, ledger: "Ledger") -> None:
        """All is spent."""
