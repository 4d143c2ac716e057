"""Distributed arrays on one rank against NumPy: every expression on every dtype and shape."""

from __future__ import annotations

import warnings

import array_cases as cases
import numpy as np
import pytest

import hpckit as hk

ARRAYS = cases.arrays()
EXACT = [(c, a) for c, (kinds, ndim, _) in cases.EXACT.items() for a in ARRAYS if cases.applies(ARRAYS[a], kinds, ndim)]
CLOSE = [(c, a) for c, (kinds, ndim, _) in cases.CLOSE.items() for a in ARRAYS if cases.applies(ARRAYS[a], kinds, ndim)]
CLOSE = [(c, a) for c, a in CLOSE if a != "i8 extreme"]  # where NumPy's own rounding is off by all there is


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(("case", "name"), EXACT)
def test_equal_to_numpy(case: str, name: str) -> None:
    array = ARRAYS[name].copy()
    expression = cases.EXACT[case][2]
    cases.same(cases.whole(expression(hk.arrays.array(array))), expression(array))
    cases.same(array, ARRAYS[name])


@pytest.mark.parametrize(("case", "name"), CLOSE)
def test_close_to_numpy(case: str, name: str) -> None:
    array = ARRAYS[name]
    expression = cases.CLOSE[case][2]
    cases.same(cases.whole(expression(hk.arrays.array(array))), expression(array), tolerance=1e-9)
