"""Nothing a user can type or hand over ends in a traceback, a hang or half a file: every command, on generated input.

An input is a command line whose values are drawn from what is valid, what is nearly so, and nonsense, and whose files
are copies of valid ones that were damaged: bytes flipped, cut short, keys named twice, values of other types, extreme
numbers. It must succeed, or end with exit code 2, one line of under 300 characters, and every file as it was. The
examples are the same in every run.
"""

import contextlib
import io
import json
import logging
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from embudget.pairs import Pairs
from tests.command_line import Outcome

SECONDS, WAITING = 20, 90
"""Limits of a command: computing, which another program on the same core slows down by half, and all its time."""
EXAMPLES = int(os.environ.get("EMBUDGET_EXAMPLES", "120"))
"""Examples of each group of commands; there are six. `make test-slow` tries 350, over 2,000 with all groups."""
bounded = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)

NUMBERS = (
    "0", "1", "2", "-1", "0.5", "3", "16", "1e9", "1e12", "4e13", "1e15", "1e19", "1e30", "1e31", "1e300", "1e400",
    "-1e9",
    "nan", "inf", "-inf", "1_000", "1e", "e5", "0x10", "", " ", "9" * 300, "9" * 5000, "1" + "0" * 20, "1e-300",
    "5e-324",
    "1,5", "½", "١٢", "true", "None", "--", "1e5 FLOP", "1:2", "2**3", "4294967296", "1048577", "1048576",
)  # fmt: skip
TEXTS = (
    "", " ", "a", ".", "..", "/", "~", "é", "💥", "\u202e", "a\nb", "a\tb", "a" * 300, "a" * 5000, "a/" * 2000 + "b",
    "{}",
    "%s", "$HOME", "*", "?", "#", "a:b", ":", "::", "a=b", "=", "=,=", "loss=", "--out", "-", "\x1b[31m", "\x00",
    "\udcff",
    "../x", "http://", "://x", "sqlite://", "sqlite:///", "postgresql://", "x://y", "sqlite:///:memory:", "NUL",
    "/dev/null/x",
)  # fmt: skip
MODELS = (
    "micro-200k",
    "micro-450k",
    "micro-200k:2",
    "smollm2-135m:1",
    "smollm2-135m:99",
    "pythia-70m:x",
    "nope",
    "micro-200k:",
)
METHODS = ("full", "bias", "freeze:0.5", "lora:4", "lora:0", "freeze:2", "lora:9" + "9" * 400, "freeze:1e-400",
    "lora:4:alpha=nan",
           "lora:4:layers=x", "full:1", "lora:" + "9" * 5000, "magic", "lora:4:alpha=1e300")  # fmt: skip
DEVICES = ("h100", "A100", "l4", "tpu", "")
SUITES = ("micro", "smollm2", "pythia", "nope", "")
EXTREME: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 10**6, 10**30, 10**310, 1e300, -1e300, 1e-300, "", "x", "x" * 400, "1e12", "nan",
    "1e400",
    [], {}, [[]], [1], ["x", "x"], {"x": 1}, [{"a": 1}], float("nan"), float("inf"), "\ud800", "\u0000", "full",
    "lora:4",
)  # fmt: skip


