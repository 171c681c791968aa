"""The user's own pairs stay, as they are, unless a reader would say that one is there twice."""

import csv
import json
import random
import unicodedata
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from embudget.pairs import Pairs, RawPair, Rules, build_from, build_pairs
from embudget.pairs.cleaning import Cleaned, clean
from embudget.pairs.near_pairs import near_pairs
from embudget.pairs.sources.base import OWN_TEXTS
from embudget.pairs.splitting import SPLITS

from .conftest import MadeSource, made_pairs

EVALUATION = Path(__file__).parents[3] / "shared" / "data" / "eval"

DIFFERENT = {
    "Hindi": ["कल", "काल", "कुल", "किल", "कील", "कूल", "केल", "कैल", "कोल", "कौल"],
    "Thai": ["กา", "กี", "กู", "เก", "แก", "โก", "ไก่", "ไก", "กิ", "กำ"],
    "Arabic": ["كَتَبَ", "كُتِبَ", "كتب", "كاتب", "كتاب"],
    "Tamil": ["க", "கா", "கி", "கீ", "கு", "கூ"],
    "Korean": ["가다", "가도", "가마"],
    "Chinese": ["我要退款", "我不要退款", "你要退款"],
    "languages": ["C", "c", "C++", "C#", "R", "F#", "F", ".NET", "NET"],
    "symbols": ["x > 0", "x < 0", "x >= 0", "x = 0", "x != 0", "x", "-x", "!x", "x²", "x2"],
    "versions": ["Python 3.10", "Python 3.11", "Python 31.0", "Python 310", "Python 3"],
    "money": ["$5", "€5", "5", "5 %", "-5", "#5"],
    "faces": ["\U0001f600", "\U0001f622", "\U0001f44d\U0001f3fb", "\U0001f44d\U0001f3ff"],
}
"""Texts any two of which a reader would call different."""
EQUAL = [
    ("caf\u00e9", "cafe\u0301"),
    ("two words", " two\u00a0 words\n"),
    ("line\nbreak", "line break"),
    ("soft\u00adhyphen", "softhyphen"),
    ("ｶﾞｲﾄﾞ", "ガイド"),
    ("ＡＢＣ　１", "ABC 1"),
    ("क\u093cा", "\u0958ा"),
]
"""Texts that a reader would call the same."""


def _clean(*pairs: tuple[str, str], **options: bool) -> Cleaned:
    raw = [RawPair(query, positive, None) for query, positive in pairs]
    return clean([MadeSource(raw, rules=OWN_TEXTS)], None, 0, lambda stage, count: None, **options)


@pytest.mark.parametrize("texts", DIFFERENT.values(), ids=DIFFERENT)
@pytest.mark.parametrize("around", ["{}", "How do I write a program that says hello in {}?"])
def test_different_texts_stay(texts: list[str], around: str) -> None:
    queries = [around.format(text) for text in texts]
    assert len(_clean(*((query, f"answer {n}") for n, query in enumerate(queries))).rows) == len(texts)
    assert len(_clean(*((query, "the answer") for query in queries)).rows) == len(texts)
    assert len(_clean(*(("the question", query) for query in queries)).rows) == len(texts)
    assert len(_clean(*combinations(texts, 2)).rows) == len(texts) * (len(texts) - 1) // 2


def test_ninety_questions_that_differ_in_a_symbol() -> None:
    pairs = [
        (f"How is task {n} done in {language}?", f"In {language}, task {n} is done with a library.")
        for n in range(30)
        for language in ("C", "C++", "C#")
    ]
    assert len(_clean(*pairs).rows) == 90


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_texts_are_one(one: str, other: str) -> None:
    result = _clean((one, "p"), (other, "p"), ("q", one), ("q", other), (one, other))
    assert len(result.rows) == 2
    assert result.dropped["made"] == Counter({"duplicate pair": 2, "positive repeats query": 1})
    assert {row.query for row in result.rows} == {one, "q"}


