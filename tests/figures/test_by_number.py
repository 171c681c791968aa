"""Loss against active fraction and rank: which panels there are, what is joined, and what equal tokens change."""

import pytest

from embudget.errors import FigureError
from embudget.figures.fractions import draw_fractions
from embudget.figures.ranks import draw_ranks
from embudget.laws import Laws
from embudget.runs import RunTable
from tests.figures.made import crosses, points, table_of, without, xs, ys


def test_sizes_with_two_fractions_have_a_panel_and_full_stands_at_one(smollm2: Laws) -> None:
    figure = draw_fractions(smollm2)
    assert [axes.get_title() for axes in figure.axes] == ["4 blocks", "6 blocks", "8 blocks", "12 blocks"]
    by_depth = {axes.get_title(): axes for axes in figure.axes}
    full = {(1.0, c.loss, False) for c in smollm2.cells if c.method == "full" and c.model == "smollm2-135m:4"}
    assert set(points(by_depth["4 blocks"], "o")) == full


def test_ranks_are_joined_at_equal_flop_and_dashed_at_equal_tokens(smollm2: Laws) -> None:
    axes = draw_ranks(smollm2).axes[1]
    assert axes.get_title() == "2 blocks"
    solid = [line for line in axes.get_lines() if line.get_marker() == "^"]
    dashed = [line for line in axes.get_lines() if line.get_marker() == "None"]
    assert len(dashed) == 5
    for line in dashed:  # the lowest rank stays, and more tokens make the others better
        alike = [own for own in solid if own.get_color() == line.get_color()]
        (own,) = [one for one in alike if xs(one) == xs(line)]
        assert ys(line)[0] == pytest.approx(ys(own)[0])
        assert all(moved < measured for moved, measured in zip(ys(line)[1:], ys(own)[1:], strict=True))


def test_a_loss_is_moved_to_the_tokens_of_the_lowest_rank_by_the_laws(smollm2: Laws) -> None:
    axes = draw_ranks(smollm2).axes[1]
    cells = {c.method: c for c in smollm2.cells if c.model == "smollm2-135m:2" and c.budget == 1.6e13}
    low, high = cells["lora:2"], cells["lora:512"]
    law = smollm2.on(high.unique_tokens)
    there, here = (law.predict("lora:512", high.model_params, tokens) for tokens in (low.tokens, high.tokens))
    ends = [ys(line)[-1] for line in axes.get_lines() if line.get_marker() == "None"]
    assert high.loss * there / here == pytest.approx(min(ends, key=lambda end: abs(end - high.loss * there / here)))


def test_a_missing_rank_is_crossed_and_no_line_goes_over_it(three_ranks: RunTable) -> None:
    table = without(three_ranks, ("smollm2-135m:1", "lora:8", 4e12))
    axes = draw_ranks(table).axes[0]
    assert crosses(axes) == [8.0]
    lengths = sorted(len(xs(line)) for line in axes.get_lines() if line.get_marker() == "^")
    assert lengths == [1, 1, 3, 3]


def test_without_laws_there_are_no_lines_at_equal_tokens(three_ranks: RunTable) -> None:
    assert all(line.get_marker() != "None" for axes in draw_ranks(three_ranks).axes for line in axes.get_lines())


def test_one_rank_is_refused_and_so_is_none() -> None:
    table = table_of(("smollm2-135m:1",), ("lora:8", "full"), (1e12, 4e12))
    with pytest.raises(FigureError, match="loss against rank needs a size with two of them, and the study has 1"):
        draw_ranks(table)
    with pytest.raises(FigureError, match="no runs of freeze"):
        draw_fractions(table)


def test_options_of_lora_do_not_mix_with_plain_ranks() -> None:
    table = table_of(("smollm2-135m:1",), ("lora:8", "lora:32", "lora:8:alpha=64"), (1e12,))
    plain = {cell.loss for cell in table.cells if cell.method.count(":") == 1}
    assert {y for _, y, _ in points(draw_ranks(table).axes[0], "^")} == plain
