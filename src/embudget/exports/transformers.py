"""A plain folder of transformers: configuration, weights of the kept blocks, tokenizer. Pooling is the user's.

A member that was cut is written as the smaller model that it is: its configuration has the depth, its file the blocks.
"""

from pathlib import Path
from typing import TYPE_CHECKING, final

from embudget.errors import ExportError
from embudget.exports.base import Format, one_of
from embudget.exports.graph import save_tokenizer
from embudget.exports.snippets import POOLED, transformers_usage

if TYPE_CHECKING:
    from embudget.exports.exportable import Exportable


@final
class TransformersFormat(Format):
    """What `AutoModel` and `AutoTokenizer` load."""

    name = "transformers"

    def check(self, source: "Exportable") -> None:
        """Refuse a model whose layers behind the transformer would be lost, or whose pooling is no line of Python."""
        kinds = [type(module).__name__ for module in source.model]
        if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
            lost = [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")] or kinds
            raise ExportError(
                f"cannot write {source.name} as a plain transformer: its modules {', '.join(lost)} would be lost; "
                "export it to sentence-transformers"
            )
        if source.model[1].pooling_mode not in POOLED:
            raise ExportError(
                f"cannot write {source.name} as a plain transformer: its pooling is {source.model[1].pooling_mode}, "
                f"not {one_of(POOLED)}; export it to sentence-transformers"
            )

    def write(self, source: "Exportable", folder: Path, fp16: bool) -> None:
        """Write configuration, weights and tokenizer."""
        source.model[0].model.save_pretrained(folder)
        save_tokenizer(source.model, folder)

    def usage(self, source: "Exportable") -> str:
        """AutoModel, and the pooling in a line."""
        return transformers_usage(source)
