"""New arrays against NumPy's; what is refused, each with its message."""

from __future__ import annotations

from collections.abc import Callable

import array_cases as cases
import numpy as np
import pytest

import hpckit as hk

A = hk.arrays
NEW = {
    "zeros": lambda m: m.zeros((3, 2)),
    "zeros int": lambda m: m.zeros(4, np.int16),
    "ones": lambda m: m.ones(5, "f4"),
    "full": lambda m: m.full((2, 3), 7),
    "full bytes": lambda m: m.full(3, b"ab"),
    "arange": lambda m: m.arange(10),
    "arange start": lambda m: m.arange(3, 50, 7),
    "arange back": lambda m: m.arange(10, -5, -2),
    "arange nothing": lambda m: m.arange(5, 2),
    "arange to a float": lambda m: m.arange(4.0),
    "arange float": lambda m: m.arange(0, 3, 0.1),
    "arange f4": lambda m: m.arange(1, 2, 0.03, dtype="f4"),
    "arange u1": lambda m: m.arange(7, dtype="u1"),
    "linspace": lambda m: m.linspace(-1, 2.5, 37),
    "linspace open": lambda m: m.linspace(0, 1, 10, endpoint=False),
    "linspace one": lambda m: m.linspace(3, 9, 1),
    "linspace none": lambda m: m.linspace(3, 9, 0),
    "linspace int": lambda m: m.linspace(0, 9, 7, dtype=int),
    "like": lambda m: [f(m.zeros((3, 2))) for f in (np.ones_like, np.zeros_like)],
    "full like": lambda m: np.full_like(m.zeros(3), 9, dtype="i4"),
}


@pytest.mark.parametrize("name", NEW)
def test_new_arrays_are_numpys(name: str) -> None:
    cases.same(cases.whole(NEW[name](A)), NEW[name](np))


def test_functions_of_the_index() -> None:
    cases.same(A.from_function(lambda i: i * i, 9).gather(), np.arange(9) ** 2)
    grid = A.from_function(lambda i, j: 10 * i + j, (4, 3))
    cases.same(grid.gather(), np.fromfunction(lambda i, j: 10 * i + j, (4, 3), dtype=np.int64))
    cases.same(A.from_function(lambda i: 1.5, (2,)).gather(), np.full(2, 1.5))
    with pytest.raises(hk.UserError, match=r"gave shape \(2,\) for a block of shape \(5,\)"):
        A.from_function(lambda i: np.zeros(2), 5)


def test_what_it_is() -> None:
    x = A.array(np.zeros((4, 3), "f4"))
    assert (x.shape, x.ndim, x.size, x.nbytes, x.itemsize, len(x)) == ((4, 3), 2, 12, 48, 4, 4)
    assert repr(A.arange(3)) == "DistArray(shape=(3,), dtype=int64, rows 0:3 on rank 0 of 1: [0, 1, 2])"
    assert "..." in repr(A.arange(10**6)) and len(repr(A.arange(10**6))) < 150
    assert (float(A.full(1, 2.5)), int(A.full(1, 3)), bool(A.full(1, 0)), A.full(1, 4).item()) == (2.5, 3, False, 4)
    assert 3 in A.arange(5) and 7 not in A.arange(5)
    local = np.arange(4.0)
    assert np.shares_memory(A.from_local(local).local, local)
    assert set(A.__dir__()) >= {"DistArray", "sort", "from_hdf5"} and hk.arrays is A


def test_names_that_modules_share() -> None:
    import importlib

    importlib.import_module("hpckit.arrays.array")
    assert callable(hk.arrays.array) and hk.arrays.array([1, 2]).sum() == 3


