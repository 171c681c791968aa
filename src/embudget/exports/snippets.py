"""The few lines of Python that use an export, as its README shows them.

The tests run them as they stand, with the folder's path filled in.
"""

from typing import TYPE_CHECKING

from embudget.exports.card_table import inline
from embudget.suite.tokens import EMPTY_AS, reads_empty

if TYPE_CHECKING:
    from embudget.exports.exportable import Exportable

FOLDER = "path/to/this/folder"

_POOLED = {
    "mean": "embeddings = (states * mask).sum(1) / mask.sum(1)",
    "cls": "embeddings = states[:, 0]",
    "lasttoken": "embeddings = states[range(len(texts)), inputs['attention_mask'].sum(1) - 1]",
    "weightedmean": (
        "weights = mask * torch.arange(1, states.shape[1] + 1).view(1, -1, 1)\n"
        "embeddings = (states * weights).sum(1) / weights.sum(1)"
    ),
}
POOLED = tuple(_POOLED)
"""Ways of pooling that a plain transformer's README can say in a line."""


def graph_usage(source: "Exportable", imports: str, load: str, run: str) -> str:
    """How to use a graph that pools and normalises by itself: the runtime's lines, and the tokenizer's."""
    return f"""Pooling and normalisation are in the graph. It takes `input_ids` and `attention_mask`, (batch, length) of
64-bit integers. It gives `sentence_embedding`, (batch, {source.model.get_embedding_dimension()}).

```python
{imports}
from transformers import AutoTokenizer

folder = "{FOLDER}"
tokenizer = AutoTokenizer.from_pretrained(folder)
{load}
{_texts(source)}
encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
inputs = {{name: encoded[name].astype("int64") for name in ("input_ids", "attention_mask")}}
{run}
```

`tokenizers.Tokenizer.from_file("tokenizer.json")` gives the same ids without transformers: it cuts and pads by itself.
{_notes(source)}"""


def transformers_usage(source: "Exportable") -> str:
    """How to use the transformer alone: pooling and normalisation are the user's."""
    pooling = source.model[1].pooling_mode
    names = [type(module).__name__ for module in source.model]
    lines = [
        "states = model(**inputs).last_hidden_state",
        *(['mask = inputs["attention_mask"].unsqueeze(-1)'] if pooling in ("mean", "weightedmean") else []),
        *_POOLED[pooling].split("\n"),
        *(["embeddings = torch.nn.functional.normalize(embeddings, dim=1)"] if "Normalize" in names else []),
    ]
    indented = "\n".join(f"    {line}" for line in lines)
    return f"""This is the transformer alone: pooling is yours. It was made for {pooling} pooling{
        ", followed by normalisation to unit length" if "Normalize" in names else ""
    }.

```python
import torch
from transformers import AutoModel, AutoTokenizer

folder = "{FOLDER}"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModel.from_pretrained(folder)
{_texts(source)}
encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
inputs = {{name: encoded[name] for name in ("input_ids", "attention_mask")}}
with torch.no_grad():
{indented}
```
{_notes(source)}"""


def sentence_transformers_usage(source: "Exportable") -> str:
    """How to use a folder of sentence-transformers."""
    return sentence_transformers_lines(any(source.model.prompts.values())) + "\n"


def sentence_transformers_lines(prompted: bool, size: int | None = None) -> str:
    """The lines that embed queries and documents.

    Args:
        prompted: whether a prompt belongs in front of either; it is put there by the function for its kind.
        size: of the embeddings, where smaller ones than the full ones are to be had.
    """
    query, document = ("encode_query", "encode_document") if prompted else ("encode", "encode")
    return f"""```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{FOLDER}"{"" if size is None else f", truncate_dim={size}"})
queries = model.{query}(["first query", "second query"])
documents = model.{document}(["first text", "second text"])
similarities = model.similarity(queries, documents)
```
{"The prompt for its kind is put in front of each text by these two functions." if prompted else ""}""".rstrip()


def _texts(source: "Exportable") -> str:
    texts = 'texts = ["first text", "a second text", ""]'
    if reads_empty(source.model.tokenizer):
        return texts
    return f'{texts}\ntexts = [text or "{EMPTY_AS}" for text in texts]  # an empty text has no token'


def _notes(source: "Exportable") -> str:
    return f"""
Texts are cut to {source.model.max_seq_length} tokens.
{prompts_to_put(source)}"""


def prompts_to_put(source: "Exportable") -> str:
    """What to put in front of texts, where the runtime does not do it; empty for a model without prompts."""
    given = {name: prompt for name, prompt in source.model.prompts.items() if prompt}
    lines = "\n".join(f"- {name}: `{inline(prompt)}`" for name, prompt in given.items())
    return f"\nPut the prompt for its kind in front of each text:\n\n{lines}\n" if given else ""
