"""Which attention kernel runs: flash attention over texts laid end to end to train on CUDA, another to measure."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from embudget.training.encoder import base_decoder
from embudget.training.memory import uses_bf16

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_FLASH = "flash_attention_2"


def training_arithmetic() -> str:
    """In what precision and by which attention kernel this machine trains: ``float32``, ``bf16`` or ``bf16-flash``.

    Without flash attention the kernel is the model's own.
    """
    from transformers.utils import is_flash_attn_2_available

    if not uses_bf16():
        return "float32"
    return "bf16-flash" if is_flash_attn_2_available() else "bf16"


def use_flash_attention(model: "SentenceTransformer") -> bool:
    """Switch to variable-length flash attention where CUDA, bf16 and an installed kernel allow it; whether they do."""
    if training_arithmetic() != "bf16-flash":
        return False
    model[0].model.set_attn_implementation(_FLASH)
    model[0].unpad_inputs = None  # look again whether inputs can be flattened
    return bool(model[0].can_flatten_inputs)


def use_plain_attention(model: "SentenceTransformer") -> None:
    """Back from flash attention, which takes no float32, to the kernel that every model has."""
    decoder = base_decoder(model[0].model)
    if decoder.config._attn_implementation == _FLASH:
        decoder.set_attn_implementation("sdpa")
        model[0].unpad_inputs = None


@contextmanager
def in_float32(model: "SentenceTransformer") -> Iterator[None]:
    """For a measurement without autocast in the middle of training."""
    flash = base_decoder(model[0].model).config._attn_implementation == _FLASH
    use_plain_attention(model)
    try:
        yield
    finally:
        if flash:
            use_flash_attention(model)
