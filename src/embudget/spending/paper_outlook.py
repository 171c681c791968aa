"""What a study takes on devices that are not here, as numbers and in words: see `embudget.spending.on_paper`."""

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from embudget.duration import duration
from embudget.frozen import Frozen
from embudget.memory import written
from embudget.spending.changes import hung

MOST_LISTED = 8


class TooLarge(Frozen):
    """Runs of one member and method that do not fit into the memory of a device."""

    model: str
    method: str
    runs: PositiveInt
    memory_bytes: PositiveFloat
    instead: str = Field(description="what would fit")

    def __str__(self) -> str:
        """For a person."""
        many = f"{self.runs} run{'s' * (self.runs > 1)}"
        return f"{self.model} {self.method}: {written(self.memory_bytes)}, {many} left out; {self.instead}"


class PaperOutlook(Frozen):
    """What a study takes on devices of one kind.

    Example:
        >>> print(paper_outlook(eb.Study.from_yaml("studies/paper.yaml"), "h100", count=64))
    """

    runs: PositiveInt
    too_short: NonNegativeInt = Field(description="runs left out because they have fewer steps than min_steps")
    too_few_pairs: NonNegativeInt = Field(description="runs left out because there are fewer pairs than they need")
    unfit: NonNegativeInt = Field(description="runs left out because the model cannot be trained as they say")
    train_flops: NonNegativeFloat = Field(description="of all runs, those of one trunk spent once")
    trunk_flops: NonNegativeFloat = Field(description="the same with schedule wsd, budgets of a setting on one trunk")
    tokens: NonNegativeFloat = Field(description="of all runs together, whatever they share")
    pairs_needed: NonNegativeFloat = Field(description="by the run that needs most, in all its epochs")
    pairs_of: str
    refused: dict[str, str] = Field(default={}, description="members that cannot be trained here, and why")
    training_pairs: float | None = Field(description="that there are; None where nobody says")
    tokens_per_pair: PositiveFloat
    assumed: bool = Field(description="whether the pairs are not there, and what they are is assumed")
    device: str
    count: PositiveInt
    mfu: PositiveFloat
    device_seconds: NonNegativeFloat = Field(description="of training, over all devices")
    makespan_seconds: NonNegativeFloat = Field(description="from the start to the end of the last run")
    longest_seconds: NonNegativeFloat = Field(description="of the longest task, which no number of devices shortens")
    longest_of: str
    dollars_per_hour: PositiveFloat
    memory_bytes: NonNegativeFloat = Field(description="of the planned run that takes most, estimated")
    memory_of: str
    device_memory: PositiveFloat
    too_large: tuple[TooLarge, ...] = Field(description="runs left out because they do not fit into the memory")
    checkpoint_bytes: NonNegativeFloat = Field(
        description="of all checkpoints that are there at the same time, at most"
    )
    record_bytes: NonNegativeFloat
    model_bytes: NonNegativeFloat = Field(description="of the models that are trained, on each machine")
    token_bytes: NonNegativeFloat = Field(description="of the tokens of the pairs, on each machine")

    @property
    def busy(self) -> float:
        """The share of the devices' time in which they train."""
        return self.device_seconds / (self.count * self.makespan_seconds)

    @property
    def dollars(self) -> float:
        """For the seconds in which devices train."""
        return self.device_seconds / 3600 * self.dollars_per_hour

    @property
    def rented_dollars(self) -> float:
        """For all devices from the start to the end."""
        return self.dollars / self.busy

    def __str__(self) -> str:
        """A few lines, for a person."""
        left = {
            "of too few steps": self.too_short, "for want of pairs": self.too_few_pairs,
            "that cannot be trained so": self.unfit, "too large": sum(one.runs for one in self.too_large),
        }  # fmt: skip
        said = ", ".join(f"{count} {why}" for why, count in left.items() if count)
        there = "as many as it takes" if self.training_pairs is None else f"{self.training_pairs:.3g} there"
        several = f"{self.count} x {self.device}" if self.count > 1 else f"one {self.device}"
        rented = f", {self.rented_dollars:,.0f} for all from start to end" if self.count > 1 else ""
        assumed = ", assumed" * self.assumed
        lines = [
            f"{self.runs} runs, {self.train_flops:.3g} FLOP" + (f"; left out: {said}" if said else ""),
            f"  tokens    {self.tokens:.3g} of all runs, {self.tokens_per_pair:.3g} a pair{assumed}",
            f"  pairs     {self.pairs_needed:.3g} for {self.pairs_of}, the most of all; {there}{assumed}",
            f"  time      {duration(self.makespan_seconds)} on {several}, the longest task first: "
            f"{duration(self.device_seconds)} of training, {100 * self.busy:.0f} % busy; the longest task takes "
            f"{duration(self.longest_seconds)}, {self.longest_of}",
            f"  speed     {self.mfu:.2g} of the peak of the {self.device}, assumed for every "
            "member, though small ones reach less; loading and measuring not counted",
            f"  money     {self.dollars:,.0f} dollars of training{rented}, at {self.dollars_per_hour:.3g} an hour",
            f"  memory    {written(self.memory_bytes)} of {written(self.device_memory)} for {self.memory_of}, the most "
            "of all",
            f"  storage   {written(self.checkpoint_bytes)} for checkpoints at the same time, "
            f"{written(self.record_bytes)} for records; on each machine {written(self.model_bytes)} of models, "
            f"{written(self.token_bytes)} of tokens",
        ]  # fmt: skip
        if self.trunk_flops < 0.99 * self.train_flops:
            lines.append(f"  trunks    {self.trunk_flops:.3g} FLOP with schedule: wsd and one batch size a setting")
        lines += [f"  refused   {reason}" for reason in self.refused.values()]
        lines += [f"  too large {one}" for one in self.too_large[:MOST_LISTED]]
        if (more := len(self.too_large) - MOST_LISTED) > 0:
            lines.append(f"  too large and {more} more: see --json")
        return "\n".join(map(hung, lines))
