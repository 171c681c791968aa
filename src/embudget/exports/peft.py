"""The adapters of a LoRA run alone, unmerged: megabytes instead of the model, on a base that is loaded beside them.

The folder is one of PEFT (`adapter_config.json`, `adapter_model.safetensors`) and one of sentence-transformers in one:
`PeftModel.from_pretrained(base, folder)` puts the adapters on a base in memory, `SentenceTransformer(folder)` loads the
base that the configuration names, the adapters, and the pooling.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, final

from embudget.errors import ExportError, ModelError
from embudget.exports.adapter import ADAPTER, is_to_be_made
from embudget.exports.base import Format
from embudget.exports.folder import RECORD_FILE
from embudget.exports.snippets import FOLDER
from embudget.owned import listed_files
from embudget.reading import read_json

if TYPE_CHECKING:
    from embudget.exports.exportable import Exportable

_LEFT_OUT = ("config.json", "README.md", RECORD_FILE)
"""Files of the merged model that the adapters' folder must not have, or gets anew. The transformer's weights are left
out as well, while those of `Dense` modules, which are in no base of PEFT, are kept in their folders."""


@final
class PeftFormat(Format):
    """Adapters with their configuration, and what sentence-transformers needs around them."""

    name = "peft"
    packages = ("peft",)

    def check(self, source: "Exportable") -> None:
        """Refuse a model that was not trained by LoRA, or whose base computes otherwise by itself."""
        if source.folder is None or not (source.folder / ADAPTER / "adapter_config.json").is_file():
            method = "no run of embudget" if source.record is None else source.record.config.method
            again = " before adapters were kept: train it again" if method.startswith("lora") else ""
            raise ExportError(f"cannot write {source.name} as adapters: it has none, it was trained by {method}{again}")
        if source.record is not None and source.record.config.attention == "bidirectional":
            raise ExportError(
                f"cannot write {source.name} as adapters: it reads texts in both directions, which its base does not; "
                "export it merged, to sentence-transformers or transformers"
            )
        _named_base(source.folder)

    def write(self, source: "Exportable", folder: Path, fp16: bool) -> None:
        """Copy the adapters that training kept, and its files around the weights.

        Only files that embudget listed are copied, because the copy lists its files as embudget's again: what somebody
        put beside them, or a link to elsewhere, would be published by the next push.
        """
        assert source.folder is not None
        for name, path in listed_files(source.folder, ExportError).items():
            if name in _LEFT_OUT or (".safetensors" in path.suffixes and "/" not in name):
                continue
            if path.resolve() != source.folder.resolve() / name or not path.is_file():
                raise ExportError(f"cannot write {source.name} as adapters: {path} is a link, or is missing")
            copy = folder / name.removeprefix(f"{ADAPTER}/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)

    def usage(self, source: "Exportable") -> str:
        """How to make the base, and how to load both together."""
        assert source.folder is not None and source.record is not None
        model = source.record.config.model
        base = _named_base(source.folder)
        whole = "transformers"
        if any(type(module).__name__ == "Dense" for module in source.model):
            whole = "sentence-transformers"  # whose folder is one of transformers too, with all that belongs to it
        making = f"""The adapters belong to `{model}`. Make it once, in the folder in which you work:

```bash
embudget export {model} --to {whole} --out {base}
```"""
        return f"""{making if is_to_be_made(base) else f"The adapters belong to `{base}`."}

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{FOLDER}")  # loads the base, then the adapters
embeddings = model.encode(["first text", "second text"])
```

With PEFT alone, the states before pooling:

```python
from peft import PeftModel
from transformers import AutoModel

model = PeftModel.from_pretrained(AutoModel.from_pretrained("{base}"), "{FOLDER}")
```

`model.merge_and_unload()` adds them to the base's weights.
"""


def _named_base(folder: Path) -> str:
    """The base that the adapters in a trained model's folder name.

    Raises:
        ModelError: their configuration is damaged or names none.
    """
    file = folder / ADAPTER / "adapter_config.json"
    content = read_json(file, ModelError)
    base = content.get("base_model_name_or_path") if isinstance(content, dict) else None
    if not isinstance(base, str):
        raise ModelError(f"{file} names no base_model_name_or_path: it is not as PEFT writes it")
    return base
