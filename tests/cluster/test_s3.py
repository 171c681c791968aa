"""Buckets, with moto's S3 server and s3fs: pairs, models, checkpoints and token caches, faults and credentials."""

import logging
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from embudget.errors import RemoteError
from embudget.pairs import Pairs, build_pairs, load_pairs
from embudget.records import RunRecord
from embudget.remote import attempts, fetch_folder, put_folder, read_manifest
from embudget.remote.folders import names_in
from embudget.study import Store, Study, sweep
from embudget.suite import find_shape
from embudget.suite.loading import weights_of
from embudget.training.mirror import checkpoints_at
from embudget.training.resources import Resources
from embudget.training.run import train
from tests.cluster.s3 import KEY, SECRET, Bucket
from tests.command_line import Run
from tests.docs.faq import write_faq
from tests.docs.pages import ROOT, run_page
from tests.study.studies import tiny_study
from tests.study.test_sweep import Log

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("bucket")]


@pytest.fixture
def study(url: str, tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    """A study whose pairs and model lie in the bucket: the model by our own upload, the pairs by any other."""
    import s3fs

    put_folder(tiny_neox, f"{url}/model")
    s3fs.S3FileSystem().put(f"{tiny_pairs.folder}/", f"{url}/pairs/", recursive=True)
    return tiny_study(f"{url}/model", tiny_pairs, pairs=f"{url}/pairs", budgets=[6e8, 1e9], seeds=[0, 1])


def local(study: Study, tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return study.model_copy(update={"members": (f"{tiny_neox}:1",), "pairs": tiny_pairs.folder})


def results(records: list[RunRecord]) -> list[tuple[object, ...]]:
    return sorted((one.config.seed, one.config.train_flops, one.status, one.loss, one.loss_curve) for one in records)


def test_a_folder_goes_there_and_back(url: str, tiny_neox: Path) -> None:
    put_folder(tiny_neox, f"{url}/x")
    fetched = fetch_folder(f"{url}/x")
    names = sorted(path.name for path in tiny_neox.iterdir() if path.is_file())
    assert sorted(path.name for path in fetched.iterdir()) == names
    assert all((fetched / name).read_bytes() == (tiny_neox / name).read_bytes() for name in names)


def test_a_model_is_called_by_its_url_and_known_by_its_weights(url: str, tiny_neox: Path) -> None:
    put_folder(tiny_neox, f"{url}/model")
    assert find_shape(f"{url}/model:2").name == f"{url}/model:2"
    assert find_shape(f"{url}/model/").name == f"{url}/model"
    assert find_shape(f"{url}/model:2").model_params == find_shape(f"{tiny_neox}:2").model_params
    assert weights_of(f"{url}/model:2") == weights_of(str(tiny_neox))


def test_a_study_in_a_bucket_gives_the_records_of_a_local_one(
    study: Study, url: str, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, bucket: Bucket
) -> None:
    """With all of its data at URLs, in this process and in two others, on machines that have fetched nothing."""
    whole = results(sweep(local(study, tiny_neox, tiny_pairs), tmp_path / "whole.db"))
    kept = f"{url}/kept"
    here = sweep(study, tmp_path / "here.db", checkpoints=kept, checkpoint_seconds=0)
    assert results(here) == whole
    assert {record.config.model for record in here} == {f"{url}/model:1"}
    assert not names_in(kept), "checkpoints go when their runs have records"
    os.environ["EMBUDGET_CACHE"] = str(tmp_path / "another")
    assert results(sweep(study, tmp_path / "there.db", 2, checkpoints=kept, checkpoint_seconds=0)) == whole
    assert bucket.keys == {KEY}


def _study_file(study: Study, folder: Path) -> Path:
    fields = study.model_dump(mode="json", exclude_unset=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(fields))
    return folder / "study.yaml"


class Command:
    """The command line in a process of its own; its output goes to a file."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.said = folder / "said"
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "embudget", *arguments], cwd=folder, stdout=said, stderr=said
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def _swept(folder: Path, file: Path, kept: str) -> Command:
    """A sweep that puts a checkpoint after each step."""
    return Command(folder, "sweep", str(file), "--store", "s.db", "--checkpoints", kept, "--checkpoint-minutes", "0")


def _killed_at(command: Command, kept: str, enough: int = 3) -> None:
    """Kill a sweep once it has put so many checkpoints."""
    seen: set[str] = set()
    until = time.monotonic() + 600
    while len(seen) < enough:
        assert command.process.poll() is None, command.said.read_text()
        assert time.monotonic() < until
        seen |= {name for name in names_in(kept) if name.endswith("manifest.json")}
    command.kill()


def test_another_machine_goes_on_where_one_was_killed(
    study: Study, url: str, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study.model_copy(update={"budgets": (2e9,), "seeds": (0,)})
    whole = results(sweep(local(study, tiny_neox, tiny_pairs), tmp_path / "whole.db"))
    kept = f"{url}/kept"
    file = _study_file(study, tmp_path)
    _killed_at(_swept(tmp_path, file, kept), kept)
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "another"))
    log = First()
    assert results(sweep(study, tmp_path / "s.db", 1, log, checkpoints=kept)) == whole
    assert log.first > 0.02, "it did not begin anew"


class First(Log):
    """Remembers the share of the budget at the first step that is told."""

    first = 0.0

    def progress(self, config: object, share: float, loss: float) -> None:
        self.first = self.first or share


def test_a_bucket_that_answers_500_for_a_while_costs_nothing(
    study: Study, url: str, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, bucket: Bucket,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """From the first steps on for six seconds: the training goes on, with a warning, and so do uploads afterwards."""
    study = study.model_copy(update={"budgets": (2e9,), "seeds": (0,)})
    whole = results(sweep(local(study, tiny_neox, tiny_pairs), tmp_path / "whole.db"))
    down = Down(bucket, 6.0)
    records = sweep(study, tmp_path / "s.db", 1, down, checkpoints=f"{url}/kept", checkpoint_seconds=0)
    down.timer.join()
    assert results(records) == whole and bucket.refused
    assert down.steps_while_down > 0, "training went on"
    warnings = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert all(SECRET not in one and KEY not in one for one in warnings)


class Down(Log):
    """Has the server fail from the second step on, for so many seconds."""

    def __init__(self, bucket: Bucket, seconds: float) -> None:
        super().__init__()
        self.bucket, self.steps_while_down = bucket, 0
        self.timer = threading.Timer(seconds, bucket.failing.clear)
        self.steps = 0

    def progress(self, config: object, share: float, loss: float) -> None:
        self.steps += 1
        if self.steps == 2:
            self.bucket.failing.set()
            self.timer.start()
        self.steps_while_down += self.bucket.failing.is_set()
        if self.bucket.failing.is_set():
            time.sleep(0.05)


def test_what_is_fetched_waits_for_a_bucket_that_answers_500(
    url: str, tiny_pairs: Pairs, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_folder(tiny_pairs.folder, f"{url}/pairs")
    bucket.failing.set()
    timer = threading.Timer(3.0, bucket.failing.clear)
    timer.start()
    assert load_pairs(f"{url}/pairs").hash == tiny_pairs.hash
    timer.join()
    bucket.failing.set()
    monkeypatch.setattr(attempts, "PATIENCE_SECONDS", 1.0)
    with pytest.raises(RemoteError, match=r"^cannot read s3://bucket/test-\d+/pairs: .*, for 1 s$"):
        load_pairs(f"{url}/pairs")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3://no-such-bucket/pairs", r"cannot read s3://no-such-bucket/pairs: The specified bucket does not exist"),
        ("s3://bucket/no-such-pairs", r"cannot read s3://bucket/no-such-pairs: there is nothing"),
    ],
)
def test_what_lasts_is_one_line_at_once(place: str, said: str) -> None:
    started = time.monotonic()
    with pytest.raises(RemoteError, match=said):
        load_pairs(place)
    with pytest.raises(RemoteError, match=r"The specified bucket does not exist"):
        checkpoints_at("s3://no-such-bucket/kept")
    assert time.monotonic() - started < 20


def test_missing_credentials_are_one_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    __import__("s3fs").S3FileSystem.clear_instance_cache()
    with pytest.raises(RemoteError, match=r"Unable to locate credentials: set AWS_ACCESS_KEY_ID and"):
        fetch_folder(f"{url}/x")


def test_credentials_are_in_no_file_and_no_message(
    study: Study, url: str, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="embudget")
    file = _study_file(study.model_copy(update={"budgets": (6e8,), "seeds": (0,)}), tmp_path)
    store = tmp_path / "s.db"
    done = run("sweep", str(file), "--store", str(store), "--checkpoints", f"{url}/kept", "--checkpoint-minutes", "0")
    assert done.code == 0, done.err
    assert run("records", str(store), "--csv", str(tmp_path / "runs.csv")).code == 0
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert store in written and any(path.is_relative_to(tmp_path / "machine") for path in written)
    everything = [path.read_bytes() for path in written] + [done.out.encode(), done.err.encode(), caplog.text.encode()]
    assert not [one[:80] for one in everything if SECRET.encode() in one or KEY.encode() in one]


def test_a_model_is_trained_into_a_bucket_and_from_it(
    study: Study, url: str, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    config = study.configs(load_pairs(study.pairs))[0].model_copy(update={"schedule": "cosine"})
    out = f"{url}/trained"
    _, record = train(config, study.pairs, out, resources=Resources(checkpoint_seconds=0), with_record=True)
    manifest = read_manifest(out)
    assert manifest is not None and manifest.whole and "embudget.json" in manifest.files
    assert not names_in(f"{out}.checkpoints") and not list((tmp_path / "machine" / "outputs").iterdir())
    train(config, tiny_pairs, tmp_path / "here")
    here = {path.relative_to(tmp_path / "here").as_posix() for path in (tmp_path / "here").rglob("*") if path.is_file()}
    assert set(manifest.files) == here
    longer = config.model_copy(update={"model": f"{out}", "weights": weights_of(out)})
    _, after = train(longer, study.pairs, with_record=True)
    assert after.base_loss == pytest.approx(record.loss, rel=1e-3)


def test_machines_share_their_token_caches(
    study: Study, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from embudget.pairs.token_cache import TokenCache

    monkeypatch.setenv("EMBUDGET_SHARED_CACHE", f"{url}/cache")
    pairs = load_pairs(study.pairs)
    one = TokenCache(pairs, f"{url}/model", 32).texts([0, 1])
    (block,) = [name for name in names_in(f"{url}/cache") if name.endswith(".arrow")]
    assert block.startswith(f"tokens/{pairs.hash}-")
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "another"))
    monkeypatch.setattr(TokenCache, "_make", lambda *args: pytest.fail("it was tokenised again"))
    other = TokenCache(pairs, f"{url}/model", 32).texts([0, 1])
    assert [a.tolist() for a in one] == [b.tolist() for b in other]


def test_a_full_disk_on_one_machine_is_gone_on_from_on_another(
    study: Study, url: str, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From some checkpoint on no file of size fits any more, by a limit of the system; training goes on, and warns.

    Killed then, the run goes on elsewhere from the last one that fitted.
    """
    study = study.model_copy(update={"budgets": (2e9,), "seeds": (0,)})
    whole = results(sweep(local(study, tiny_neox, tiny_pairs), tmp_path / "whole.db"))
    kept = f"{url}/kept"
    file = _study_file(study, tmp_path)
    command = _swept(tmp_path, file, kept)
    until = time.monotonic() + 600
    while len([name for name in names_in(kept) if name.endswith("manifest.json")]) < 2:
        assert command.process.poll() is None and time.monotonic() < until, command.said.read_text()
    resource.prlimit(command.process.pid, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    while "cannot write a checkpoint to" not in command.said.read_text():
        assert command.process.poll() is None and time.monotonic() < until, command.said.read_text()
        time.sleep(0.05)
    command.kill()
    assert "training goes on" in command.said.read_text()
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "another"))
    log = First()
    assert results(sweep(study, tmp_path / "s.db", 1, log, checkpoints=kept)) == whole
    assert log.first > 0.02


def test_a_worker_on_another_machine_takes_runs_whose_data_are_in_the_bucket(
    study: Study, url: str, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from embudget.study.driver import place_of
    from embudget.study.work import work

    whole = results(sweep(local(study, tiny_neox, tiny_pairs), tmp_path / "whole.db"))
    pairs = load_pairs(study.pairs)
    folder, mirror = checkpoints_at(f"{url}/kept")
    with Store(tmp_path / "s.db") as store:
        place = place_of(study, pairs, Resources(checkpoints=folder, mirror=mirror, checkpoint_seconds=0))
        assert (place.pairs, place.checkpoints) == (f"{url}/pairs", f"{url}/kept")
        store.queue().add(study.configs(pairs), place)
        monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "another"))
        work(store)
        assert results(store.records()) == whole
    assert not names_in(f"{url}/kept")


def test_the_page_on_buckets_does_what_it_says(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: Bucket
) -> None:
    write_faq(tmp_path / "faq.csv", 13_500)
    monkeypatch.chdir(tmp_path)
    build_pairs(["files:faq.csv"], tmp_path / "pairs", query_column="question", positive_column="answer")
    run_page((ROOT / "docs" / "howto" / "buckets.md").read_text(), run)
