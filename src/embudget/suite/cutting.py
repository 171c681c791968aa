"""What changes in a model's configuration when only some of its blocks are kept?"""

from collections.abc import Mapping
from typing import Any

from embudget.errors import ModelError
from embudget.suite.architecture import Architecture
from embudget.suite.shapes import ModelShape


def cut_fields(config: Mapping[str, Any], description: Architecture, layers: int) -> dict[str, Any]:
    """The changes to a configuration that keep a model's first blocks."""
    count = description.fields["layers"]
    return {count: layers, **per_block_fields(config, config[count], range(layers))}


def per_block_fields(config: Mapping[str, Any], layers: int, blocks: range) -> dict[str, list[Any]]:
    """The fields that say something about each block, such as its kind of attention, for a range of the blocks."""
    return {
        name: list(values)[blocks.start : blocks.stop]
        for name, values in config.items()
        if "layer" in name and isinstance(values, list | tuple) and len(values) == layers
    }


def check_description(shape: ModelShape, model: Any) -> None:  # noqa: ANN401 - transformers is untyped
    """Refuse a description that is not that of the model which transformers builds.

    Args:
        shape: says how many parameters each part should have.
        model: the model, cut to the shape's depth; its weights may be on the meta device.

    Raises:
        ModelError: a module that the description names is not there, or a part has another number of parameters.
    """
    described = shape.description
    modules = dict(model.named_modules())
    blocks = modules.get(described.blocks)
    if blocks is None or len(list(blocks.children())) != shape.layers:
        raise ModelError(
            f"{shape.name}: its architecture is described with blocks in {described.blocks}, where the model "
            f"{'has nothing' if blocks is None else f'does not have {shape.layers}'}; its modules are "
            f"{', '.join(name for name, _ in model.named_children())}"
        )
    block = dict(list(blocks.children())[-1].named_modules())
    unused = {id(p) for name in described.unused if name in modules for p in modules[name].parameters()}
    counted = sum(parameter.numel() for parameter in model.parameters() if id(parameter) not in unused)
    for linear in shape.linears:
        if linear.name not in block:
            raise ModelError(f"{shape.name}: its architecture is described with {linear.name}, which its blocks lack")
    found = {"each block": sum(parameter.numel() for parameter in block[""].parameters()), "the whole model": counted}
    wanted = {"each block": shape.block_params, "the whole model": shape.model_params + shape.embedding_params}
    if shape.layers == 1:
        wanted["each block"] -= shape.first_block_lacks
    for part, number in wanted.items():
        if number != found[part]:
            raise ModelError(
                f"{shape.name}: its architecture is described with {number:,} parameters in {part}, but transformers "
                f"builds {found[part]:,}"
            )