class TooSlow(BaseException):
    """An input took over `SECONDS`."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise TooSlow


def run(arguments: list[str]) -> Outcome:
    """The command line in this process, stopped after `SECONDS`."""
    from embudget.cli.app import main

    before = [(number, signal.signal(number, _stop)) for number in (signal.SIGALRM, signal.SIGPROF)]
    argv, root = sys.argv, logging.getLogger()
    sys.argv = ["embudget", *arguments]
    out, err = io.StringIO(), io.StringIO()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING)
    for handler in root.handlers[:]:  # the last command's, which writes to where that one wrote
        root.removeHandler(handler)
    code: object = None
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stopped:
        code = stopped.code
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for one, earlier in before:
            signal.signal(one, earlier)
        sys.argv = argv
    return Outcome(code if isinstance(code, int) else -1, out.getvalue(), err.getvalue())


def seen(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with what tells whether it was written."""
    found = {}
    for place, folders, names in os.walk(folder):
        if "pairs" in folders:
            folders.remove("pairs")  # the counts of its tokens are kept there
        for name in (*folders, *names):
            path = os.path.join(place, name)  # noqa: PTH118 - thousands of times, on odd names
            about = os.lstat(path)
            is_file = name in names
            found[path] = (about.st_size, about.st_mtime_ns) if is_file else (0, 0)
    return found


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n".encode() for old, new in pairwise("abcdefghi")
)
WHOLE = (
    b"", b"\n", b"null", b"[]", b"{}", b"1", b'"x"', b"[" * 20000, b"{" * 3000, b"&a [*a]",
    b"a: !!python/object:os.x {}",
    b"x: 2024-13-45", b"x: !!timestamp 2024-99-99", BOMB, b"9" * 5000, b"? [a]\n: b", b"a: 1\na: 2",
    b'{"a": 1, "a": 2}', b"%PDF-1.4",
)  # fmt: skip
PARTS = (b"\x00", b"\xff\xfe", b"\n\n", b'"', b"{", b"[" * 20000, b"- " * 20000)
VALUES = (b"1e400", b"-1", b"0", b"nan", b"NaN", b"Infinity", b"9" * 5000, b"1e300", b'"x"', b"true", b"null")


def _flipped(data: bytes, rng: random.Random) -> bytes:
    return bytes(byte ^ (1 << rng.randrange(8)) if rng.random() < 20 / len(data) else byte for byte in data)


