"""Entry and exit of a program on many ranks: the world, errors printed once, exit statuses, and never a hang."""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hpckit.errors import EXIT_INTERNAL, EXIT_OK, Interrupted, RankLost, UserError
from hpckit.spmd.launch import check_world_size, launcher_rank, launcher_size, single_thread

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE
MEET_S = 1.0  # how long a failing rank waits for all others to fail too
MEET_AGREED_S = 10.0  # the same after an agreed error: the others are on their way, cleaning up
ABORT_TIMEOUT_S = 10.0  # how long the others wait to be ended by root's abort
SPEECH_S = 1.0  # how long a rank takes to say why it fails
STAGGER_S = 0.2  # failing ranks time out one after another, so that the first one's abort silences the rest

_world: Context | None = None
_status: int | None = None  # with which the program ends, once that is certain


def world() -> Context:
    """The context of all processes of this job. Collective at the first call, which starts MPI; then Local.

    Raises LaunchError if MPI sees fewer processes than the launcher started.
    """
    global _world
    if _world is None:
        single_thread()
        os.environ.setdefault("MPIR_CVAR_SUPPRESS_ABORT_MESSAGE", "1")  # MPICH: our own message is the one to read
        from hpckit.spmd import failpoints, pulse
        from hpckit.spmd.context import start

        sys.excepthook = _excepthook
        if launcher_size() > 1 or os.environ.get(pulse.PULSE_VARIABLE):
            from hpckit.spmd import orphan

            orphan.follow_launcher()
            pulse.join()
        failpoints.arm_from_environment()
        _world = start(check_world_size)
        pulse.reach(pulse.UP)
        atexit.register(_end_in_order)
    return _world


def program(main: Callable[[], int | None]) -> int:
    """Run `main` and return the process's exit status: `sys.exit(program(main))`. Collective if `main` is.

    A UserError is printed once, as `hpckit: error: …`, and gives 2; anything unexpected is printed once with its
    traceback and rank and gives 1. An error on some ranks only aborts the job with that status after its one message.
    """
    try:
        status = main() or EXIT_OK
        sys.stdout.flush()
    except SystemExit as stop:
        return _leave(_status_of(stop))
    except BaseException as error:
        return _fail(error)
    return _leave(status)


def _status_of(stop: SystemExit) -> int:
    """What Python itself makes of sys.exit(x)."""
    if stop.code is None:
        return EXIT_OK
    if isinstance(stop.code, int):
        return stop.code
    if launcher_rank() == 0:
        print(stop.code, file=sys.stderr)
    return EXIT_INTERNAL


def _end_in_order() -> None:
    """Tell those who watch that this process ends by itself; the launcher knows its status."""
    from hpckit.spmd import pulse

    if _world is not None and os.environ.get(pulse.PULSE_VARIABLE):
        pulse.reach(pulse.ENDED)
        if _world.is_root:
            from hpckit.spmd import telling  # sockets are for those who tell

            telling.tell({"ended": _world.origin, "status": _status})


def _excepthook(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """Uncaught exception in a script that does not use `program`: the same message, and no hang."""
    del kind, trace
    status = _fail(error)
    atexit._run_exitfuncs()
    os._exit(status)  # returning would make it 1


def _fail(error: BaseException) -> int:
    """Print `error` as the last word of this process, and return or abort with its exit status."""
    if isinstance(error, BrokenPipeError):
        silence_stdout()
        return _leave(EXIT_BROKEN_PIPE)
    if isinstance(error, KeyboardInterrupt):
        return _leave(EXIT_INTERRUPTED)
    return _leave(getattr(error, "exit_status", EXIT_INTERNAL), error)


def describe(error: BaseException) -> str:
    """The message of an error as the user sees it: one line for a UserError, else a traceback that names the rank."""
    rank = getattr(error, "hpckit_rank", None)
    if isinstance(error, UserError):
        where = f" (rank {rank})" if rank is not None and _world is not None and _world.size > 1 else ""
        return f"{getattr(error, 'prog', 'hpckit')}: error: {error}{where}"
    if isinstance(error, Interrupted | RankLost):
        return f"hpckit: {error}"
    import traceback

    trace = getattr(error, "hpckit_traceback", None) or "".join(traceback.format_exception(error))
    if rank is None and _world is not None:
        rank = _world.rank
    return f"hpckit: rank {rank or 0} failed:\n{trace.rstrip()}"


def _leave(status: int, error: BaseException | None = None) -> int:
    """Say `error` once in the whole job and end it with `status`."""
    if _world is None:
        # Before MPI starts, ranks mostly fail alike (a wrong option); a bug is printed by whoever has it.
        if error is not None and (launcher_rank() == 0 or not isinstance(error, UserError | RankLost)):
            _say(describe(error))
        return status
    if status == EXIT_OK or _world.size == 1:
        if error is not None:
            _say(describe(error))
        _world.close()
        global _status
        _status = status
        return status
    return _abort(_world, status, error)


def _abort(context: Context, status: int, error: BaseException | None) -> int:
    """End a job of several ranks with a status that is not 0.

    Abort is the only way to a sure exit status: a launcher that sees one rank exit with 2 kills those that are about
    to do the same, and may report the kill instead. Where all ranks fail, they meet first, so that each has cleaned
    up, and root speaks for all; where some go on, the failing rank speaks and ends the job.
    """
    agreed = getattr(error, "hpckit_agreed", False)
    atexit._run_exitfuncs()  # temporary files: an abort runs no exit functions
    _flush_stdout()
    if _all_fail(context, MEET_AGREED_S if agreed else MEET_S + STAGGER_S * min(context.rank, 20)):
        if not context.is_root:
            time.sleep(ABORT_TIMEOUT_S)  # root ends us
            os._exit(status)
    elif error is not None and not hasattr(error, "hpckit_rank"):
        error.hpckit_rank = context.rank  # type: ignore[attr-defined]
    if error is not None:
        from hpckit.spmd import telling

        if telling.may_speak(context.origin):
            _say(describe(error))
        else:
            time.sleep(SPEECH_S)  # the abort would cut the other one short
    context.abort(status)
    return status


def _all_fail(context: Context, timeout_s: float) -> bool:
    """Whether every rank comes here within the time."""
    everyone_is_here = context.meet()
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if everyone_is_here():
            return True
        time.sleep(0.002)
    return False


def _say(message: str) -> None:
    """Write to stderr past any buffering, so that an abort right after cannot lose it."""
    _flush_stdout()
    sys.stderr.write(message.rstrip("\n") + "\n")
    sys.stderr.flush()


def _flush_stdout() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()


def silence_stdout() -> None:
    """Nobody reads stdout any more: keep the interpreter's last flush from complaining."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
