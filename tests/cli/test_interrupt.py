import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from embudget.cli.console import mind_ctrl_c, still_wanted
from embudget.pairs import Pairs
from tests.command_line import Run


@pytest.fixture
def own_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("own_handler")
def test_ctrl_c_that_falls_into_a_destructor_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    swallowed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", swallowed.append)

    class Destroyed:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0)

    mind_ctrl_c()
    still_wanted()
    thing = Destroyed()
    del thing
    gc.collect()
    assert swallowed, "Python has swallowed it"
    with pytest.raises(KeyboardInterrupt):
        still_wanted()
    still_wanted()


@pytest.mark.slow
def test_an_interrupted_sweep_says_so_and_goes_on(run: Run, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    study = {
        "members": [str(tiny_neox)],
        "methods": ["full"],
        "budgets": [2e10],
        "seeds": list(range(40)),
        "pairs": str(tiny_pairs.folder),
        "batch_size": 8,
        "max_length": 32,
        "eval_pairs": 16,
        "eval_candidates": 16,
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    command = [sys.executable, "-m", "embudget", "sweep", "study.yaml", "--store", "s.db"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    lines: list[str] = []
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment) as sweep:
        assert sweep.stderr is not None
        for line in sweep.stderr:
            if ": loss " in line and not any(": loss " in earlier for earlier in lines):
                sweep.send_signal(signal.SIGINT)
            lines.append(line)
    assert sweep.returncode == 130
    assert lines[-1].startswith("embudget: interrupted")
    done = sum(": loss " in line for line in lines)
    out = run("records", tmp_path / "s.db").out
    assert out.count(" done") == done < 40, "what was finished is kept"
