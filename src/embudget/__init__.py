"""embudget spends a compute budget on a text-embedding model optimally.

It measures with small runs how contrastive fine-tuning scales, fits laws to them, and answers for a budget in FLOP:
which model to start from, which method, how many tokens, which hyperparameters. Then it trains and evaluates that
model. All of it within one budget, the small runs included:

    import embudget as eb

    pairs = eb.build_pairs(["demo"], out="pairs/")
    spending = eb.spend("2e13", suite="smollm2,minilm", pairs="pairs/", out="out/")
    spending.model.encode("a text")

Or step by step:

    study = eb.Study.from_yaml("study.yaml")
    records = eb.sweep(study, store="study.db")
    laws = eb.fit(records)
    best = eb.recommend(laws, budget="4e13")
    model = eb.train(best, pairs, out="model/")
    print(eb.evaluate(model, pairs))

Importing the package is quick, because each name is imported when it is first used: planning and fitting never load
torch. Whatever goes wrong that a user can mend is an `EmbudgetError`, whose message is one line.
"""

TYPE_CHECKING = False  # that of typing takes 10 to 30 ms, in which Ctrl-C would be a traceback
if TYPE_CHECKING:
    from typing import Any

    from embudget.comparison import compare
    from embudget.design import Pilot, pilot
    from embudget.errors import EmbudgetError, UnsupportedError

    # each from its own file: `embudget.evaluation.benchmark` is a module too, which mypy may take for the function
    from embudget.evaluation.benchmark import benchmark
    from embudget.evaluation.evaluate import evaluate
    from embudget.exports import export
    from embudget.exports.push import push
    from embudget.findings import agree, explain
    from embudget.laws import Laws, find_laws, fit
    from embudget.pairs import build_pairs, index_pairs, load_pairs
    from embudget.recipe import Recipe, recipe_curve, recommend
    from embudget.records import RunConfig, RunRecord
    from embudget.report import write_curve, write_report
    from embudget.spending.quickstart import quickstart
    from embudget.spending.spend import spend
    from embudget.study import Store, Study, plan, sweep
    from embudget.suite import find_shape, find_suite
    from embudget.training.run import train

__version__: str

_HOMES = {
    "comparison": ("compare",),
    "design": ("Pilot", "pilot"),
    "errors": ("EmbudgetError", "UnsupportedError"),
    "evaluation": ("benchmark", "evaluate"),
    "exports": ("export",),
    "exports.push": ("push",),
    "findings": ("agree", "explain"),
    "laws": ("Laws", "find_laws", "fit"),
    "pairs": ("build_pairs", "index_pairs", "load_pairs"),
    "recipe": ("Recipe", "recipe_curve", "recommend"),
    "records": ("RunConfig", "RunRecord"),
    "report": ("write_curve", "write_report"),
    "spending.quickstart": ("quickstart",),
    "spending.spend": ("spend",),
    "study": ("Store", "Study", "plan", "sweep"),
    "suite": ("find_shape", "find_suite"),
    "training.run": ("train",),
}
"""Module below `embudget` -> the public names that live there; it is imported when one of them is first used."""

__all__ = [
    "EmbudgetError",
    "Laws",
    "Pilot",
    "Recipe",
    "RunConfig",
    "RunRecord",
    "Store",
    "Study",
    "UnsupportedError",
    "__version__",
    "agree",
    "benchmark",
    "build_pairs",
    "compare",
    "evaluate",
    "explain",
    "export",
    "find_laws",
    "find_shape",
    "find_suite",
    "fit",
    "index_pairs",
    "load_pairs",
    "pilot",
    "plan",
    "push",
    "quickstart",
    "recipe_curve",
    "recommend",
    "spend",
    "sweep",
    "train",
    "write_curve",
    "write_report",
]


def __getattr__(name: str) -> "Any":  # noqa: ANN401 - whatever the module holds
    if name == "__version__":
        from importlib.metadata import version

        return version("embudget")
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"embudget.{home}"), name)
    raise AttributeError(f"module 'embudget' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
