import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from embudget.contents import LISTING
from embudget.errors import ConfigError, ModelError
from embudget.exports.push import push
from embudget.pairs import Pairs
from embudget.training.run import train
from tests.exports.hub import TOKEN, Hub, running_hub
from tests.training.test_run import config_for


@pytest.fixture(scope="module")
def made(tiny_neox: Path, tiny_pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as training leaves it."""
    folder = tmp_path_factory.mktemp("made") / "model"
    train(config_for(tiny_neox, tiny_pairs, train_flops=6e8), tiny_pairs, folder)
    return folder


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may change."""
    return Path(shutil.copytree(made, tmp_path / "model"))


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as server:
        yield server


def published(hub: Hub | None, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, because huggingface_hub reads the environment when it is imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": "http://127.0.0.1:9" if hub is None else hub.address,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HOME": "/nonexistent",
        "HF_TOKEN": TOKEN,
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-m", "embudget", "push", *map(str, arguments)]
    environment = {name: value for name, value in (environment | variables).items() if value}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_bytes_on_the_hub_are_those_of_the_folder(hub: Hub, model: Path) -> None:
    done = published(hub, model, "me/tiny", "--private")
    assert done.returncode == 0, done.stderr
    assert hub.repos["me/tiny"]["private"] is True
    assert hub.repos["me/tiny"]["branches"] == {"main": contents(model)}
    assert hub.objects, "the weights went as an LFS object"
    assert f"published {len(contents(model))} files" in done.stdout
    assert f"{hub.address}/me/tiny" in done.stdout
    again = published(hub, model, "me/tiny", "--revision", "v2")
    assert again.returncode == 0, again.stderr
    assert hub.repos["me/tiny"]["branches"]["v2"] == contents(model)
    assert TOKEN not in done.stdout + done.stderr + again.stdout + again.stderr


def test_a_dry_run_shows_everything_and_touches_no_network(hub: Hub, model: Path) -> None:
    done = published(hub, model, "me/tiny", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert hub.requests == []
    for name in contents(model):
        assert name in done.stdout
    assert "a repository that is new is public" in done.stdout
    assert "Licence: unknown." in done.stdout, "the tiny model has no card that names one"
    assert "of this machine is named in embudget.json\n" in done.stdout
    assert TOKEN not in done.stdout + done.stderr


def test_nothing_is_published_in_a_public_repository_that_was_to_be_private(hub: Hub, model: Path) -> None:
    hub.repos["me/tiny"] = {"private": False, "branches": {"main": {}}}
    done = published(hub, model, "me/tiny", "--private")
    assert (done.returncode, hub.repos["me/tiny"]["branches"]["main"]) == (2, {})
    assert "me/tiny is there and public, so nothing was published" in done.stderr


@pytest.mark.parametrize(
    ("repo", "variables", "message"),
    [
        ("me/tiny", {"HF_TOKEN": "hf_wrong"}, "the hub does not accept the token (401): log in with `hf auth login`"),
        ("me/tiny", {"HF_TOKEN": ""}, "there is no token (401)"),
        ("other/tiny", {}, "the token may not write to other/tiny (403): use one with write access to other"),
        ("me/tiny", {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ("me/tiny", {"HF_ENDPOINT": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached"),
    ],
)
def test_what_the_hub_refuses_is_one_line(
    hub: Hub, model: Path, repo: str, variables: dict[str, str], message: str
) -> None:
    done = published(hub, model, repo, **variables)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert message in done.stderr
    assert not any("hf_" in part for part in done.stderr.split())


def test_a_changed_or_added_file_needs_force(model: Path) -> None:
    (model / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match=r"holds other files, such as notes\.txt; look at it, then add --force"):
        push(model, "me/tiny", dry_run=True)
    assert "notes.txt" in push(model, "me/tiny", dry_run=True, force=True).files
    (model / "notes.txt").unlink()
    (model / "README.md").write_text((model / "README.md").read_text() + "\nand more\n")
    with pytest.raises(ModelError, match=r"README\.md was changed since"):
        push(model, "me/tiny", dry_run=True)
    (model / LISTING).unlink()
    with pytest.raises(ModelError, match=f"lacks {LISTING}"):
        push(model, "me/tiny", dry_run=True)


def test_a_missing_file_is_found(model: Path) -> None:
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        push(model, "me/tiny", dry_run=True)


def test_pickles_are_refused_whatever_they_are_called(model: Path) -> None:
    for number, name in enumerate(["weights.pt", "pytorch_model.bin", "data.txt", "old.bin"]):
        path = model / name
        if number < 2:
            torch.save({"a": torch.ones(2)}, path)
        elif number == 2:
            path.write_bytes(pickle.dumps({"a": 1}))
        else:
            torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
        with pytest.raises(ModelError, match="is a pickle, which runs code"):
            push(model, "me/tiny", dry_run=True, force=True)
        path.unlink()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_any_protocol_is_refused_under_a_neutral_name(model: Path, protocol: int) -> None:
    (model / "notes.txt").write_bytes(pickle.dumps({"a": 1, "b": [1.5, "x", None]}, protocol))
    with pytest.raises(ModelError, match=r"notes\.txt is a pickle, which runs code"):
        push(model, "me/tiny", dry_run=True, force=True)


def test_links_and_folders_that_are_no_model_are_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (model / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match="link is a link or no file"):
        push(model, "me/tiny", dry_run=True, force=True)
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ModelError, match="is no trained model of embudget"):
            push(folder, "me/tiny", dry_run=True)


@pytest.mark.parametrize("repo", ["tiny", "me/a/b", "me/ti ny", "", "me/--", "../x"])
def test_a_name_that_is_none_is_refused(model: Path, repo: str) -> None:
    with pytest.raises(ConfigError, match="repo must be ORG/NAME on the hub"):
        push(model, repo, dry_run=True)


@pytest.mark.parametrize("revision", ["", " ", "a b", "-f", "a..b", "a:b", "a~1", "v1.", "/v1", "a\\b", "v.lock"])
def test_a_branch_that_git_does_not_allow_is_refused_without_asking_the_hub(model: Path, revision: str) -> None:
    with pytest.raises(ConfigError, match="revision must be a branch such as v1"):
        push(model, "me/tiny", revision=revision, dry_run=True)
    assert push(model, "me/tiny", revision="feature/v1.2", dry_run=True).revision == "feature/v1.2"