def _with_part(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(PARTS) + data[place:]


def _with_value(data: bytes, rng: random.Random) -> bytes:
    """With another value in place of one of the numbers."""
    numbers = [found.span() for found in re.finditer(rb"\d[\d.e+-]*", data)]
    start, end = rng.choice(numbers or [(0, 0)])
    return data[:start] + rng.choice(VALUES) + data[end:]


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    lambda data, rng: data[: rng.randrange(len(data))],
    lambda data, rng: b"".join([*(lines := data.splitlines(keepends=True)), rng.choice(lines)]),
    lambda data, rng: b"\xef\xbb\xbf" + data,
    lambda data, rng: data.decode("utf-8", "replace").encode("utf-16"),
    lambda data, rng: data + b"\n---\n" + data,
    lambda data, rng: rng.choice(WHOLE),
    _flipped,
    _with_part,
    _with_value,
)
"""What may happen to the bytes of a file."""


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes of a file with one kind of damage."""
    return rng.choice(DAMAGES)(data, rng)


def twisted(value: Any, rng: random.Random) -> Any:  # noqa: ANN401 - any parsed file
    """A parsed file with one value replaced, removed or named otherwise."""
    value = json.loads(json.dumps(value))
    at = value
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return value
        key = rng.choice(keys)
        if isinstance(at[key], dict | list) and at[key] and rng.random() < 0.8:
            at = at[key]
            continue
        kind = rng.randrange(6)
        if kind == 0:
            del at[key]
        elif kind == 1 and isinstance(at, dict):
            at[rng.choice(("x", "", "full", "lora:4", "1e12", "a" * 300))] = at[key]
        elif kind == 2 and isinstance(at[key], int | float) and not isinstance(at[key], bool):
            at[key] *= rng.choice((-1, 0, 1e-20, 1e20, 1e200))
        else:
            at[key] = rng.choice(EXTREME)
        return value


class Room:
    """A folder with one valid file of each kind, in which commands run."""

    def __init__(self, folder: Path, pairs: Pairs) -> None:
        self.folder = folder
        self.pairs = "pairs"
        self.count = 0
        shutil.copytree(pairs.folder, folder / "pairs")
        self.contents = _valid_files(folder, pairs.hash)
        (folder / "unreadable").mkdir()
        os.mkfifo(folder / "fifo")

    def path(self, draw: st.DataObject, kind: str) -> str:
        """A file of a kind: as it should be, damaged, another one, or none."""
        choice = draw.draw(st.integers(0, 19))
        rng = random.Random(draw.draw(st.integers(0, 2**32)))
        if choice < 4:
            return kind
        if choice < 15:
            name = f"damaged-{kind}"
            data = self.contents[kind]
            if choice < 10 and kind.endswith((".json", ".yaml")):
                data = json.dumps(
                    twisted(yaml.safe_load(data) if kind.endswith("yaml") else json.loads(data), rng)
                ).encode()
            else:
                data = damaged(data, rng)
            if kind == "store.db" and choice < 10:
                data = self._store(rng)
            (self.folder / name).write_bytes(data)
            return name
        if choice < 17:
            return draw.draw(st.sampled_from(TEXTS))
        if choice < 19:
            return draw.draw(
                st.sampled_from(
                    [*self.contents, "pairs", "fifo", "none/x", "laws.json/x", "/dev/zero", "/proc/self/mem"]
                )
            )
        return draw.draw(st.text(max_size=20))

    def _store(self, rng: random.Random) -> bytes:
        """A store of which one row is damaged."""
        path = self.folder / "part.db"
        path.write_bytes(self.contents["store.db"])
        with contextlib.closing(sqlite3.connect(path)) as base:
            row, record = rng.choice(base.execute("select id, record from runs").fetchall())
            new = json.dumps(twisted(json.loads(record), rng)) if rng.random() < 0.7 else damaged(record.encode(), rng)
            base.execute("update runs set record = ? where id = ?", (new, row))
            base.commit()
        data = path.read_bytes()
        path.unlink()
        return data

    def try_(self, arguments: list[str]) -> None:
        """Run a command and hold its end against the rules."""
        self.count += 1
        before = seen(self.folder)
        code, _out, err = run(arguments)
        said = [line for line in err.splitlines() if line]
        shown = [argument[:60] for argument in arguments]
        assert code in (0, 2), (shown, code, err[-2000:])
        if code == 2:
            assert len(said) == 1, (shown, err)
            assert said[0].startswith("embudget: "), (shown, err)
            assert len(said[0]) < 300, (shown, err)
            assert seen(self.folder) == before, (shown, err, set(seen(self.folder).items()) ^ set(before.items()))


def _valid_files(folder: Path, pairs_hash: str) -> dict[str, bytes]:
    from embudget.design import World, simulate
    from embudget.laws import fit
    from embudget.recipe import recommend
    from embudget.records import write_records_csv
    from embudget.study import Store

    law = {"E": 1.0, "A": 300, "a": 0.35, "B": 250, "b": 0.4}
    world = {
        "models": ["micro-200k", "micro-450k", "micro-1m"], "budgets": [1e10, 4e10, 1.6e11], "seeds": 1, "noise": 0.01,
        "truth": {"full": law, "lora:4": law | {"A": 330}}, "batch_sizes": [4], "fail_probability": 0.1,
        "rate_laws": {"full": {"at": 1e-3, "curvature": 0.1}}, "rate_multiples": [0.5, 1, 2],
    }  # fmt: skip
    (folder / "world.yaml").write_text(yaml.safe_dump(world))
    records = simulate(World.read(world, "world"))
    with Store(folder / "store.db") as store:
        for record in records:
            store.add(record)
    write_records_csv(records, folder / "runs.csv")
    laws = fit(records, draws=20)
    laws.save(folder / "laws.json")
    recommend(laws, 2e10, suite="micro").save(folder / "recipe.yaml")
    study = {
        "members": ["micro-200k", "micro-450k"], "methods": ["full", "lora:4"], "budgets": [1e9, 4e9],
    "pairs": "pairs/",
        "batch_size": {"at": 1e9, "pairs": 4, "exponent": 0.5}, "min_steps": 1, "eval_pairs": 8, "eval_candidates": 8,
        "learning_rates": {"full": [1e-3, 2e-3]}, "also": [{"budgets": [1e9], "seeds": [1, 2]}],
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    rows = [
        {"query": f"How to {number}?", "positive": f"By {number}.", "group": str(number % 5)} for number in range(40)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rows.csv").write_text("query,positive\n" + "".join(f"q {i},p {i}\n" for i in range(40)))
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, tiny_pairs: Pairs) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("fuzz")
    before = Path.cwd()
    os.chdir(folder)
    made = Room(folder, tiny_pairs)
    for model in ("micro-200k", "micro-450k"):  # loads torch, and counts the tokens
        assert run(["pairs", "stats", "pairs", f"--model={model}"]).code == 0
    yield made
    os.chdir(before)


SIDES = ("micro-200k/full", "micro-450k/lora:2", "micro-200k/full@3e9", "a", "0", "/", "@", "x/@", "@/full", "a@1e999")
"""What a comparison may be of."""

Draw = Callable[[st.DataObject, Room], list[str]]


def number(data: st.DataObject) -> str:
    return data.draw(st.sampled_from(NUMBERS) | st.floats().map(str) | st.integers().map(str))


def text(data: st.DataObject, *known: str) -> str:
    return data.draw(st.sampled_from(known * 3 + TEXTS) | st.text(max_size=30))


def options(data: st.DataObject, values: dict[str, Callable[[], str]], most: int = 4) -> list[str]:
    """Some of the options with a value each; one without a value has the empty name of none."""
    names = data.draw(st.lists(st.sampled_from(sorted(values)), max_size=most, unique=True))
    drawn = {name: values[name]() for name in names}
    return [name if value == "flag" else f"{name}={value}" for name, value in drawn.items()]


def flag() -> str:
    return "flag"


def budget_options(data: st.DataObject) -> dict[str, Callable[[], str]]:
    names = ("--budget", "--gpu-hours", "--dollars", "--mfu", "--dollars-per-hour")
    return {name: lambda: number(data) for name in names} | {"--device": lambda: text(data, *DEVICES)}


def recipe(data: st.DataObject, room: Room) -> list[str]:
    numbers = ("--max-params", "--pairs-available", "--max-epochs", "--device-memory", "--serve-tokens", "--min-steps",
               "--points-per-decade")  # fmt: skip
    values = budget_options(data) | {name: lambda: number(data) for name in numbers}
    values |= {"--suite": lambda: text(data, *SUITES), "--prefer": lambda: text(data, "small", "fast")}
    values |= {"--device-memory": lambda: data.draw(st.sampled_from(("24GB", "24", "1e400GB", "x", "-1GB", "9" * 400)))}
    values |= {"--out": lambda: text(data, "out.yaml", "out/"), "--laws": lambda: text(data, "micro", "nope")}
    values |= dict.fromkeys(("--force", "--json", "--allow-unmeasured-sizes"), flag)
    values |= {
        "--curve": lambda: data.draw(
            st.sampled_from(("1e10:1e11", "1e-300:1e300", "1e11:1e10", "1:2:3", ":", "nan:1", "1e9:1e30"))
        )
    }
    base = [f"--budget={number(data)}"] if data.draw(st.booleans()) else ["--budget=3e10", "--suite=micro"]
    return ["recipe", room.path(data, "laws.json"), *base, *options(data, values, 3)]


def laws(data: st.DataObject, room: Room) -> list[str]:
    if data.draw(st.booleans()):
        return ["recipe", room.path(data, "laws.json"), "--budget=3e10", "--suite=micro"]
    if data.draw(st.booleans()):
        return ["explain", room.path(data, "laws.json"), *options(data, {"--json": flag})]
    return ["report", "store.db", f"--laws={room.path(data, 'laws.json')}", "--out=out.html"]


def tables(data: st.DataObject, room: Room) -> list[str]:
    kind = data.draw(st.integers(0, 9))
    if kind < 2:
        return ["records", room.path(data, "store.db"), *options(data, {"--csv": lambda: text(data, "out.csv")})]
    if kind == 2:
        return ["agree", room.path(data, "store.db"), *options(data, {"--json": flag})]
    if kind == 3:
        sides = (text(data, *SIDES) for _ in range(2))
        return ["compare", room.path(data, "store.db"), *(f" {side}" * (side[:1] == "-") or side for side in sides)]
    columns = ("loss=loss", "loss=tokens", "tokens=", "x=y", "loss=a,loss=b", "seed=,scale=", "model_params=N")
    values = {name: lambda: number(data) for name in ("--seed", "--asymptote")}
    values |= {"--form": lambda: text(data, "chinchilla"), "--columns": lambda: text(data, *columns)}
    values |= {"--out": lambda: text(data, "out.json")}
    source = room.path(data, data.draw(st.sampled_from(("runs.csv", "store.db"))))
    form = [] if data.draw(st.integers(0, 9)) == 0 else ["--form=chinchilla"]
    return ["fit", source, "--draws=20", *form, *options(data, values, 2)]


def worlds(data: st.DataObject, room: Room) -> list[str]:
    values = {name: lambda: number(data) for name in ("--seed",)}
    values |= {"--suite": lambda: text(data, *SUITES), "--out": lambda: text(data, "out.csv")}
    judged = options(data, {"--judge": lambda: number(data)})
    is_small = data.draw(st.booleans())
    few = ["--repeats=1", "--draws=20"] if judged or is_small else []
    return ["simulate", room.path(data, "world.yaml"), "--out=out.csv", *options(data, values, 2), *judged, *few]


def training(data: st.DataObject, room: Room) -> list[str]:
    kind = data.draw(st.integers(0, 9))
    if kind < 3:
        values: dict[str, Callable[[], str]] = {
            "--store": lambda: room.path(data, "store.db"),
            "--workers": lambda: number(data),
        }
        return ["sweep", room.path(data, "study.yaml"), "--dry-run", *options(data, values)]
    values = budget_options(data) | {
        name: lambda: number(data) for name in ("--batch-size", "--learning-rate", "--max-length", "--seed")
    }
    values |= {"--max-epochs": lambda: data.draw(st.sampled_from(("0", "-1", "1", "2", "x", "nan", "9" * 300)))}
    values |= {"--schedule": lambda: text(data, "wsd", "linear"), "--pooling": lambda: text(data, "max", "mean")}
    values |= {"--cache": lambda: text(data, "never", "always"), "--checkpoint-minutes": lambda: number(data)}
    values |= {"--report-to": lambda: text(data, "nope"), "--pairs": lambda: text(data, "none", "rows.csv")}
    if kind < 5:
        return [
            "train",
            room.path(data, "recipe.yaml"),
            "--pairs=pairs",
            "--out=model",
            *options(data, values, 1),
        ]
    asked = [f"--model={text(data, *MODELS)}", f"--method={text(data, *METHODS)}"]
    budget = data.draw(st.sampled_from(("1", "1e3", "1e6", "1e20", "1e300", "nan", "x")))
    return ["train", *asked, f"--budget={budget}", "--pairs=pairs", "--out=model", *options(data, values, 2)]


def others(data: st.DataObject, room: Room) -> list[str]:
    kind = data.draw(st.integers(0, 9))
    if kind == 0:
        return ["suite", "show", text(data, *MODELS)]
    if kind == 1:
        return [
            data.draw(st.sampled_from(("suite", "pairs", "nope", "--nope", "", "fit"))),
            text(data, "list", "show"),
            text(data),
        ]
    if kind == 2:
        values = {"--split": lambda: text(data, "test"), "-n": lambda: "flag"}
        return ["pairs", "show", text(data, "pairs", "none"), *options(data, values, 1)]
    if kind == 3:
        values = {"--model": lambda: text(data, *MODELS), "--max-length": lambda: number(data)}
        return ["pairs", "stats", text(data, "none", "rows.csv"), *options(data, values)]
    if kind == 4:
        return ["pairs", "index", text(data, "none", "rows.csv", "unreadable"), f"--query-column={text(data)}"]
    if kind == 5:
        return ["quickstart", f"--out={data.draw(st.sampled_from(('laws.json', 'laws.json/x', 'a' * 300)))}", "--smoke"]
    if kind == 6:
        return ["evaluate", room.path(data, "recipe.yaml"), f"--pairs={text(data, 'pairs', 'none')}"]
    values = {name: lambda: text(data, "query", "positive", "text") for name in ("--query-column", "--positive-column")}
    values |= {"--limit": lambda: number(data), "--seed": lambda: number(data)}
    source = f"files:{room.path(data, data.draw(st.sampled_from(('rows.jsonl', 'rows.csv'))))}"
    return ["pairs", "build", source, "--out=built", f"--tokenizer={text(data, *MODELS)}", *options(data, values, 2)]


@pytest.mark.parametrize("command", [recipe, laws, tables, worlds, training, others])
def test_a_command_succeeds_or_says_in_one_line_why_not(room: Room, command: Draw) -> None:
    room.count = 0

    @bounded
    @given(st.data())
    def check(data: st.DataObject) -> None:
        arguments = command(data, room)
        for name in ("out", "out.yaml", "out.json", "out.csv", "out.html", "built", "curve"):
            path = room.folder / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        room.try_(arguments)

    check()
    assert room.count >= EXAMPLES - 10, "so many were tried"
