"""What ONNX and OpenVINO have in common: one traced graph, the tokenizer beside it, and a comparison with torch."""

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from embudget.exports.base import Format
from embudget.exports.check import Check, Runtime, compare_with_torch
from embudget.exports.graph import check_graph, save_tokenizer, traced

if TYPE_CHECKING:
    import torch

    from embudget.exports.exportable import Exportable


class GraphFormat(Format):
    """A format that holds a model as a graph from token ids to embeddings."""

    file: ClassVar[str]
    """Name of the graph's file."""
    fused: ClassVar[bool] = True
    """Whether its runtime's fused attention gives no NaN to a token that sees nothing: see `traced`."""
    takes_fp16 = True

    def check(self, source: "Exportable") -> None:
        """Refuse a model that does not fit into one graph."""
        check_graph(source)

    def write(self, source: "Exportable", folder: Path, fp16: bool) -> Check:
        """Write the graph and the tokenizer, and run it with the format's own runtime."""
        self.convert(traced(source, fused=self.fused), source.name, folder / self.file, fp16)
        save_tokenizer(source.model, folder)
        return compare_with_torch(source, folder, self.runtime(folder / self.file), "fp16" if fp16 else "fp32")

    @abstractmethod
    def convert(self, program: "torch.export.ExportedProgram", name: str, file: Path, fp16: bool) -> None:
        """Write a traced graph.

        Raises:
            ExportError: the format has no such graph; the message names the model.
            OSError: the folder is full.
        """

    @abstractmethod
    def runtime(self, file: Path) -> Runtime:
        """The runtime on the CPU, with as many threads as torch has."""
