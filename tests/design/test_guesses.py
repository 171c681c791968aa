"""Whether the worlds in which a pilot is tried have all that its recipe may choose."""

from embudget.design.guesses import worth
from embudget.design.simulate import simulate
from embudget.laws import fit
from embudget.recipe import recommend
from embudget.recipe.options import Question
from tests.laws.test_zero_shot import BUDGETS, CUT, cut


def test_a_pilot_of_the_cuts_of_a_retriever_is_tried_though_it_leaves_the_whole_one_out() -> None:
    """Laws that begin at zero-shot losses need that of every choice: without it no world was played to its end."""
    records = simulate(cut())
    laws = fit(records, draws=20)
    few = [one.config for one in records if one.config.model != CUT[-1]]
    guess = recommend(laws, 4 * BUDGETS[-1], suite="pythia", max_params=2e7)
    question = Question.of(laws, {"max_params": 2e7, "force": True}, "pythia")
    assert {one.model for one in question.candidates} - {one.model for one in few}
    found = worth(question, guess, few, seed=0)
    assert found is not None
    assert 0 <= found.by_choice <= found.regret
