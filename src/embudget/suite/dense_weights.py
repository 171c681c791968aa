"""How do the `Dense` modules of a retriever get their weights? From safetensors alone, and none of them at random.

A checkpoint may hold them as a pickle, which may run code, or in sizes that its configuration does not say: both are
refused in a line, as the transformer's weights are.
"""

from typing import TYPE_CHECKING, Any

from embudget.errors import ModelError, first_line
from embudget.suite.dense import Dense
from embudget.suite.members import file_of, split_depth
from embudget.suite.shapes import ModelShape

if TYPE_CHECKING:
    from torch import Tensor


def load_dense(name: str, shape: ModelShape, revision: str | None = None) -> list[Any]:
    """The modules of sentence-transformers for the `Dense` ones of a member, in float32 and in their order.

    Args:
        name: as a user writes it; a depth makes no difference.
        shape: the member's.
        revision: of a checkpoint on the hub.

    Raises:
        ModelError: weights are missing, only a pickle, of other sizes, or no finite floats.
    """
    import torch
    from sentence_transformers.sentence_transformer import modules

    found = []
    for layer in shape.dense:
        activation = getattr(torch.nn, layer.activation)()
        module = modules.Dense(layer.inputs, layer.outputs, bias=layer.bias, activation_function=activation)
        module.linear.load_state_dict(_weights(name, layer, revision))
        found.append(module)
    return found


def _weights(name: str, layer: Dense, revision: str | None) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = file_of(split_depth(name)[0], layer.weights_file, revision)
    if file is None:
        raise ModelError(
            f"cannot load {name}: it has no {layer.weights_file} (a pickle may run code, and is never read)"
        )
    try:
        tensors = {key.removeprefix("linear."): value for key, value in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"cannot load {name}: {layer.weights_file} cannot be read: {first_line(error)[:120]}"
        ) from None
    wanted = {"weight": [layer.outputs, layer.inputs]} | ({"bias": [layer.outputs]} if layer.bias else {})
    sizes = {key: list(value.shape) for key, value in tensors.items()}
    if sizes != wanted:
        raise ModelError(f"cannot load {name}: {layer.weights_file} must hold {wanted}, got {str(sizes)[:120]}")
    for key, value in tensors.items():
        if not value.is_floating_point() or not value.isfinite().all():
            raise ModelError(f"cannot train {name}: {key} in {layer.weights_file} holds other than finite floats")
    return {key: value.float() for key, value in tensors.items()}
