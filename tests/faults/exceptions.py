"""The exception campaign: in every public operation one rank raises an exception somewhere; all ranks end with it.

    python -m tests.faults.exceptions --seed 1 --places 3          `make faults` does it

Each trial runs an operation on three ranks and raises ArithmeticError on one of them, at the start of some Python
function of hpckit that the operation calls there, chosen at random among those that it was seen to call, or in the
place of the operation itself. Either all ranks raise it (then they go on to the next trial together), or the job ends,
within 10 s, with a status that is not 0 and with one message, that names the error; the next job goes on behind it.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).parent.parent.parent
PACKAGE = str(ROOT / "hpckit") + os.sep
RANKS = 3
SECONDS_MAX = 10.0
START_S = 200.0  # for a start on a busy machine, and an operation without an exception
TEXT = "an exception of the campaign"
MACHINERY = tuple(  # what carries an exception to the other ranks, or is not run by the operation
    PACKAGE + os.path.join("spmd", name)
    for name in ("context.py", "waiting.py", "recovery.py", "pulse.py", "progress.py", "profile.py", "telling.py",
                 "failpoints.py", "program.py", "orphan.py", "library.py")
) + (PACKAGE + "errors.py", PACKAGE + "frozen.py")  # fmt: skip
QUIET = ("__del__", "<genexpr>")  # Python ignores what is raised while it clears objects away
# HDF5 calls these of a file in memory: what they raise ends the operation too, but h5py makes another exception of it.
OF_HDF5 = {(PACKAGE + os.path.join("checkpoint", "image.py"), name)
           for name in ("write", "readinto", "seek", "tell", "truncate", "seekable")}  # fmt: skip


class Injector:
    """Counts the functions that an operation calls on this rank, and raises at the start of one of them."""

    def __init__(self) -> None:
        self.agreed = 0  # how many blocks of Context.agreed and on_root are open
        self.places: list[tuple[str, bool]] = []  # (function, whether its errors are agreed on)
        self._wanted = -1
        self._tell: Callable[[str], None] = lambda place: None
        self._wrap()

    def _wrap(self) -> None:
        """Let every block of agreed work say that it is open."""
        from hpckit.spmd.context import Context

        agreed, on_root = Context.agreed, Context.on_root

        @contextmanager
        def counted(context: Context, what: str) -> Iterator[None]:
            with agreed(context, what), self._inside():
                yield

        def counted_root(context: Context, function: Callable, *args: Any) -> Any:
            def inside(*given: Any) -> Any:
                with self._inside():
                    return function(*given)

            return on_root(context, inside, *args)

        Context.agreed, Context.on_root = counted, counted_root  # type: ignore[method-assign,assignment]

    @contextmanager
    def _inside(self) -> Iterator[None]:
        self.agreed += 1
        try:
            yield
        finally:
            self.agreed -= 1

    def seen(self, operation: Callable[[], Any]) -> list[tuple[str, bool]]:
        """The functions that the operation calls."""
        self.places, self._wanted = [], -1
        self._profiled(operation)
        return self.places

    def raising(self, operation: Callable[[], Any], number: int, tell: Callable[[str], None]) -> None:
        """Run it, with an exception at its `number`-th call."""
        self.places, self._wanted, self._tell = [], number, tell
        self._profiled(operation)

    def _profiled(self, operation: Callable[[], Any]) -> None:
        sys.setprofile(self._event)
        try:
            operation()
        finally:
            sys.setprofile(None)

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        name = frame.f_code.co_filename
        if event != "call" or not name.startswith(PACKAGE) or name in MACHINERY or frame.f_code.co_name in QUIET:
            return
        if (name, frame.f_code.co_name) in OF_HDF5:
            return
        self.places.append((f"{name[len(PACKAGE) :]}:{frame.f_code.co_name}", self.agreed > 0))
        if len(self.places) - 1 == self._wanted:
            self._tell(self.places[-1][0])
            raise ArithmeticError(f"{TEXT} in {self.places[-1][0]}")


class Journal:
    """What root and the rank that raises tell the driver, a line each."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, kind: str, **more: Any) -> None:
        os.write(self._fd, (json.dumps({"kind": kind, "time": time.time(), **more}) + "\n").encode())


