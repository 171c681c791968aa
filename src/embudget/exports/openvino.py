"""OpenVINO, which Intel's CPUs, GPUs and NPUs run: `openvino_model.xml` and the weights beside it, `.bin`.

The graph is the one that the ONNX export has, converted from torch without ONNX. In half precision the weights are
float16 in the file; which numbers it computes with is the device's choice when it is loaded.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, final

from embudget.errors import ExportError, first_line
from embudget.exports.check import Runtime
from embudget.exports.graph import INPUTS, OUTPUT, quiet_libraries
from embudget.exports.graph_format import GraphFormat
from embudget.exports.snippets import graph_usage

if TYPE_CHECKING:
    import torch

    from embudget.exports.exportable import Exportable

FILE = "openvino_model.xml"


@final
class OpenvinoFormat(GraphFormat):
    """`openvino_model.xml`, `openvino_model.bin` and the tokenizer."""

    name = "openvino"
    extra = "openvino"
    packages = ("openvino",)
    file = FILE
    fused = False

    def convert(self, program: "torch.export.ExportedProgram", name: str, file: Path, fp16: bool) -> None:
        """Write the graph and its weights."""
        import openvino

        try:
            with quiet_libraries(), _silent_telemetry():
                model = openvino.convert_model(program)
        except Exception as error:  # the library raises several kinds, of which none is public
            raise ExportError(f"cannot write {name} for OpenVINO: {first_line(error)[:200]}") from error
        for place, called in zip((*model.inputs, *model.outputs), (*INPUTS, OUTPUT), strict=True):
            place.get_tensor().set_names({called})
        openvino.save_model(model, file, compress_to_fp16=fp16)

    def runtime(self, file: Path) -> Runtime:
        """A compiled model on the CPU, with as many threads as torch has, that computes in float32."""
        import openvino
        import torch

        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        compiled = openvino.Core().compile_model(file, "CPU", settings)
        return lambda inputs: compiled(inputs)[OUTPUT]

    def usage(self, source: "Exportable") -> str:
        """A compiled model of OpenVINO."""
        return graph_usage(
            source,
            imports="import openvino",
            load=f"""# as it was measured; without the setting, CPUs with fast bf16 compute in that
settings = {{"INFERENCE_PRECISION_HINT": "f32"}}
compiled = openvino.Core().compile_model(f"{{folder}}/{FILE}", "CPU", settings)""",
            run=f'embeddings = compiled(inputs)["{OUTPUT}"]',
        )


@contextmanager
def _silent_telemetry() -> Iterator[None]:
    """Keep the converter from telling its maker that it was used, which it does everywhere but on build machines."""
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before
