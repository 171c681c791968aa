"""Laws of the loss over size, data, method and budget, with uncertainty, fitted to the cells of a study.

fit.py tells the story from runs to laws and names the files that it visits; each of them answers one question:

    forms        which equations there are                 frontier     how the best loss falls with the budget
    problem      what is fitted: cells as arrays           isoflop      which size is best at a budget
    solve        how one law is fitted                     rates        which learning rate is best
    sharing      what methods have in common               curve        how one model's loss falls with data alone
    weights      which form to believe, and how much       checks       what the cells must offer
    uncertainty  how uncertain the law is                  diagnostics  what may be wrong with a fitted law
    misfit       what is noise, and where no form fits     surface      prediction, interval and draws
    ensemble     several forms as one surface              backtests    how far off it is where it can be checked
    repetition   what a repeated token is worth            reuse        the same, fitted
    on_pairs     what is predicted on so many pairs        size_exponent    how the best size grows with the budget
    rate_points  what a cell tells of the best rate        rate_lines   the law of the rate of each kind of method
    censored     estimates from values and mere bounds
    laws         all of it                                 summary      the same as text
    plot         the same as a figure                      cells_frame  the cells beside their predictions
    lineages     how those of several starts lean on each other    basis    which coefficients a method has
    fitted       what laws hold                            best_of_budget    the best choice of a budget
    tuned_losses what cells would have at their best rates
    stored       what their file must be                   builtin      the laws that come with the package
"""

from embudget.laws.builtin import builtin_names, describe_origin, find_laws
from embudget.laws.checks import Refusal
from embudget.laws.coefficients import Coefficients
from embudget.laws.curve import Curve, fit_curve
from embudget.laws.fit import fit
from embudget.laws.forms import FORMS, FormName
from embudget.laws.frontier import FrontierRow
from embudget.laws.laws import Laws
from embudget.laws.size_exponent import SizeExponent
from embudget.laws.surface import Surface

__all__ = [
    "FORMS",
    "Coefficients",
    "Curve",
    "FormName",
    "FrontierRow",
    "Laws",
    "Refusal",
    "SizeExponent",
    "Surface",
    "builtin_names",
    "describe_origin",
    "find_laws",
    "fit",
    "fit_curve",
]
