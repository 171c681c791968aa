"""`eb.spend` is the function, whatever of its package was imported before."""

import inspect
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "before", ["", "import embudget.spending.allocation;", "from embudget.spending import ledger;"]
)
def test_the_name_is_the_function(before: str) -> None:
    code = f"{before}import embudget as eb, inspect; print(list(inspect.signature(eb.spend).parameters)[:3])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['budget', 'suite', 'pairs']"


def test_its_errors_are_those_of_the_function() -> None:
    import embudget as eb
    from embudget.errors import BudgetError

    assert inspect.signature(eb.spend).parameters["keep"].default == 1
    with pytest.raises(BudgetError, match="give exactly one of"):
        eb.spend(suite="micro", pairs="nowhere", out="nowhere")