def test_a_pair_is_one_only_if_both_sides_are() -> None:
    pairs = [(f"question {n}", f"answer {n % 3}") for n in range(20)] + [("question", f"answer {n}") for n in range(20)]
    assert len(_clean(*pairs, *pairs).rows) == 40
    kept = _clean(*pairs, one_per_query=True)
    assert len(kept.rows) == 21 and kept.dropped["made"] == Counter({"duplicate query": 19})
    assert ("question", "answer 0") in {row[:2] for row in kept.rows}


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u200b", "\ufeff \u00ad"])
def test_what_looks_empty_is_left_out(text: str) -> None:
    result = _clean((text, "p"), ("q", text))
    assert result.dropped["made"] == Counter({"query too short": 1, "positive too short": 1})


SCRIPTS = {
    "Latin": "the quick brown fox jumps over a lazy dog while nobody looks at it from the other side of town",
    "Devanagari": "यह एक लंबा वाक्य है जो किसी बात को विस्तार से समझाता है और फिर समाप्त हो जाता है",
    "Thai": "ประโยคนี้ยาวมากเพื่อใช้ทดสอบว่าข้อความที่ไม่มีช่องว่างถูกเปรียบเทียบอย่างถูกต้องหรือไม่",
    "Chinese": "这是一个很长的句子用来测试没有空格的文本是否能够被正确地比较因为中文词语之间没有空格",
    "Arabic": "هذه جملة طويلة تستخدم لاختبار ما إذا كانت النصوص تقارن بشكل صحيح في جميع اللغات",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_long_text_is_another_one_by_a_single_letter_numeral_or_symbol(script: str) -> None:
    """In 400 characters one numeral, `!` or word was too little to be seen, in Chinese and in code above all."""
    text = " ".join(SCRIPTS[script][at:] + SCRIPTS[script][:at] for at in range(0, 40, 4))
    assert len(text) > 400
    letter = next(sign for sign in text if unicodedata.category(sign).startswith("L"))
    for more in (letter, "7", "\u4e09", "+", "!", "(", " 7 "):
        assert not near_pairs(["q", "q"], [text, text[:200] + more + text[200:]]).any(), more
    assert near_pairs(["q", "q", "other"], [text, f"{text}.", f"{text}."]).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("The answer, in short: yes.", "The answer in short yes", True),
        ("\u201cquoted\u201d \u2013 it\u2019s", '"quoted" - it\'s', True),
        ("\u7b54\u6848\u3002", "\u7b54\u6848", True),
        ("\u0909\u0924\u094d\u0924\u0930\u0964", "\u0909\u0924\u094d\u0924\u0930", True),
        ("It opens on Monday", "It opens on Sunday", False),
        ("if (ready) go()", "if (!ready) go()", False),
        ("a[0]", "a(0)", False),
        ("version 3.10", "version 3.11", False),
        ("version 3.10", "version 310", False),
        ("C++", "C", False),
        ("\u7b2c\u4e00\u6b21", "\u7b2c\u4e8c\u6b21", False),
        ("Is it so?", "It is so.", False),
        ("ha ha", "ha ha ha", False),
    ],
)
def test_what_makes_another_text(one: str, other: str, near: bool) -> None:
    assert near_pairs(["q", "q"], [one, other]).tolist() == [False, near]
    assert near_pairs([one, other], ["p", "p"]).tolist() == [False, near]


def test_near_pairs_are_found_among_many() -> None:
    rng = random.Random(0)
    names = ["".join(rng.choices("abcdefghij", k=6)) for _ in range(2000)]
    long = [(f"question {n}", " ".join(rng.choices(names, k=80))) for n in range(200)]
    copies = [(query, positive + ".") for query, positive in long[:50]]
    result = _clean(*long, *copies)
    assert len(result.rows) == 200 and result.dropped["made"] == Counter({"near-duplicate pair": 50})
    assert len(_clean(*long, *copies, near_duplicates=False).rows) == 250


