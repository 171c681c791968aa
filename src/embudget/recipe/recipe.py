"""The recipe itself: the run that realises it, its text for a person, and its file."""

from pathlib import Path
from typing import Self

import yaml

from embudget.files import save_text
from embudget.reading import read_yaml
from embudget.recipe.notebook import recipe_html
from embudget.recipe.text import recipe_text
from embudget.recipe.values import RecipeValues
from embudget.records import RunConfig
from embudget.suite import find_shape, known_shape
from embudget.suite.loading import weights_of
from embudget.suite.members import may_be_fetched, start_of


class Recipe(RecipeValues):
    """The answer for one budget: what to train, how, and what to expect.

    Example:
        >>> recipe = eb.recommend(eb.find_laws("smollm2"), 4e13)
        >>> recipe.save("recipe.yaml")
        >>> eb.Recipe.load("recipe.yaml") == recipe
        True
    """

    def __str__(self) -> str:
        """A few lines, for a person."""
        return recipe_text(self)

    def _repr_html_(self) -> str:
        return recipe_html(self)

    def run_config(self, pairs_hash: str, seed: int = 0) -> RunConfig:
        """Make the run that realises the recipe on the pairs with this content hash.

        The predicted loss holds only for the pairs that the laws were ``measured_on``. On other pairs the recipe is a
        good guess, but expect another loss. The run is measured on pairs drawn evenly over groups; if the prediction
        refers to such pairs too, on as many.

        Raises:
            ConfigError: the seed is out of range.
            ModelError: the model's weights cannot be read, or their commit cannot be asked for on the hub.
        """
        own = {"pairs", "yardstick", *(() if self.yardstick == "groups" else ("eval_pairs", "eval_candidates"))}
        shared = set(RunConfig.model_fields) & set(type(self).model_fields) - own
        values = {name: getattr(self, name) for name in shared} | {"pairs": pairs_hash, "seed": seed}
        for side in ("query_prompt", "document_prompt"):
            values[side] = self._own_prompt(side) if values[side] is None else values[side]
        if self._is_model():
            values |= {"model": find_shape(self.model).name, "weights": weights_of(self.model)}
        return RunConfig.read(values, "run of the recipe")

    def _own_prompt(self, side: str) -> str:
        """The prompt that the model itself has for queries or documents; none where it is no more than a size."""
        if not self._is_model():
            return ""
        prompt: str = getattr(start_of(self.model), side)
        return prompt

    def _is_model(self) -> bool:
        """Whether the name stands for a model: in a table of runs it may be no more than a size."""
        return known_shape(self.model) is not None or may_be_fetched(self.model)

    def save(self, path: str | Path) -> None:
        """Write as YAML, whole or not at all.

        Raises:
            ConfigError: the file cannot be written.
        """
        save_text(path, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a recipe from YAML.

        Raises:
            ConfigError: the file cannot be read, is not YAML, or breaks a rule.
        """
        return cls.read(read_yaml(path, "a recipe (model, method, train_flops, ...)"), str(path))
