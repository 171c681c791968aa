"""Laws of the loss over size, data, method and budget, with uncertainty, fitted to the records of a study.

forms       base, chinchilla, multiplicative, rectified, dense_retrieval, parameters: L(N, D), one file each
            curve: L(D) of one model, not part of `Laws`
            frontier, line: the best loss against budget     isoflop: parabolas over the sizes of one budget
            rates: the best learning rate of a cell not measured
fitting     support: what the cells must offer               points, basis, problem: the cells as arrays
            levenberg: many fits at once                     varpro, lbfgs: starts and comparison
            joint: several methods in one fit                ranking: which form, how much is shared
            bootstrap: draws                                 mixture: all of it into one surface
            misfit: the law's own error, if it has one       kriging: a smooth correction of it
result      surface: prediction and interval                 diagnostics, alternatives, summary: what to make of it
            fitting: records in, laws out                    result: the laws and their file
            builtin: laws that come with the package, by name
"""

from embudget.laws.builtin import builtin_names, describe_origin, find_laws
from embudget.laws.curve import Curve, fit_curve
from embudget.laws.fitting import fit
from embudget.laws.parameters import FORMS, Coefficients, FormName
from embudget.laws.result import FrontierRow, Laws, Refusal
from embudget.laws.surface import Surface

__all__ = [
    "FORMS",
    "Coefficients",
    "Curve",
    "FormName",
    "FrontierRow",
    "Laws",
    "Refusal",
    "Surface",
    "builtin_names",
    "describe_origin",
    "find_laws",
    "fit",
    "fit_curve",
]