def test_documentation_keeps_its_near_duplicates_too_if_asked() -> None:
    long = " ".join(f"word{number}x" for number in range(40))
    source = MadeSource(
        [
            RawPair(long, "One positive text stands here.", "a"),
            RawPair(f"{long} more", "A wholly other text is there.", "a"),
        ],
        rules=Rules(prose=False),
    )
    for near, rows in [(True, 1), (False, 2)]:
        assert len(clean([source], None, 0, lambda stage, count: None, near_duplicates=near).rows) == rows


def test_documentation_in_other_scripts_is_prose() -> None:
    """Vowel signs were taken for symbols, so that Hindi was no prose, and words with other vowels were the same."""
    pairs = [
        RawPair("यह एक छोटा प्रश्न है", "यह एक लंबा उत्तर है जो कुछ कहता है", "a"),
        RawPair("कल की बात करो", "काल के विषय में एक लंबा लेख यहाँ है", "a"),
        RawPair("कील की बात करो", "कूल के सबंध में सारी बातें यहीं लिखी हैं", "a"),
    ]
    assert len(clean([MadeSource(pairs)], None, 0, lambda stage, count: None).rows) == 3


def _build(rows: list[tuple[str, str]], folder: Path) -> Pairs:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"query": query, "positive": positive}) for query, positive in rows))
    return build_pairs([f"files:{path}"], folder / "out", on_remark=lambda line: None)


def _texts(pairs: Pairs, side: str) -> list[set[str]]:
    return [set(pairs.table(split)[side].to_pylist()) for split in SPLITS]


@pytest.mark.parametrize(
    ("rows", "apart"),
    [
        ([(f"question {n}", f"label {n % 3}") for n in range(800)], ["query"]),
        ([(f"question {n % 50}", f"answer {n}") for n in range(500)], ["query", "positive"]),
        ([(f"question {n}", f"answer {n % 60}") for n in range(120)], ["query", "positive"]),
        ([(f"text {n - n % 2} {n % 2}", f"text {n - n % 2} {n % 2 + 1}") for n in range(200)], ["query", "positive"]),
    ],
    ids=["labels", "many answers", "many questions", "either side"],
)
def test_all_pairs_stay_and_no_query_is_in_two_splits(
    tmp_path: Path, rows: list[tuple[str, str]], apart: list[str]
) -> None:
    pairs = _build(rows, tmp_path)
    assert sum(map(pairs.rows, SPLITS)) == len(rows)
    found = {side: _texts(pairs, side) for side in ("query", "positive")}
    of_all = [queries | positives for queries, positives in zip(*found.values(), strict=True)]
    for sets in [*(found[side] for side in apart), *([of_all] if len(apart) == 2 else [])]:
        assert len(set.union(*sets)) == sum(map(len, sets))


def test_intents_are_held_out_by_question(tmp_path: Path) -> None:
    if not EVALUATION.is_dir():
        pytest.skip("the evaluation data are not here")
    with (EVALUATION / "banking77_train.csv").open(newline="") as file:
        rows = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    pairs = _build(rows, tmp_path)
    assert sum(map(pairs.rows, SPLITS)) >= len(rows) - 10
    assert len(_texts(pairs, "positive")[0]) == 77 and len(_texts(pairs, "positive")[1]) > 70
    queries = _texts(pairs, "query")
    assert len(set.union(*queries)) == sum(map(len, queries))


def test_the_texts_are_kept_as_they_are(tmp_path: Path) -> None:
    code = "def f(x):\n    if x:\n\treturn  x  # e\u0301\u200c\r\n"
    pairs = _build([(code, f" {code}\n  pass"), *((f"what is {n}", f"{n} plus zero") for n in range(30))], tmp_path)
    texts = {side: set.union(*_texts(pairs, side)) for side in ("query", "positive")}
    assert code in texts["query"] and f" {code}\n  pass" in texts["positive"]


def test_other_options_are_another_request(tmp_path: Path) -> None:
    source = MadeSource(made_pairs(20, 5))
    for number, options in enumerate([{}, {"near_duplicates": False}, {"one_per_query": True}, {"skip_bad": True}]):
        build_from([source], tmp_path / "out", **options)  # type: ignore[arg-type]
        assert source.reads == number + 1
