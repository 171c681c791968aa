"""How good are SmolLM2 cut to a few blocks and all-MiniLM-L6-v2 outside their training domain, before and after it?

    .venv/bin/python -m benchmarks.out_of_domain --demo DIR --general DIR --data DIR

Each model is scored untrained and trained at 4e12 FLOP on the pairs of `--demo`, on all offline tasks and on the test
splits of both pairs, beside BM25 and TF-IDF, with parameters and texts per second. The SmolLM2 models are trained by
the method and rate that were best for their depth at that budget in results/smollm2/records.jsonl. all-MiniLM-L6-v2 is
fully fine-tuned by sentence-transformers' own trainer and loss, with the same FLOP counted as 6 N D: AdamW, 1e-4,
warm-up 10 %, cosine, 32 pairs a step.

Models and scores lie in `--work`, so that the same command goes on where it stopped. The result is
results/out_of_domain/scores.json; `python -m studies.publish.tables` makes the table of it.
"""

import argparse
import math
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import embudget as eb
from embudget.evaluation.contenders import MINILM, minilm_folder
from embudget.evaluation.leaderboard import Leaderboard
from embudget.files import write_whole
from embudget.pairs import Pairs, load_pairs
from embudget.reading import read_json_lines
from embudget.records import RunConfig, RunRecord
from embudget.suite.embedders import load_model
from embudget.training.start import load_base

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "results" / "smollm2" / "records.jsonl"
OUT = ROOT / "results" / "out_of_domain" / "scores.json"
MEMBERS = ("smollm2-135m:2", "smollm2-135m:4", "smollm2-135m:8")
BUDGET = 4e12
BATCH, RATE, SCALE, WARMUP = 32, 1e-4, 40.0, 0.1


def main() -> None:
    """Train what is not trained yet, score what is not scored yet, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True, help="pairs to train on, made by `pairs build demo`")
    parser.add_argument("--general", type=Path, required=True, help="pairs of another domain, made by `... general`")
    parser.add_argument("--data", type=Path, help="folder with Banking77 and CLINC150")
    parser.add_argument("--work", type=Path, default=Path("out_of_domain"))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--budget", type=float, default=BUDGET, help="FLOP that each model is trained for")
    parser.add_argument("--members", nargs="*", default=MEMBERS)
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    board = run(given.demo, given.general, given.data, given.work, given.budget, given.members)
    write_whole(given.out, board.model_dump_json(indent=2) + "\n")
    sys.stdout.write(f"{board}\n")


def run(
    demo: Path, general: Path, data: Path | None, work: Path, budget: float, members: Sequence[str] = MEMBERS
) -> Leaderboard:
    """The scores of all models, untrained and trained with this budget in FLOP."""
    work.mkdir(parents=True, exist_ok=True)
    pairs = load_pairs(demo)
    models = dict(_models(pairs, work, budget, members))
    tasks = ["offline" if data is None else f"offline={data}"]
    for name, folder in (("demo", demo), ("general", general)):
        link = work / name  # the name of the task
        if not link.is_symlink():
            link.symlink_to(folder.resolve())
        tasks.append(f"retrieval={link}")
    first, *others = models
    against = {name: models[name] for name in others}

    def tell(system: str, task: str, score: float | None, cached: bool) -> None:
        sys.stderr.write(f"{first if system == 'model' else system}: {task} {score}{' (kept)' if cached else ''}\n")

    board = eb.benchmark(models[first], tasks, against=against, base=False, cache=work / "scores", on_score=tell)
    systems = {first if name == "model" else name: standing for name, standing in board.systems.items()}
    return board.model_copy(update={"systems": systems})


def _models(pairs: Pairs, work: Path, budget: float, members: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The folders of all models by the names of the table, each trained or written once."""
    for member in members:
        config = best_of(member, budget, pairs.hash)
        held_out = min(config.eval_pairs, pairs.rows("validation"))
        config = config.model_copy(update={"eval_pairs": held_out, "eval_candidates": held_out})
        plain, trained = (work / f"{member.replace(':', '-')}-{state}" for state in ("untrained", "trained"))
        if not (plain / "modules.json").is_file():
            load_base(config).save_pretrained(str(plain))
        if not (trained / "modules.json").is_file():
            eb.train(config, pairs, trained)
        yield f"{member} untrained", plain
        yield f"{member} {config.method}", trained
    minilm, trained = minilm_folder(), work / "minilm-trained"
    if minilm is None:
        return
    if not (trained / "modules.json").is_file():
        fine_tuned(load_model(minilm), pairs, budget, work).save_pretrained(str(trained))
    yield f"{MINILM} full", trained  # untrained it is among the baselines


def best_of(member: str, budget: float, pairs: str) -> RunConfig:
    """The run of the lowest loss of this member in our study, at the study's budget, on these pairs with this budget.

    The warm-up is the same share of the budget as there; a member that the study has not (in tests) takes the setting
    of the smallest one.
    """
    records = [RunRecord.read(row, str(RECORDS)) for row in read_json_lines(RECORDS)]
    done = [one for one in records if one.status == "done" and one.config.train_flops == BUDGET]
    own = [one for one in done if one.config.model == member] or done
    best = min(own, key=lambda one: one.loss if one.loss is not None else math.inf).config
    return best.model_copy(update={"model": member, "pairs": pairs, "train_flops": budget, "yardstick": "groups"})


def fine_tuned(model: "SentenceTransformer", pairs: Pairs, budget: float, work: Path) -> "SentenceTransformer":
    """Fine-tune a model by sentence-transformers' trainer on as many pairs as 6 N D = budget allows."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    taken = pairs_for(model, pairs, budget)
    steps = math.ceil(len(taken) / BATCH)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(work / "trainer"),
        num_train_epochs=1,
        per_device_train_batch_size=BATCH,
        learning_rate=RATE,
        warmup_steps=math.ceil(WARMUP * steps),
        lr_scheduler_type="cosine",
        seed=0,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    queries, positives = zip(*taken, strict=True)
    SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"anchor": queries, "positive": positives}),
        loss=MultipleNegativesRankingLoss(  # the symmetric one, by the name that stays
            model, scale=SCALE, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
        ),
    ).train()
    return model


def pairs_for(model: "SentenceTransformer", pairs: Pairs, budget: float) -> list[tuple[str, str]]:
    """Training pairs in a random order, no text twice, up to the one with which 6 N D reaches the budget.

    N is the parameters that train and are no embeddings: without the pooler, whose output nobody uses.
    """
    names = {name: weight.numel() for name, weight in model.named_parameters()}
    params = sum(size for name, size in names.items() if "emb" not in name and "pooler" not in name)
    table = pairs.table("train")
    rows = list(zip(table["query"].to_pylist(), table["positive"].to_pylist(), strict=True))
    random.Random(0).shuffle(rows)
    taken, seen, tokens = [], set[str](), 0
    for row in rows:
        if seen & set(row) or row[0] == row[1]:
            continue
        seen |= set(row)
        taken.append(row)
        tokens += sum(len(model.tokenizer(text, truncation=True, max_length=model.max_seq_length)["input_ids"])
                      for text in row)  # fmt: skip
        if 6 * params * tokens >= budget:
            return taken
    raise SystemExit(f"{len(rows)} training pairs are too few for {budget:g} FLOP")


if __name__ == "__main__":
    main()