X = A.arange(10.0)
Y = A.zeros((4, 3))
REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: A.from_local(np.array([None, 1])), "dtype object is not supported: an array holds bool"),
    (lambda: A.from_local(np.array(["a"])), "<U1 is not supported.*np.char.encode"),
    (lambda: A.from_local(np.zeros(2, [("a", int)])), "structured .*one array of each field"),
    (lambda: A.from_local(np.zeros(2, np.longdouble)), "float128 is not supported.*astype\\(np.float64\\)"),
    (lambda: A.from_local(3.5), "a scalar .*has no first axis"),
    (lambda: A.from_local([[1, 2], [3]]), "no rectangular array.*equal length"),
    (lambda: A.zeros(-3), "none negative"),
    (lambda: A.zeros(()), "at least one dimension"),
    (lambda: A.zeros(2.5), "shape 2.5: expected an integer"),
    (lambda: A.zeros(2, "no such"), "is no dtype"),
    (lambda: A.arange(0, 5, 0), "step 0"),
    (lambda: X + np.zeros(4), r"np.add: shapes \(10,\) and \(4,\) do not broadcast"),
    (lambda: X + Y, "do not broadcast"),
    (lambda: np.sqrt(A.array([b"a"])), "np.sqrt: .*not supported"),
    (lambda: np.add(X, 1, out=Y), r"out has shape \(4, 3\), the result \(10,\)"),
    (lambda: np.add(X, 1, out=np.zeros(10)), "out is ndarray; expected a distributed array"),
    (lambda: np.add(X, X, out=A.zeros(10, int)), "np.add: Cannot cast"),
    (lambda: X @ X, "np.matmul is not offered"),
    (lambda: np.add.outer(X, X), r"np.add.outer is not offered"),
    (lambda: np.subtract.reduce(X), "np.subtract.reduce is not offered.*np.add"),
    (lambda: np.linalg.norm(Y), "np.norm is not offered.*gather"),
    (lambda: np.sum(X, where=[True] * 10), "where= is not offered"),
    (lambda: np.asarray(X), "would gather a distributed array of 80 bytes"),
    (lambda: list(X), "iterating"),
    (lambda: bool(X), "truth value .*any"),
    (lambda: X[10], "index 10 is out of range for a first axis of 10 rows"),
    (lambda: X[-11], "index -11 is out of range"),
    (lambda: X[[0, 10]], "index 10 is out of range"),
    (lambda: X[1, 2], "2 indices for an array of 1"),
    (lambda: Y[:, 5], "out of bounds"),
    (lambda: X[None], "np.newaxis before the first axis"),
    (lambda: X["a"], "expected slices, integers, a boolean mask"),
    (lambda: X[1.5], "expected slices, integers"),
    (lambda: X[True], "True alone"),
    (lambda: X[A.zeros(3, bool)], r"mask of shape \(3,\) for an array of shape \(10,\)"),
    (lambda: X[A.zeros(10)], "distributed array of dtype float64; expected integers or booleans"),
    (lambda: A.zeros((2, 2, 2))[:, [0], [1]], "more than one array"),
    (lambda: X.__setitem__(slice(None, None, -1), 1), "positive step"),
    (lambda: X.__setitem__(slice(0, 3), np.zeros(4)), "do not broadcast"),
    (lambda: X.__setitem__([1, 2], 0), "row numbers is not offered"),
    (lambda: X.take([99]), "index 99 is out of range"),
    (lambda: X.take([0.5]), "expected integers"),
    (lambda: X.sum(axis=1), "axis 1 is out of range: the array has 1"),
    (lambda: X.sum(axis="a"), "axis 'a': expected an integer"),
    (lambda: Y.sum(axis=(0, 0)), "names an axis twice"),
    (lambda: A.array([b"a"]).sum(), r"sum: there is none of dtype \|S1"),
    (lambda: A.zeros(0).min(), r"min: no values in an array of shape \(0,\)"),
    (lambda: A.zeros(0).argmax(), "argmax: no values"),
    (lambda: A.array([1j]).max(), "complex128 has no order"),
    (lambda: X.var(ddof=-1), "ddof -1: expected an integer >= 0"),
    (lambda: X.var(ddof=0.5), "ddof 0.5"),
    (lambda: X.mean(dtype=int), "expected a float"),
    (lambda: X.quantile(1.5), "q = 1.5: expected numbers from 0 to 1"),
    (lambda: X.quantile(0.5, method="weibull"), "method 'weibull': expected one of linear"),
    (lambda: A.zeros(0).quantile(0.5), "no values"),
    (lambda: A.bincount(A.array([3, -1])), "holds -1; expected integers >= 0"),
    (lambda: A.bincount(X), "bincount: there is none of dtype float64"),
    (lambda: A.bincount(A.array([1 << 60])), "needs .* memory budget"),
    (lambda: A.histogram(X, "auto"), "estimators are not offered"),
    (lambda: A.histogram(X, 0), "bins"),
    (lambda: A.histogram(X, [3, 1]), "monotonically"),
    (lambda: A.histogram(A.array([1.0, np.nan])), "range="),
    (lambda: A.histogram(X, weights=Y), "weights of shape"),
    (lambda: A.unique(Y, axis=1), "rows as values are not offered"),
    (lambda: X[::-1].searchsorted(3), "not sorted: 9.0 comes before 0.0"),
    (lambda: X.searchsorted(3, "middle"), "side 'middle'"),
    (lambda: X.redistribute(counts=[3, 4, 5]), "expected 1 numbers"),
    (lambda: X.redistribute(counts=[3]), "blocks of 3 rows in all for an array of 10"),
    (lambda: X.gather("somewhere"), "to='somewhere': expected 'all' or 'root'"),
    (lambda: X.reshape(3, 4), r"shape .* for 10 elements"),
    (lambda: A.concatenate([X, Y]), "differ outside axis"),
    (lambda: A.concatenate([X, [1]]), "all distributed"),
    (lambda: A.sum([1, 2]), "list is no distributed array"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_refused_with_a_message(number: int) -> None:
    action, message = REFUSED[number]
    with pytest.raises(hk.UserError, match=message):
        action()


def test_gather_is_refused_above_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(X.context), "memory_budget", lambda self: 1000)
    assert len(A.zeros(125).gather()) == 125
    with pytest.raises(hk.UserError, match=r"shape \(126,\).*1008 B on a rank, whose memory budget is 1000 B.*slice"):
        A.zeros(126).gather()


def test_a_function_that_drops_indices_is_refused() -> None:
    with pytest.raises(hk.UserError, match=r"gave shape \(1,\) for a block of shape \(10,\)"):
        hk.arrays.from_function(lambda i: i[:1], 10)
    assert hk.arrays.from_function(lambda i: i[:1], 1).gather().tolist() == [0]
    assert hk.arrays.from_function(lambda i, j: j, (2, 3)).gather().tolist() == [[0, 1, 2]] * 2


@pytest.mark.parametrize(
    ("bins", "text"), [(0, "bins=0: expected a whole number"), (10**12, "memory budget"), (2.5, "2.5")]
)
def test_bins_that_cannot_be(bins: float, text: str) -> None:
    with pytest.raises(hk.HpckitError, match=text):
        hk.arrays.histogram(hk.arrays.arange(5), bins=bins)
