"""A budget that is spent into a bucket: on moto's S3 server, by machines that are lost, through outages."""

import re
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from embudget.cache import cache_folder
from embudget.errors import RemoteError
from embudget.pairs import Pairs
from embudget.records import RunConfig
from embudget.remote import attempts, put_folder
from embudget.remote.folders import names_in
from embudget.spending.allocation import Decision
from embudget.spending.folder import STORE
from embudget.spending.home import home_of
from embudget.spending.listener import SpendListener
from embudget.study import Store, Study
from embudget.training import mirror, state
from tests.cluster.s3 import KEY, SECRET, Bucket
from tests.command_line import Run
from tests.spending.spendings import Steps, die, ended, lines, spending, study_of, weights
from tests.spending.test_home import spent_at

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("bucket", "once")]

NEVER = 1e5
"""Seconds between checkpoints: only those are put from which longer runs go on."""


@pytest.fixture(scope="module")
def calm(tiny_neox: Path, tiny_pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a spending on this machine that nothing disturbed."""
    out = tmp_path_factory.mktemp("calm") / "out"
    spending(study_of(tiny_neox, tiny_pairs, members=[f"{tiny_neox}:1"]), out)
    return out


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have botocore try everything once, which would wait for the end of an outage itself, and hide it from us."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture
def study(url: str, tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    """The same, its pairs at a URL too."""
    put_folder(tiny_pairs.folder, f"{url}/pairs")
    return study_of(tiny_neox, tiny_pairs, members=[f"{tiny_neox}:1"]).model_copy(update={"pairs": f"{url}/pairs"})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has the rest of the test happen on another machine, which has fetched nothing."""
    return lambda name: monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / name))


def as_calm(url: str, calm: Path, folder: Path) -> None:
    """Assert that a spending at a URL has the decisions, the model and the runs of one that nothing disturbed."""
    with home_of(url) as home:
        assert (lines(home.folder), weights(home.folder)) == (lines(calm), weights(calm))
        with Store(home.folder / STORE, create=False) as store, Store(calm / STORE) as other:
            assert store.ids() == other.ids()
    assert not [name for name in names_in(url) if "/step-" in name]
    for file in (path for path in folder.rglob("*") if path.is_file()):
        assert KEY.encode() not in (content := file.read_bytes()) and SECRET.encode() not in content, file


def test_another_machine_goes_on_where_one_was_lost(
    study: Study, url: str, calm: Path, tmp_path: Path, machine: Callable[[str], None]
) -> None:
    """Lost in the second round, and in the final run; the last machine decides nothing anew."""
    out = f"{url}/spent"
    for number, listener in enumerate((Steps(8, False, die), Steps(6, True, die))):
        machine(f"machine-{number}")
        assert ended(lambda listener=listener: spent_at(out, study, listener)) == -signal.SIGKILL  # type: ignore[misc]
    machine("machine-2")
    told = Told()
    spent_at(out, study, told)
    assert told.finals == [True], "nothing was decided anew"
    assert len(told.runs) == 1 and told.first > 0.1, "the final run was not begun anew either"
    as_calm(out, calm, tmp_path)


class Told(SpendListener):
    """Remembers what was decided and trained here."""

    def __init__(self) -> None:
        self.finals: list[bool] = []
        self.runs: set[str] = set()
        self.first = 0.0

    def decided(self, decision: Decision, changed: str) -> None:
        self.finals.append(decision.final)

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        self.first = self.first or share
        self.runs.add(config.id)


def test_outages_cost_nothing(
    study: Study, url: str, calm: Path, tmp_path: Path, bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    """Each thing that is put meets a bucket that answers 500 for a while."""
    things = ("start.json", "runs.db", "decisions.jsonl", "/checkpoints/", "/model/")
    bucket.refusing.update(dict.fromkeys(things, 4))
    spent_at(f"{url}/spent", study, checkpoint_seconds=NEVER)
    assert bucket.refusing == dict.fromkeys(things, 0)
    as_calm(f"{url}/spent", calm, tmp_path)
    for thing in ("start.json", "runs.db", "decisions.jsonl", "model"):
        assert re.search(f"cannot (read|write) {url}/spent/{thing} yet: .*; trying again for 300 s", caplog.text), thing
    assert KEY not in caplog.text and SECRET not in caplog.text


PATIENCE = ((attempts, "PATIENCE_SECONDS"), (state, "AT_END"), (mirror, "UPLOAD_PATIENCE"), (mirror, "REMOVE_PATIENCE"))


@pytest.mark.parametrize("trouble", ["it answers 500 from now on", "the key is taken back"])
def test_trouble_that_lasts_is_one_line_and_another_machine_goes_on(
    study: Study,
    url: str,
    calm: Path,
    tmp_path: Path,
    bucket: Bucket,
    machine: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    out = f"{url}/spent"
    with ExitStack() as over, monkeypatch.context() as impatient:

        def begin() -> None:
            over.enter_context(bucket.down() if "500" in trouble else bucket.checking("s3:*"))

        for module, name in PATIENCE:
            impatient.setattr(module, name, 1.0)
        with pytest.raises(RemoteError) as error:
            spent_at(out, study, Steps(8, False, begin), checkpoint_seconds=NEVER)
    said = str(error.value)
    assert re.match(f"cannot (list|read|write) {out}/", said), said
    assert "\n" not in said and KEY not in said and SECRET not in said
    machine("another")
    spent_at(out, study, checkpoint_seconds=NEVER)
    as_calm(out, calm, tmp_path)


REFUSED = {
    "a key that nobody has": ("s3:*", "cannot list {}: no permission (The AWS Access Key Id you provided"),
    "the secret of another": ("s3:*", "cannot list {}: no permission (The request signature we calculated"),
    "a key that may do nothing": ("s3:ListAllMyBuckets", "cannot list {}: no permission (Access Denied"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_credentials_that_are_refused_are_one_line(
    run: Run,
    url: str,
    tiny_neox: Path,
    tiny_pairs: Pairs,
    tmp_path: Path,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    allowed, said = REFUSED[name]
    with bucket.checking(allowed) as (key, secret):
        key = KEY if "nobody" in name else key
        secret = SECRET if "another" in name else secret
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        done = run(
            "spend", "--budget", "1e10", "--suite", f"{tiny_neox}:1", "--pairs", tiny_pairs.folder, "--out", url,
            "--batch-size", "8",
        )  # fmt: skip
    assert done.code == 2 and done.out == ""
    assert done.err.startswith(f"embudget: {said.format(url)}") and done.err.count("\n") == 1, done.err
    assert key not in done.err and secret not in done.err
    assert not cache_folder().exists(), "nothing was written on this machine"
