"""ONNX by torch's own exporter: one file that onnxruntime, TensorRT, browsers and many databases run.

In half precision the weights and the arithmetic are float16, inputs and outputs stay as they are; the conversion is
onnxruntime's, which keeps in float32 what it knows to overflow.
"""

from pathlib import Path
from typing import TYPE_CHECKING, final

from embudget.errors import ExportError, first_line
from embudget.exports.check import Runtime
from embudget.exports.graph import INPUTS, OUTPUT, SIZES, quiet_libraries
from embudget.exports.graph_format import GraphFormat
from embudget.exports.snippets import graph_usage

if TYPE_CHECKING:
    import torch

    from embudget.exports.exportable import Exportable

FILE = "model.onnx"


@final
class OnnxFormat(GraphFormat):
    """`model.onnx` and the tokenizer."""

    name = "onnx"
    extra = "onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")
    file = FILE

    def convert(self, program: "torch.export.ExportedProgram", name: str, file: Path, fp16: bool) -> None:
        """Write the graph by torch's exporter."""
        import torch

        try:
            with quiet_libraries():
                model = torch.onnx.export(
                    program,
                    (),
                    dynamo=True,
                    input_names=list(INPUTS),
                    output_names=[OUTPUT],
                    dynamic_shapes=SIZES,
                    verbose=False,
                )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ExportError(f"cannot write {name} as ONNX: {first_line(error)[:200]}") from error
        assert model is not None
        model.save(file)
        if fp16:
            _halve(file)

    def runtime(self, file: Path) -> Runtime:
        """A session of onnxruntime on the CPU, with as many threads as torch has."""
        import onnxruntime
        import torch

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors; of warnings, all are about how it optimises
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return lambda inputs: session.run([OUTPUT], inputs)[0]

    def usage(self, source: "Exportable") -> str:
        """A session of onnxruntime."""
        return graph_usage(
            source,
            imports="import onnxruntime",
            load=f'session = onnxruntime.InferenceSession(f"{{folder}}/{FILE}", providers=["CPUExecutionProvider"])',
            run=f'embeddings = session.run(["{OUTPUT}"], inputs)[0]',
        )


def _halve(file: Path) -> None:
    """Convert a file to half precision in its place."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    halved = convert_float_to_float16(onnx.load(file), keep_io_types=True)
    for part in file.parent.glob(f"{file.name}*"):  # with weights of over 2 GB in a file beside it
        part.unlink()
    large = halved.ByteSize() > 2**31 - 2**20
    onnx.save(halved, file, save_as_external_data=large, location=f"{file.name}.data" if large else None)
