"""Stores of a few lanes stay in their places, whether a length is known to the printer, to LLVM alone, or to nobody."""

from __future__ import annotations

import numpy as np
import pytest
from loop_harness import VECTORS, run

from fnn import dtypes
from fnn.kernels.loops import Builder, Operand

NARROW = {"i1": np.int8, "i2": np.int16, "f2": dtypes.float16, "bf": dtypes.bfloat16, "i4": np.int32}
WAYS = ("known", "folded", "unknown")


def length(b: Builder, way: str, count: int) -> Operand:
    """count, as a constant, as what LLVM finds to be one, or as a number that is passed."""
    if way == "known":
        return count
    size = b.size(count)
    return size if way == "unknown" else (size & 0) | count


SOURCES = ("f4", "i8")


def buffers(b: Builder) -> tuple[list, list]:
    """Arguments of every source, and for each of those one of every narrower type."""
    return [b.argument(s) for s in SOURCES], [
        b.argument(code, output=True) for _ in SOURCES for code in NARROW
    ]


def check(b: Builder, printer: str, first: int, count: int) -> None:
    """Run it on 1 to 40: each result holds the first so many from a place on, and 99 elsewhere."""
    given = [np.arange(1, 41).astype(s) for s in SOURCES]
    results = [np.full(40, 99).astype(dtype) for _ in SOURCES for dtype in NARROW.values()]
    run(b.program, [*given, *results], 1, printer)
    for result in results:
        expected = np.full(40, 99).astype(result.dtype)
        expected[first : first + count] = np.arange(1, count + 1).astype(result.dtype)
        assert np.array_equal(result, expected), (result.dtype, count, result)


@pytest.mark.parametrize("printer", VECTORS)
@pytest.mark.parametrize("way", WAYS)
def test_the_neighbours_of_a_short_store_keep_their_values(printer: str, way: str) -> None:
    for count in (1, 3):
        b = Builder()
        inputs, outputs = buffers(b)
        with b.lanes(0, length(b, way, count)) as i:
            for k, out in enumerate(outputs):
                b.store(out, i, b.cast(b.load(inputs[k // len(NARROW)], i), out.dtype))
        check(b, printer, 0, count)


@pytest.mark.parametrize("printer", VECTORS)
@pytest.mark.parametrize("way", WAYS)
def test_conditions_that_hold_for_one_lane(printer: str, way: str) -> None:
    """Under a condition on the index, forwards and backwards."""
    for turned in (False, True):
        b = Builder()
        inputs, outputs = buffers(b)
        only = b.as_value(length(b, way, 1), "i8")
        with b.lanes(0, 40) as i, b.when(i < only):
            for k, out in enumerate(outputs):
                b.store(out, 39 - i if turned else i, b.cast(b.load(inputs[k // len(NARROW)], i), out.dtype))
        check(b, printer, 39 if turned else 0, 1)
