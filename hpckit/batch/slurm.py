"""Calling Slurm's programs: each call has a time limit, and each failure becomes one sentence with its remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence

from hpckit.errors import UserError
from hpckit.frozen import frozen

TIMEOUT_S = 30.0
TIMEOUT_VARIABLE = "HPCKIT_SLURM_TIMEOUT"
KILL_GRACE_S = 2.0
UNCONFIGURED = ("establish a configuration source", "Unable to process configuration file")
REFUSED = "Slurm refuses the job: "


class SlurmError(UserError):
    """Slurm is not here, does not answer, or refuses; names what was asked and what to do."""


class UnknownJobError(SlurmError):
    """Slurm knows no job of this number (any more)."""


@frozen
class Answer:
    """What a Slurm program said."""

    status: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """Its error text on one line, without the program's own prefixes."""
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines()]
        words = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in lines if line]
        return "; ".join(words) or f"exit status {self.status}"


def timeout_s() -> float:
    """Seconds that a Slurm program gets to answer; HPCKIT_SLURM_TIMEOUT overrides."""
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        return float(text) if text else TIMEOUT_S
    except ValueError:
        raise SlurmError(f"{TIMEOUT_VARIABLE}={text!r} is not a number of seconds") from None


class Question:
    """One of Slurm's programs under way: several can be asked at once."""

    def __init__(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        stdin: str | None = None,
        environ: Mapping[str, str] | None = None,
        limit_s: float | None = None,
    ) -> None:
        """Start it. Raises SlurmError if it is not here."""
        path = shutil.which(program)
        if path is None:
            raise SlurmError(
                f"no Slurm here: {program} is not on PATH; go to a login node of the cluster (or `module load slurm`), "
                "or run without a batch system: `hpckit run -n N -- …`"
            )
        self._program = program
        self._limit_s = timeout_s() if limit_s is None else limit_s
        self._deadline_s = time.monotonic() + self._limit_s
        self._answer: Answer | None = None
        file = None if stdin is None else _file_of(stdin)
        try:
            self._process = subprocess.Popen(
                [path, *arguments],
                stdin=subprocess.DEVNULL if file is None else file,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={**(os.environ if environ is None else environ), "LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"},
                start_new_session=True,
            )
        except OSError as error:
            raise SlurmError(f"{path} cannot be started: {error.strerror}") from error
        finally:
            if file is not None:
                os.close(file)

    def answer(self) -> Answer:
        """Wait for what it says. Raises SlurmError if it does not answer in time, or cannot."""
        if self._answer is None:
            self._answer = self._wait()
        return self._answer

    def _wait(self) -> Answer:
        try:
            stdout, stderr = self._process.communicate(timeout=max(0.0, self._deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.drop()
            raise SlurmError(
                f"{self._program} did not answer within {self._limit_s:g} s: Slurm's controller is down or very busy; "
                f"ask `scontrol ping` and try again later ({TIMEOUT_VARIABLE}=SECONDS waits longer)"
            ) from None
        answer = Answer(self._process.returncode, stdout, stderr)
        if answer.status and any(words in answer.stderr for words in UNCONFIGURED):
            raise SlurmError(
                f"Slurm is installed here, but knows no cluster ({answer.complaint.rpartition('; ')[2]}); go to a "
                "login node, or set SLURM_CONF; without a batch system there is `hpckit run -n N -- …`"
            )
        if answer.status and _is_down(answer.stderr):
            raise SlurmError(
                f"Slurm's controller does not answer ({answer.complaint}); ask `scontrol ping`, try again later"
            )
        return answer

    def drop(self) -> None:
        """End it, unless it has ended: its answer is not of interest any more."""
        if self._process.poll() is None:
            _end(self._process)


def _file_of(text: str) -> int:
    """A file in memory that holds `text`, read whenever its reader comes to it."""
    file = os.memfd_create("script")
    os.write(file, text.encode())
    os.lseek(file, 0, os.SEEK_SET)
    return file


def call(
    program: str,
    arguments: Sequence[str],
    *,
    stdin: str | None = None,
    environ: Mapping[str, str] | None = None,
    limit_s: float | None = None,
) -> Answer:
    """Run one of Slurm's programs. Raises SlurmError if it is not here or does not answer in time."""
    return Question(program, arguments, stdin=stdin, environ=environ, limit_s=limit_s).answer()


def _end(process: subprocess.Popen[str]) -> None:
    """End a program that does not answer; whatever still holds its pipes is not waited for."""
    process.terminate()
    try:
        process.communicate(timeout=KILL_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _is_down(text: str) -> bool:
    return any(words in text for words in ("Unable to contact slurm controller", "Connection refused", "timed out"))


def submit(script: str, arguments: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> str:
    """Hand `script` to sbatch and return the job's number. Raises SlurmError with what sbatch objects to."""
    answer = call("sbatch", ["--parsable", *arguments], stdin=script, environ=environ)
    job = answer.stdout.strip().partition(";")[0]
    if answer.status or not job.isdigit():
        from hpckit.batch.refusals import explain

        raise SlurmError(explain(answer.complaint, script))
    return job


def ask_verdict(script: str, environ: Mapping[str, str] | None = None) -> Question:
    """Ask whether Slurm would take `script`, without submitting it."""
    return Question("sbatch", ["--test-only"], stdin=script, environ=environ)


def verdict(script: str, question: Question) -> tuple[bool, str]:
    """(accepted, Slurm's words) for `script`, which `question` is about."""
    answer = question.answer()
    if answer.status:
        from hpckit.batch.refusals import explain

        return False, explain(answer.complaint, script)
    return True, answer.complaint if answer.stderr else "accepted"


def cancel(jobs: Sequence[str]) -> None:
    """scancel; a job that has ended already is no error. Raises SlurmError."""
    answer = call("scancel", list(jobs))
    if answer.status and "already completing or completed" not in answer.stderr:
        raise SlurmError(f"scancel {' '.join(jobs)}: {answer.complaint}")
