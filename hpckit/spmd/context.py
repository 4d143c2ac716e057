"""The context of a set of ranks: who we are, agreeing on errors, small collectives, and tables between ranks."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from hpckit.errors import InternalError, RankLost
from hpckit.spmd import exchange, pulse, recovery, route
from hpckit.spmd.library import MPI
from hpckit.spmd.memory import default_budget_bytes
from hpckit.spmd.profile import Profile
from hpckit.spmd.progress import Progress
from hpckit.spmd.waiting import Watched

T = TypeVar("T")
OPERATIONS = {"sum": MPI.SUM, "min": MPI.MIN, "max": MPI.MAX}


class Context:
    """A communicator and everything done on it. Objects keep the context, never the communicator, so that recovery
    can put another communicator in its place.

    rank, size   this process and how many there are
    node_size    how many of them run on this node
    profile      seconds, bytes, rows and messages per phase
    surviving    whether this job goes on when ranks die (`hpckit run --survive`): then every operation that talks to
                 other ranks may raise RankLost, and recover() goes on with fewer
    epoch        how many recoveries there were
    origin       this process's rank in the first world: its name through all recoveries
    origins      the origins of all ranks of now, in rank order
    """

    def __init__(self, communicator: MPI.Intracomm) -> None:
        """Collective: duplicates `communicator`."""
        self._watched = Watched(communicator.Dup()) if recovery.asked_to_survive() else None
        self.surviving: bool = self._watched is not None
        self._comm: Any = self._watched or communicator.Dup()
        self._meeting: MPI.Comm = communicator.Dup()  # failing ranks meet here, whatever the others are doing
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        self.origin: int = self.rank
        self.origins: tuple[int, ...] = tuple(range(self.size))
        self.epoch = 0
        node = communicator.Split_type(MPI.COMM_TYPE_SHARED)
        self.node_size: int = node.Get_size()
        if self.surviving:
            self._first = communicator.Get_group()
            self._on_node = frozenset(recovery.origins_of(node, self._first))
        node.Free()
        self._agreed_lost = False
        self.profile = Profile()

    @property
    def is_root(self) -> bool:
        return self.rank == 0

    # Errors

    @contextmanager
    def agreed(self, what: str) -> Iterator[None]:
        """Local work that may fail; at its end the error of the first failing rank is raised on every rank.

        Collective at the end, so no collective call inside. `what` says what was done, e.g. "parsing bgl.log".
        """
        error: Exception | None = None
        try:
            yield
        except RankLost:
            raise  # not an error of this work, and the others see it as well
        except Exception as caught:
            error = caught
        self._raise_agreed(error, what)

    def _raise_agreed(self, error: Exception | None, what: str) -> None:
        """Collective: return if no rank has an error, else raise that of the first failing rank everywhere."""
        pulse.beat()
        if self.size == 1 and error is None:
            return
        state = np.array([self.size if error is None else self.rank, -int(error is None)], np.int64)
        self._comm.Allreduce(MPI.IN_PLACE, state, MPI.MIN)
        failing, some_succeeded = int(state[0]), bool(state[1])
        if failing == self.size:
            return
        sent = self._comm.bcast(_describe_failure(error, what) if self.rank == failing else None, root=failing)
        raise _agreed_error(sent, failing if some_succeeded else None, error if self.rank == failing else None)

    def on_root(self, function: Callable[..., T], *args: Any) -> T:
        """Call function(*args) on rank 0 and return its (picklable) result on all ranks. Collective.

        An error of the function is raised on all ranks.
        """
        result, failure, error = None, None, None
        if self.is_root:
            try:
                result = function(*args)
            except RankLost:
                raise
            except Exception as caught:
                error, failure = caught, _describe_failure(caught, getattr(function, "__name__", "root's work"))
        result, failure = self._comm.bcast((result, failure), root=0)
        if failure is not None:
            raise _agreed_error(failure, None, error)
        return result  # type: ignore[return-value]

    # Small metadata (pickled) and numbers

    def bcast(self, value: T, root: int = 0) -> T:
        """The `value` of rank `root` on every rank. Collective; small metadata only."""
        return self._comm.bcast(value, root=root)

    def gather(self, value: T, root: int = 0) -> list[T] | None:
        """All values in rank order on `root`, None elsewhere. Collective; small metadata only."""
        return self._comm.gather(value, root=root)

    def allgather(self, value: T) -> list[T]:
        """All values in rank order on every rank. Collective; small metadata only."""
        return self._comm.allgather(value)

    def allreduce(self, value: Any, operation: str = "sum") -> Any:
        """Element-wise "sum", "min" or "max" over the ranks of an int or an array of one shape. Collective.

        Float sums are refused: their result would depend on the number of ranks.
        """
        if operation not in OPERATIONS:
            raise InternalError(f"allreduce operation {operation!r}: expected one of {', '.join(OPERATIONS)}")
        array = np.array(value, dtype=np.int64 if isinstance(value, int) else None, order="C")
        if operation == "sum" and array.dtype.kind not in "iub":
            raise InternalError(f"allreduce sum of {array.dtype}: expected integers; float sums depend on the order")
        if array.dtype.kind == "b":
            array = array.astype(np.int64)
        self._comm.Allreduce(MPI.IN_PLACE, array, OPERATIONS[operation])
        return int(array) if isinstance(value, int) else array

    def exscan_sum(self, value: int) -> int:
        """Sum of `value` over the ranks before this one, 0 on rank 0. Collective."""
        send, received = np.array([value], np.int64), np.zeros(1, np.int64)
        self._comm.Exscan(send, received, MPI.SUM)
        return 0 if self.is_root else int(received[0])

    # Tables

    def hash_rows(self, table: pa.Table, by: list[str]) -> np.ndarray:
        """64-bit hash of the key columns of each row, equal on every rank and run. Local."""
        return route.hash_rows(table, by)

    def destinations(self, hashes: np.ndarray) -> np.ndarray:
        """The rank (int32) that owns each hash. Local."""
        return route.destinations(hashes, self.size)

    def exchange(self, table: pa.Table, destinations: np.ndarray, keep_coded: bool = False) -> pa.Table:
        """Send row i of `table` to rank destinations[i]; returns the rows sent here. Collective.

        Rows arrive in the order of (source rank, source row). All ranks pass tables of one schema, possibly empty.
        Data goes in bounded rounds; rows and contents are checked, and a mismatch raises InternalError everywhere.
        Dictionaries arrive as plain columns; with `keep_coded` columns of type spmd.coded.KIND arrive as they are.
        """
        return exchange.exchange(self, table, destinations, keep_coded=keep_coded)

    def exchange_array(self, array: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Send the first counts[0] rows of `array` (N-D, rows along its first axis) to rank 0, the next to rank 1, ….

        Collective. Returns the rows sent here, by rank, and how many came from each. All ranks pass arrays of one dtype
        and row shape, of any size; contents are checked, and a mismatch raises InternalError everywhere.
        """
        from hpckit.spmd import arrays

        return arrays.exchange(self, array, counts)

    def gather_table(self, table: pa.Table, root: int = 0) -> pa.Table | None:
        """All rows in rank order on `root`, None elsewhere. Collective."""
        here = exchange.exchange(self, table, np.full(table.num_rows, root, np.int32))
        return here if self.rank == root else None

    def bcast_table(self, table: pa.Table | None, root: int = 0) -> pa.Table:
        """The `table` of rank `root` on every rank. Collective."""
        return exchange.bcast_table(self, table, root)

    def send_table(self, table: pa.Table, dest: int) -> None:
        """Send `table` to rank `dest`, which calls recv_table. Returns once it may be dropped; may wait for `dest`."""
        exchange.send_table(self, table, dest)

    def recv_table(self, source: int) -> pa.Table:
        """The next table that rank `source` sent here. Waits for it."""
        return exchange.recv_table(self, source)

    # Profile

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time of this block counts for phase `name`; an inner phase stops the clock of the outer. Local."""
        self.profile.enter(name)
        try:
            yield
        finally:
            self.profile.leave()

    def count(self, bytes: int = 0, rows: int = 0, messages: int = 0, spilled_bytes: int = 0) -> None:
        """Add to the figures of the current phase. Local."""
        pulse.beat()
        self.profile.count(bytes, rows, messages, spilled_bytes)

    def progress(self, label: str, bytes_total: int, bytes_own: int) -> Progress:
        """Progress of a scan of `bytes_total` bytes, `bytes_own` of them on this rank; see Progress. Local."""
        return Progress(self.rank, label, bytes_total, bytes_own, ranks=self.size)

    def memory_budget(self, asked_bytes: int | None = None) -> int:
        """Bytes this rank may use: what --memory says, else 70 % of the node's memory over its ranks. Local."""
        return asked_bytes if asked_bytes is not None else default_budget_bytes(self.node_size)

    def write_profile(self, path: str) -> None:
        """Write the profile of all ranks to `path` as JSON. Collective."""
        everyone = self.gather(self.profile.to_dict())
        self.on_root(Profile.write, path, everyone)

    # Survival

    def check(self) -> None:
        """RankLost if a rank is known to have died, else nothing; to be called between batches of long local work.
        Local: about a microsecond, and none at all in a job that does not survive losses."""
        pulse.beat()
        if self._watched is not None:
            self._watched.check()

    def settle(self) -> None:
        """RankLost on every survivor if any rank died or saw a death before all came here, else nothing on any.

        Collective. What `settle` returned from, no rank takes back: it stands between work and its commit. Without
        survival there is nothing to agree on.
        """
        if self._watched is not None and not recovery.agree(self._watched.raw, True):
            self._agreed_lost = True
            self._watched.lost()

    def recover(self) -> recovery.Loss:
        """Go on without the ranks that died. Collective over the survivors, after RankLost on each of them.

        This context then has a new rank, size, node_size and epoch; what it had under way is given up, and all ranks
        start again from the state that each one keeps. Ranks keep their order. A rank that dies meanwhile is lost too.
        """
        if self._watched is None:
            raise InternalError("recover() in a job that was not started with `hpckit run --survive`")
        before = self.origins
        self._watched.give_up()
        if not self._agreed_lost:
            recovery.agree(self._watched.raw, False)  # ranks in settle() wait for us there
        communicator, self._meeting = recovery.shrink(self._watched.raw)
        self._comm = self._watched = Watched(communicator)
        self._agreed_lost = False
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()
        self.origins = recovery.origins_of(communicator, self._first)
        self.node_size = len(self._on_node.intersection(self.origins))
        self.epoch += 1
        loss = recovery.describe(self.epoch, before, self.origins)
        if self.is_root:
            from hpckit.spmd import telling  # sockets are for those who tell

            telling.tell({"lost": str(loss)})
        return loss

    # The end

    def meet(self) -> Callable[[], bool]:
        """Start to wait for every rank to call this too; the returned function says whether all have. It is for ranks
        that fail while others may not, so it does not block and has a communicator of its own."""
        return recovery.meeting(self._meeting)

    def close(self) -> None:
        """End MPI in order. Collective, and nothing of MPI may be called afterwards.

        A job that survives losses leaves MPI as it is, for its end may wait for the dead; but all leave together, since
        to those that still work a rank that has left is one that died."""
        if self._watched is not None:
            recovery.agree(self._watched.raw, True)
        elif not MPI.Is_finalized():
            self._comm.Free()
            self._meeting.Free()
            MPI.Finalize()

    def abort(self, status: int) -> None:
        """End the whole job now with this exit status."""
        if self.surviving:  # there MPI's abort is one more death to the others
            from hpckit.spmd import telling  # sockets are for those who tell

            telling.tell({"ended": self.origin, "status": status, "abort": True})
        time.sleep(0.05)  # let the launcher forward what was just printed
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # our message was the last word: MPICH adds one of its own
        MPI.COMM_WORLD.Abort(status)


