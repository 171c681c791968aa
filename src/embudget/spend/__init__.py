"""One budget for the search and the final run: what to measure next, and when to stop measuring and train."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embudget.spend.spending import Spending


class _Callable(ModuleType):
    """Makes `eb.spend(...)` work, since Python puts the package in the place of the function of its name.

    The function is `embudget.spend.spending.spend`; it is imported, with torch, when it is first called.
    """

    def __call__(self, *args: Any, **options: Any) -> "Spending":  # noqa: ANN401 - the function checks them
        spending: Spending = self.__wrapped__(*args, **options)
        return spending

    @property
    def __wrapped__(self) -> Any:  # noqa: ANN401 - by which `inspect` finds the function's signature
        from embudget.spend.spending import spend

        return spend


sys.modules[__name__].__class__ = _Callable
