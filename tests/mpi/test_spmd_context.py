"""Agreement on errors, root-only work, small collectives, and the profile of all ranks."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from hpckit.errors import FormatError, InternalError

pytestmark = pytest.mark.mpi


class AwkwardError(Exception):
    """Does not survive pickling: its constructor takes two arguments and passes on one."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def test_agreed_passes_when_nobody_fails(context) -> None:
    with context.agreed("nothing"):
        value = context.rank
    assert context.allreduce(value) == sum(range(context.size))


def test_agreed_raises_the_first_failing_rank_s_error_everywhere(context) -> None:
    failing = list(range(context.size // 2, context.size))
    with pytest.raises(FormatError) as caught, context.agreed("parsing"):
        if context.rank in failing:
            raise FormatError(f"rank {context.rank} says no")
    assert str(caught.value) == f"rank {failing[0]} says no"
    assert caught.value.hpckit_rank == (failing[0] if context.size > 1 else None)


def test_agreed_with_an_exception_that_does_not_pickle(context) -> None:
    last = context.size - 1
    with pytest.raises((AwkwardError, InternalError), match="ab") as caught, context.agreed("odd work"):
        if context.rank == last:
            raise AwkwardError("a", "b")
    assert "AwkwardError" in caught.value.hpckit_traceback


def test_on_root_gives_its_result_to_all_and_its_error_too(context) -> None:
    assert context.on_root(lambda a, b: a + b, 2, 3) == 5
    with pytest.raises(FormatError, match="only here"):
        context.on_root(_fail)


def _fail() -> None:
    raise FormatError("only here")


def test_small_collectives(context) -> None:
    assert context.bcast({"r": context.rank}, root=context.size - 1) == {"r": context.size - 1}
    assert context.allgather(context.rank) == list(range(context.size))
    assert context.gather(context.rank) == (list(range(context.size)) if context.is_root else None)
    assert context.exscan_sum(context.rank + 1) == sum(range(context.rank + 1))


def test_allreduce_of_numbers_and_arrays(context) -> None:
    assert context.allreduce(context.rank, "max") == context.size - 1
    assert context.allreduce(1 << 40) == context.size << 40
    array = np.array([context.rank, -context.rank, 5])
    assert context.allreduce(array, "min").tolist() == [0, 1 - context.size, 5]
    assert array.tolist() == [context.rank, -context.rank, 5], "the argument stays as it was"
    assert context.allreduce(np.array([context.rank / 2]), "max").tolist() == [(context.size - 1) / 2]
    assert context.allreduce(np.zeros(0, np.int64)).tolist() == []


def test_float_sums_are_refused(context) -> None:
    with pytest.raises(InternalError, match="float sums depend on the order"):
        context.allreduce(np.array([0.1]))


def test_node_size_counts_the_ranks_here(context) -> None:
    assert context.node_size == context.size  # one node


def test_profile_of_all_ranks(context, shared_path) -> None:
    with context.phase("alpha"):
        context.count(bytes=100 * (context.rank + 1), rows=1)
        with context.phase("beta"):
            time.sleep(0.05)
            context.count(messages=2)
    path = shared_path / "profile.json"
    context.write_profile(str(path))
    profile = json.loads(path.read_text())
    alpha, beta = profile["phases"]["alpha"], profile["phases"]["beta"]
    assert profile["ranks"] == context.size
    assert alpha["bytes"] == [100 * (r + 1) for r in range(context.size)]
    assert alpha["skew"]["bytes"] == pytest.approx(
        context.size / (sum(range(1, context.size + 1)) / context.size), rel=1e-3
    )
    assert beta["messages"] == [2] * context.size
    assert min(beta["seconds"]) >= 0.05 > max(alpha["seconds"]), "time counts for the innermost phase"
    assert all(peak > 1 << 20 for peak in profile["memory_peak_bytes"])
