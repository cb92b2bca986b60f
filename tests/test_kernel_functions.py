"""Functions of mathematics that a kernel calls instead of holding copies of them, and what is rare in them."""

from __future__ import annotations

import numpy as np
import pytest
from loop_harness import PRINTERS, run

from fnn.kernels.cpu import llvm_printer
from fnn.kernels.loops import Builder, Program

every_printer = pytest.mark.parametrize("printer", PRINTERS)


def chain(dtype: str, count: int, width: int) -> Program:
    """sin of sin of ... of an array's elements."""
    b = Builder()
    x, out = b.argument(dtype), b.argument(dtype, output=True)
    n = b.size(75)
    with b.tiles(), b.lanes(0, n, width) as i:
        v = b.load(x, i)
        for _ in range(count):
            v = b.math("sin", v) * 1.5
        b.store(out, i, v)
    return b.program


@pytest.mark.parametrize("count", [1, 2, 25])
def test_a_kernel_holds_one_copy_of_what_is_used_often(count: int) -> None:
    text = llvm_printer.emit(chain("f4", count, 1), "kernel", 64)
    # what is rare in a sine is one function always, the sine another one from some number of uses on
    assert text.count("define internal") == (2 if count == 25 else 1)
    assert text.count("cold") == 1
    assert text.count("define void @kernel") == 1


@every_printer
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_called_functions(dtype: str, width: int, printer: str) -> None:
    """Whole vectors and a masked rest, with some lanes that take the rare way and some that do not."""
    given = np.linspace(-3, 3, 75).astype(dtype)
    given[[0, 1, 17, 30, 70, 74]] = [-0.0, np.nan, 3e6, -1.5e30, np.inf, 2**21]
    for count in (1, 25):
        got, wanted = np.zeros(75, dtype), given.astype("f8")
        run(chain(dtype, count, width), [given, got], 1, printer)
        with np.errstate(invalid="ignore"):
            for _ in range(count):
                wanted = np.sin(wanted) * 1.5
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-6 * count**2 if dtype == "f4" else 1e-12)
        assert np.signbit(got[0])


@every_printer
def test_a_scalar_that_is_rare(printer: str) -> None:
    b = Builder()
    x, out = b.argument("f4"), b.argument("f4", output=True)
    with b.tiles() as t:
        v = b.load(x, t)
        for _ in range(12):
            v = b.math("sin", v) * 3e6
        b.store(out, t, b.math("sin", v))
    given, got = np.array([1.0, 1e7, np.nan, 0.0], np.float32), np.zeros(4, np.float32)
    run(b.program, [given, got], 4, printer)
    wanted = given
    with np.errstate(invalid="ignore"):
        for _ in range(12):
            wanted = np.float32(np.sin(wanted.astype("f8"))) * np.float32(3e6)
        wanted = np.sin(wanted.astype("f8"))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    assert np.all(np.abs(got[~np.isnan(got)]) <= 1)
    assert got[3] == 0