def start(check_world_size: Callable[[int, str], None]) -> Context:
    """Start MPI and return the context of the world. Collective. Raises LaunchError for a wrong launcher."""
    check_world_size(MPI.COMM_WORLD.Get_size(), MPI.Get_library_version())
    pa.set_cpu_count(1)  # one compute thread a rank: the ranks are the parallelism
    pa.set_io_thread_count(1)
    if not recovery.asked_to_survive():
        return Context(MPI.COMM_WORLD)
    try:
        return Context(MPI.COMM_WORLD)
    except MPI.Exception as error:
        raise RankLost("a rank died while the job was starting up") from error


def _describe_failure(error: Exception | None, what: str) -> tuple[bytes | None, str, str]:
    """(pickled error or None, its text, its traceback): what other ranks need to raise it too."""
    assert error is not None
    import traceback

    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)
    except Exception:  # an exception class with an unusual constructor
        pickled = None
    text = f"{what}: {type(error).__name__}: {error}"
    return pickled, text, "".join(traceback.format_exception(error))


def _agreed_error(failure: tuple[bytes | None, str, str], rank: int | None, own: Exception | None) -> Exception:
    """The error to raise on this rank; `rank` is named in messages unless every rank failed or root acted for all."""
    pickled, text, trace = failure
    error: Any = own if own is not None else InternalError(text) if pickled is None else pickle.loads(pickled)
    error.hpckit_agreed = True
    error.hpckit_rank = rank
    error.hpckit_traceback = trace
    return error
