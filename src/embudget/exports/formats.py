"""The formats by the name that ``--to`` takes."""

from embudget.errors import ConfigError
from embudget.exports.base import Format, one_of
from embudget.exports.gguf import GgufFormat
from embudget.exports.onnx import OnnxFormat
from embudget.exports.openvino import OpenvinoFormat
from embudget.exports.peft import PeftFormat
from embudget.exports.sentence_transformers import SentenceTransformersFormat
from embudget.exports.transformers import TransformersFormat

FORMATS: dict[str, Format] = {
    "sentence-transformers": SentenceTransformersFormat(),
    "transformers": TransformersFormat(),
    "peft": PeftFormat(),
    "onnx": OnnxFormat(),
    "openvino": OpenvinoFormat(),
    "gguf": GgufFormat(),
}


def find_format(name: str) -> Format:
    """The format of a name.

    Raises:
        ConfigError: there is none; the message has all names.
    """
    if name not in FORMATS:
        raise ConfigError(f"to must be {one_of(list(FORMATS))}, got {name[:40]!r}")
    return FORMATS[name]
