"""A user's loop with hk.checkpoint: the example of the documentation, and programs that are stopped and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import hpckit as hk
from hpckit.checkpoint import signals

LOOP = """
import os, signal, sys
import numpy as np
import hpckit as hk

def main():
    ctx = hk.world()
    step_to_die, number, out = int(sys.argv[2]), sys.argv[3], sys.argv[4]
    with hk.checkpoint(sys.argv[1], every_s=0, job={"n": 5}) as ck:
        state = ck.restore()
        if state is None:
            state = {"step": 0, "x": hk.arrays.arange(100, dtype=np.int64), "mean": []}
        elif ctx.is_root:
            print("went on at", state["step"], flush=True)
        step, x, mean = state["step"], state["x"], state["mean"]
        while step < 8:
            step, x = step + 1, x * 3 % 1009
            mean = [*mean, float(x.mean())]
            if step == step_to_die and ctx.rank == ctx.size - 1:
                os.kill(os.getpid(), getattr(signal, number))
            ck.save(step=step, x=x, mean=mean)
        hk.arrays.to_npy(x, out, overwrite=True)
        ck.finish()

sys.exit(hk.program(main))
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "loop.py"
    path.write_text(LOOP)
    return str(path)


def expected() -> np.ndarray:
    x = np.arange(100, dtype=np.int64)
    for _ in range(8):
        x = x * 3 % 1009
    return x


def test_a_program_that_is_told_to_stop_or_killed_goes_on_on_other_rank_counts(
    tmp_path: Path, script: str, mpirun: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ck, out = str(tmp_path / "ck"), str(tmp_path / "x.npy")
    stopped = mpirun(3, ["python", script, ck, "3", "SIGTERM", out])
    assert stopped.returncode == 75, stopped.stderr
    assert "SIGTERM came: state is saved" in stopped.stderr and stopped.stderr.count("hpckit:") == 1
    killed = mpirun(2, ["python", script, ck, "6", "SIGKILL", out])
    assert killed.returncode != 0 and "went on at 3" in killed.stdout
    done = mpirun(4, ["python", script, ck, "99", "SIGKILL", out])
    assert done.returncode == 0, done.stderr
    assert "went on at 5" in done.stdout
    np.testing.assert_array_equal(np.load(out), expected())
    assert [name.split(".")[0] for name in os.listdir(ck)] == ["complete"]


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs/checkpoint.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    code = code.replace("10_000_000", "1000").replace("1000:", "5:")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/checkpoint.md", "exec"), {"advance": lambda x: x + 2})
    np.testing.assert_array_equal(np.load("result.npy"), np.full(1000, 10.0))


def test_signals_are_noted_only_inside_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with signals.watch():
        assert not signals.stop_requested() and signals.signal_name() == ""
        with signals.watch():
            os.kill(os.getpid(), signal.SIGUSR1)
            assert signals.stop_requested() and signals.signal_name() == "SIGUSR1"
        assert signals.stop_requested()
    assert signal.getsignal(signal.SIGUSR1) == before
    with signals.watch():
        assert not signals.stop_requested()


def test_a_thread_may_watch_too() -> None:
    seen = []

    def work() -> None:
        with signals.watch():
            seen.append(signals.stop_requested())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_it_is_cheap_to_have_and_saves_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("hpckit.checkpoint.session.time.monotonic", lambda: now[0])
    with hk.checkpoint(tmp_path / "ck", every_s=60) as ck:
        ck.restore()
        saved = []
        for step in range(10):
            now[0] += 25
            saved.append(ck.save(step=step))
    assert saved == [False, False, True] * 3 + [False]
    with hk.checkpoint(tmp_path / "ck") as ck:
        assert ck.restore() == {"step": 8}
    lines = subprocess.run(
        [sys.executable, "-c", "import json, sys, hpckit as hk; hk.checkpoint; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert not {"h5py", "pyarrow", "numpy", "mpi4py"} & set(json.loads(lines)), "looking at hk.checkpoint loads nothing"