def ranks_main(options: argparse.Namespace) -> int:
    """The program that the ranks run: trials from options.start on, until one ends the job."""
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    injector = Injector()
    from operations import operations

    import hpckit as hk

    journal = Journal(options.journal)
    journal.write("rank", pid=os.getpid())
    ctx = hk.world()
    folder = Path(options.folder)
    calls = operations(ctx, folder)
    names = [name for name in sorted(calls) if options.only in name]
    for number in range(options.start, len(names) * options.places):
        name = names[number // options.places]
        chance = random.Random(f"{options.seed} {name} {number % options.places}")
        victim = chance.randrange(ctx.size)
        calls[name]()  # once for what is imported and kept
        places = injector.seen(calls[name])
        wanted = [i for i, (_, agreed) in enumerate(places) if agreed or not options.agreed]
        place = chance.choice(wanted) if wanted else -1
        any_place = ctx.bcast(place >= 0, root=victim)
        if not any_place and options.agreed:
            continue
        if ctx.is_root:
            journal.write("trial", number=number, name=name, victim=victim)
        ctx.bcast(None)
        if ctx.rank == victim and place < 0:
            journal.write("raised", place="in its place")
            raise ArithmeticError(f"{TEXT} in the place of {name}")
        _trial(ctx, injector if ctx.rank == victim else None, calls[name], place, journal, number)
    if ctx.is_root:
        journal.write("end")
    return 0


def _trial(
    ctx: Any, injector: Injector | None, operation: Callable[[], Any], place: int, journal: Journal, number: int
) -> None:
    """One operation; returns if all ranks saw the same: the exception, or none where the place was not passed."""
    caught = None
    try:
        if injector is not None:
            injector.raising(operation, place, lambda where: journal.write("raised", place=where))
        else:
            operation()
    except Exception as error:
        if not getattr(error, "hpckit_agreed", False):
            raise
        caught = error
    texts = ctx.allgather("" if caught is None else str(caught))
    if any(text != texts[0] for text in texts) or (caught is not None and TEXT not in texts[0]):
        raise AssertionError(f"ranks disagree: {texts}")
    if ctx.is_root:
        journal.write("agreed" if caught is not None else "nothing", number=number)


class Driver:
    """Starts jobs until all trials are done; what went wrong is in `wrong`."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.names: set[str] = set()
        self._folder = Path(tempfile.mkdtemp(prefix="hpckit-exceptions-"))

    def run(self) -> None:
        start = 0
        try:
            while start >= 0 and len(self.wrong) < 10:
                start = self._job(start)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _job(self, start: int) -> int:
        """One job; returns the trial to go on with, -1 at the end."""
        from hpckit.spmd.mpirun import find_launcher

        given = self._options
        work = Path(tempfile.mkdtemp(dir=self._folder))
        journal = work / "journal"
        words = [sys.executable, str(Path(__file__)), "--journal", str(journal), "--folder", str(work)]
        words += ["--start", str(start), "--seed", str(given.seed), "--places", str(given.places), "--only", given.only]
        argv, environ = find_launcher().command(RANKS, words + ["--agreed"] * given.agreed, dict(os.environ))
        with open(work / "stdout", "w") as out, open(work / "stderr", "w") as err:
            process = subprocess.Popen(argv, env=environ, stdout=out, stderr=err, start_new_session=True)
            try:
                hung = self._wait(process, journal)
            finally:
                if process.poll() is None:  # whoever asked for the campaign does not want it any more
                    os.killpg(process.pid, signal.SIGKILL)
        ended_s = time.time()
        entries = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
        said = (work / "stderr").read_text()
        self.names |= {entry["name"] for entry in entries if entry["kind"] == "trial"}
        self.counts["raised by all, who went on"] += sum(entry["kind"] == "agreed" for entry in entries)
        self.counts["place not passed"] += sum(entry["kind"] == "nothing" for entry in entries)
        self.counts["trials"] += sum(entry["kind"] == "trial" for entry in entries)
        if entries and entries[-1]["kind"] == "end" and process.returncode == 0:
            return -1
        trials = [entry for entry in entries if entry["kind"] == "trial"]
        if not trials:
            self.wrong.append(f"the job did not begin: status {process.returncode}\n{said[-3000:]}")
            return -1
        self._judge(trials[-1], entries[-1], hung, process.returncode, said, ended_s)
        return trials[-1]["number"] + 1

    def _judge(self, trial: dict, last: dict, hung: bool, status: int, said: str, ended_s: float) -> None:
        """How a job has ended."""
        self.counts["ended the job"] += 1
        what = f"{trial['name']}, rank {trial['victim']}, {last.get('place', 'before it was raised')}"
        ours = said.count("hpckit: ") if not hung else 1
        if hung:
            self.wrong.append(f"{what}: HUNG\n{said[-6000:]}")
        elif last["kind"] != "raised" or status == 0 or TEXT not in said or ours != 1:
            self.wrong.append(f"{what}: status {status}, {ours} messages\n{said[-3000:]}")
        elif ended_s - last["time"] > SECONDS_MAX:
            self.wrong.append(f"{what}: {ended_s - last['time']:.1f} s until the job ended")

    def _wait(self, process: subprocess.Popen[bytes], journal: Path) -> bool:
        """Until the job ends; whether it had to be ended because nothing went on for too long."""
        seen, since_s, limit_s = -1, time.monotonic(), START_S
        while True:
            try:
                process.wait(0.05)
                return False
            except subprocess.TimeoutExpired:
                pass
            size = journal.stat().st_size if journal.exists() else 0
            if size != seen:
                seen, since_s = size, time.monotonic()
                raised = size > 0 and '"raised"' in journal.read_text().splitlines()[-1]
                limit_s = 2 * SECONDS_MAX if raised else START_S
            if time.monotonic() - since_s > limit_s:
                for line in journal.read_text().splitlines() if size else []:
                    entry = json.loads(line)
                    if entry["kind"] == "rank":
                        os.kill(entry["pid"], signal.SIGUSR2)  # says where it is
                time.sleep(2)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return True


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--places", type=int, default=1, help="trials of each operation")
    options.add_argument("--agreed", action="store_true", help="only where all ranks go on with the exception")
    options.add_argument("--only", default="", help="operations whose names contain this")
    options.add_argument("--start", type=int, default=0)
    options.add_argument("--journal")
    options.add_argument("--folder")
    return options.parse_args(argv)


def main() -> int:
    given = parse()
    if given.journal:
        from hpckit.spmd import program

        return program(lambda: ranks_main(given))
    driver = Driver(given)
    driver.run()
    for text in driver.wrong:
        print(text, flush=True)
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(driver.counts.items()))
    print(f"seed {given.seed}: {len(driver.names)} operations, {counts}; {len(driver.wrong)} wrong")
    return 1 if driver.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
