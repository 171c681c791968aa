"""The regret benchmark lets no procedure profit from worlds in which ours gives no recipe."""

from benchmarks.regret_tables import over, ratios, refusals, regrets

Row = dict[str, float | int | str | bool | None]


def row(seed: int, times: int, recipe: float | None, paper: float | None) -> Row:
    regrets = {"recipe": recipe, "paper": paper, "carry": 0.5, "largest": 0.5, "best full": 0.5}
    named: Row = {f"regret of {name}": value for name, value in regrets.items()}
    refused: str | None = "too few sizes" if recipe is None else None
    return named | {"kind": "k", "seed": seed, "times": times, "best": "b", "recipe": "r", "refused": refused}


def test_means_are_of_the_worlds_that_both_answer() -> None:
    rows = [
        row(seed, times, *pair)
        for times in (4, 16, 64)
        for seed, pair in enumerate([(0.01, 0.04), (None, 0.9), (0.9, None)])
    ]
    assert ratios(rows) == {"4": 0.25, "16": 0.25, "64": 0.25}
    means = {name: numbers["mean"] for name, numbers in regrets(rows)["4"].items()}
    assert means == {"recipe": 0.01, "paper": 0.04, "carry": 0.5, "largest": 0.5, "best full": 0.5}


def test_a_refusal_is_over_the_limit_and_listed() -> None:
    rows = [row(0, 4, 0.01, 0.04), row(1, 4, None, 0.9), row(2, 4, 0.06, None), row(2, 16, None, 0.1)]
    assert [text.split(":")[0] for text in over(rows)] == ["k 1", "k 2"]
    assert refusals(rows) == ["k 1 at 4 x: too few sizes", "k 2 at 16 x: too few sizes"]
