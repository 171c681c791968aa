"""What stands between the pooling and the embedding? The `Dense` modules of a retriever, as sizes without weights.

    EmbeddingGemma    768 -> 3072 -> 768, no biases, identity
    LaBSE             768 -> 768, biases, tanh

Each computes `activation(W x + b)` of the pooled state, once a text. A retriever was trained with them, so that they
are part of it: they are loaded, trained or frozen, and written with it, and a model that is cut keeps them.
"""

from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field

from embudget.errors import ModelError, shortened
from embudget.frozen import Frozen
from embudget.limits import ModelSize
from embudget.reading import read_json

ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")
"""Classes of `torch.nn` that may follow the product; those published use the first two."""

_POOLED = "sentence_embedding"
"""What a module reads and writes unless its configuration says otherwise."""


class Dense(Frozen):
    """One `Dense` module behind the pooling.

    Example:
        >>> [layer.outputs for layer in find_shape("embeddinggemma-300m").dense]
        [3072, 768]
    """

    inputs: ModelSize = Field(description="numbers that it reads")
    outputs: ModelSize = Field(description="numbers that it gives")
    bias: bool = Field(default=True, description="whether it has a bias for each output")
    activation: str = Field(default="Tanh", description="class of torch.nn that follows the product")
    path: str = Field(description="its folder within the model")

    @property
    def bias_params(self) -> int:
        """Its bias terms."""
        return self.outputs if self.bias else 0

    @property
    def params(self) -> int:
        """Its parameters, the bias included."""
        return self.inputs * self.outputs + self.bias_params

    @property
    def weights_file(self) -> str:
        """Where its weights are within the model; a pickle beside them is never read."""
        return inside(self.path, "model.safetensors")


def read_dense(name: str, path: str, config: Any) -> Dense:  # noqa: ANN401 - JSON that anybody may have written
    """Read a module's configuration; what it leaves out is what sentence-transformers takes for it.

    Args:
        name: the model's, for messages.
        path: the module's folder within the model.
        config: the content of its config.json, None where it has none.

    Raises:
        ModelError: it is damaged, or computes something else.
    """
    where = f"{shortened(name, 80)}: its module {shortened(path, 40)}"
    if not isinstance(config, dict) or not {"in_features", "out_features"} <= set(config):
        raise ModelError(f"{where} has no config.json with in_features and out_features")
    named = str(config.get("activation_function") or "torch.nn.modules.activation.Tanh")
    activation = named.rpartition(".")[2]
    if not named.startswith("torch.nn.") or activation not in ACTIVATIONS:
        raise ModelError(f"{where} has the activation {named[:60]}: only {', '.join(ACTIVATIONS)} of torch.nn are run")
    read, written = config.get("module_input_name") or _POOLED, config.get("module_output_name")
    if read != _POOLED or written not in (None, _POOLED) or config.get("use_residual"):
        raise ModelError(
            f"{where} does more than a product and its activation behind the pooling, which is not trained"
        )
    fields = {"inputs": config["in_features"], "outputs": config["out_features"], "bias": config.get("bias", True)}
    return Dense.read({**fields, "activation": activation, "path": path}, where, ModelError)


def check_chain(name: str, hidden: int, layers: tuple[Dense, ...]) -> None:
    """Refuse modules of which one does not read as many numbers as those before it give.

    Raises:
        ModelError: names it.
    """
    for layer in layers:
        if layer.inputs != hidden:
            raise ModelError(
                f"{shortened(name, 80)}: its module {shortened(layer.path, 40)} reads {layer.inputs} numbers, but gets "
                f"{hidden}"
            )
        hidden = layer.outputs


def dense_files(folder: Path) -> list[Path]:
    """The files of a model folder that hold its `Dense` modules, which decide what it computes as its weights do.

    Raises:
        ModelError: its modules.json cannot be read.
    """
    modules = read_json(folder / "modules.json", ModelError) if (folder / "modules.json").is_file() else None
    entries = [entry for entry in modules if isinstance(entry, dict)] if isinstance(modules, list) else []
    paths = [str(entry.get("path")) for entry in entries if str(entry.get("type")).endswith(".Dense")]
    return [folder / inside(path, file) for path in paths for file in ("config.json", "model.safetensors")]


def inside(path: str, file: str) -> str:
    """A file of a module by its path within the model."""
    return str(PurePosixPath(path) / file)
