"""Fine-tuning methods: what trains, and the FLOP formula next to it."""

from collections.abc import Callable

from embudget.errors import MethodError
from embudget.methods.base import Method
from embudget.methods.bias import Bias
from embudget.methods.freeze import Freeze
from embudget.methods.full import Full
from embudget.methods.lora import LoRA

__all__ = ["Bias", "Freeze", "Full", "LoRA", "Method", "kind_of", "parse_method"]

_PLAIN: dict[str, Callable[[], Method]] = {"full": Full, "bias": Bias}
_WITH_VALUE: dict[str, Callable[[str], Method]] = {
    "freeze": lambda value: Freeze(float(value)),
    "lora": LoRA.read,
}
_FORMS = "full, bias, freeze:FRACTION (freeze:0.5) or lora:RANK (lora:32, with options lora:32:alpha=16:layers=mlp)"


def parse_method(text: str) -> Method:
    """Read a method as a user writes it: ``full``, ``freeze:0.5``, ``bias`` or ``lora:32``.

    The last may have options: see `embudget.methods.lora`.

    Raises:
        MethodError: the name is unknown, its value is missing or out of range.
    """
    name, colon, value = text.strip().partition(":")
    try:
        if name in _PLAIN and not colon:
            return _PLAIN[name]()
        if name in _WITH_VALUE and colon:
            return _WITH_VALUE[name](value)
    except ValueError:
        pass  # not a number: said below with the forms
    raise MethodError(f"method must be {_FORMS}, got {text!r}")


def kind_of(method: str) -> str:
    """The method without its number and options: lora of lora:32."""
    return method.partition(":")[0]
