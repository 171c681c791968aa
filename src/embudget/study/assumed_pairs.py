"""What a study takes its text pairs to be while they are not there, so that it can be planned before they are.

The numbers are those that `embudget pairs stats` measures of a folder: how long the texts are, and how many pairs.
"""

from pydantic import Field, PositiveFloat

from embudget.frozen import Frozen
from embudget.limits import MOST_COUNT


class AssumedPairs(Frozen):
    """The size of pairs that nobody has built yet.

    Example:
        >>> AssumedPairs(query_tokens=14, positive_tokens=64).tokens_per_pair()
        78.0
    """

    query_tokens: PositiveFloat = Field(description="mean tokens of a query, after the cut at max_length")
    positive_tokens: PositiveFloat = Field(description="mean tokens of a positive, after the cut at max_length")
    training_pairs: float | None = Field(
        default=None,
        ge=1,
        le=MOST_COUNT,
        description="pairs to train on; runs that need more are left out. Unlimited where it is not said",
    )

    def tokens_per_pair(self, negatives: int = 0) -> float:
        """Mean tokens of a query, its positive and so many hard negatives, which count as long as a positive."""
        return self.query_tokens + (1 + negatives) * self.positive_tokens

    def attention_length(self, negatives: int = 0) -> float:
        """The length of the text in which the mean token stands, if all queries were alike, and all positives."""
        squares = self.query_tokens**2 + (1 + negatives) * self.positive_tokens**2
        return squares / self.tokens_per_pair(negatives)
