"""Finding members by the names a user writes."""

import shutil
from pathlib import Path

import pytest

from embudget.errors import ModelError
from embudget.suite import SHAPES, find_shape
from embudget.suite.loading import find_checkpoint, load_embedder, weights_of
from embudget.suite.members import is_hub_id, known_shape, split_depth


def test_built_in_names_with_and_without_a_depth() -> None:
    assert find_shape("pythia-70m") is SHAPES["pythia-70m"]
    cut = find_shape("smollm2-135m:8")
    assert (cut.name, cut.layers, cut.hidden) == ("smollm2-135m:8", 8, 576)


@pytest.mark.parametrize("name", SHAPES)
def test_hub_ids_and_short_names_in_any_case_are_one_member(name: str) -> None:
    shape = SHAPES[name]
    for spelling in filter(None, (name.upper(), shape.hub_id, (shape.hub_id or name).lower())):
        assert find_shape(spelling) is shape
        assert find_shape(f"{spelling}:1").name == f"{name}:1"
        assert split_depth(f"{spelling}:1") == (name, 1)


def test_a_folder_of_a_hub_ids_name_is_the_folder(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_llama, tmp_path / "EleutherAI" / "pythia-70m")
    monkeypatch.chdir(tmp_path)
    assert find_shape("EleutherAI/pythia-70m").hidden == 64
    assert find_shape("eleutherai/PYTHIA-70m") is SHAPES["pythia-70m"]


def test_split_depth() -> None:
    assert split_depth("pythia-70m") == ("pythia-70m", None)
    assert split_depth("org/name:12") == ("org/name", 12)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pythia-70", "did you mean pythia-70m"),
        ("smolm2-135m:8", "got 'smolm2-135m'; did you mean smollm2-135m"),
        ("nothing-like-it-at-all", "got 'nothing-like-it-at-all'$"),
        ("smollm2-135m:", "depth must be a whole number as in smollm2-135m:8, got 'smollm2-135m:'"),
        ("smollm2-135m:x", "depth must be a whole number"),
        ("smollm2-135m:²", "depth must be a whole number"),
        ("smollm2-135m:-1", "depth must be a whole number"),
        ("smollm2-135m:0", "depth of smollm2-135m must be between 1 and 30, got 0"),
        ("smollm2-135m:31", "between 1 and 30, got 31"),
    ],
)
def test_bad_names_are_refused_in_one_line(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        find_shape(name)
    assert "\n" not in str(caught.value)


def test_folder(tiny_llama: Path) -> None:
    shape = find_shape(str(tiny_llama))
    assert (shape.architecture, shape.layers, shape.kv_heads, shape.head_dim) == ("llama", 4, 2, 24)
    assert find_shape(f"{tiny_llama}:3").layers == 3
    with pytest.raises(ModelError, match="between 1 and 4, got 5"):
        find_shape(f"{tiny_llama}:5")


def test_a_built_in_name_is_not_shadowed_by_a_folder(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pythia-70m", "pythia-70m:2"):
        shutil.copytree(tiny_llama, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert find_shape("pythia-70m") is SHAPES["pythia-70m"]
    assert find_shape("pythia-70m:2").hidden == 512
    with pytest.raises(ModelError, match="EleutherAI/pythia-70m"):  # the hub, which does not answer here
        find_checkpoint("pythia-70m:2")
    assert find_shape("./pythia-70m").hidden == find_shape("./pythia-70m:2").hidden == 64
    assert find_checkpoint("./pythia-70m").path == find_shape("./pythia-70m").name == str(tmp_path / "pythia-70m")


def test_a_folder_whose_name_has_a_colon(tmp_path: Path, tiny_neox: Path) -> None:
    odd = tmp_path / "run:2"
    odd.mkdir()
    (odd / "config.json").write_text((tiny_neox / "config.json").read_text())
    assert find_shape(str(odd)).layers == 4


def test_a_folder_has_one_name_however_it_is_written(
    tmp_path: Path, tiny_neox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models" / "mine"
    shutil.copytree(tiny_neox, folder)
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    ways = [
        "models/mine",
        "models/mine/",
        "./models/../models/mine",
        str(folder),
        f"{folder}/",
        "link",
        "~/models/mine",
    ]
    assert {find_shape(way).name for way in ways} == {str(folder)}
    assert {find_shape(f"{way}:2").name for way in ways} == {f"{folder}:2"}
    assert {find_shape(name).name for name in (find_shape(way).name for way in ways)} == {str(folder)}
    assert len({weights_of(way) for way in ways} | {weights_of(f"{folder}:2")}) == 1
    odd = folder.rename(tmp_path / "run:2")
    assert find_shape("run:2").name == f"{odd}:4"  # or its name would read as the first two blocks of `run`
    assert find_shape(f"{odd}:4").name == f"{odd}:4" and find_shape("run:2:3").layers == 3


@pytest.mark.parametrize("name", ["./nothing", "../nothing/there:2", "/nothing", "~/nothing", "~nobody-of-this-name/m"])
def test_a_path_to_nothing_is_said_to_be_one(name: str) -> None:
    with pytest.raises(ModelError, match="there is no model folder") as caught:
        find_shape(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a" * 5000, "nul\0", "/" + "b" * 300, "./" + "c/" * 3000])
def test_names_that_no_file_system_takes_are_one_short_line(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_shape(name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "without one"), ("{", "not valid JSON"), ("[]", "must hold an object"), ("{}", "names no model_type")],
)
def test_bad_folders_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        find_shape(str(tmp_path))


@pytest.fixture
def hub_cache(tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A cache of the hub's client that holds the tiny Llama as somebody/tiny."""
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    root = tmp_path / "models--somebody--tiny"
    shutil.copytree(tiny_llama, root / "snapshots" / commit)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return commit


def test_hub_ids(hub_cache: str) -> None:
    shape = find_shape("somebody/tiny:2")
    assert (shape.name, shape.hub_id, shape.layers) == ("somebody/tiny:2", "somebody/tiny", 2)
    found = find_checkpoint("somebody/tiny:2")
    assert found == ("somebody/tiny", hub_cache, f"somebody/tiny at {hub_cache}")
    assert weights_of("somebody/tiny:2") == hub_cache
    assert load_embedder("somebody/tiny:2", 16).encode(["text"]).shape == (1, 64)


def test_hub_ids_that_cannot_be_fetched_are_refused() -> None:
    with pytest.raises(ModelError, match=r"nobody/nothing is neither a folder nor .* from the hub: .*cache"):
        find_shape("nobody/nothing")


def test_known_shapes_are_those_that_are_here(hub_cache: str, tiny_llama: Path, tmp_path: Path) -> None:
    for name in ("pythia-70m", "smollm2-135m:8", f"{tiny_llama}:2"):
        assert known_shape(name) == find_shape(name)
    assert known_shape("EleutherAI/pythia-70m:2") == find_shape("pythia-70m:2"), "in a table of others too"
    for name in ("somebody/tiny", "gpt-9", "pythia-70m:99", "ours:chat", "", "N=1e+08", str(tmp_path), "a" * 5000):
        assert known_shape(name) is None


def test_hub_ids_are_told_from_other_names() -> None:
    assert [name for name in ("owner/name", "owner/name:2", "name", "owner/name:x", "") if is_hub_id(name)] == [
        "owner/name", "owner/name:2",
    ]  # fmt: skip
