"""Whole kernels on every printer, and what the text that is printed looks like."""

import time

import numpy as np
import pytest
from loop_harness import PRINTERS, run

from fnn import dtypes
from fnn.errors import ArgumentError
from fnn.kernels.cpu import llvm_printer, machine, numba_printer, printers
from fnn.kernels.loops import Builder, Program

every_printer = pytest.mark.parametrize("printer", PRINTERS)


def softmax(n: int) -> Program:
    b = Builder()
    x, out = b.argument("f4"), b.argument("f4", output=True)
    size = b.size(n)
    with b.tiles() as row:
        most, total = b.accumulator("max", "f4", -np.inf), b.accumulator("add", "f4", 0.0)
        with b.lanes(0, size) as i:
            most.update(b.load(x, row * size + i))
        shift = most.value
        with b.lanes(0, size) as i:
            e = b.math("exp", b.load(x, row * size + i) - shift)
            total.update(e)
            b.store(out, row * size + i, e)
        factor = 1.0 / total.value
        with b.lanes(0, size) as i:
            b.store(out, row * size + i, b.load(out, row * size + i) * factor)
    return b.program


@pytest.mark.parametrize("printer", [*PRINTERS, "public"])
def test_softmax(printer: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal((5, 43)).astype(np.float32)
    got = np.zeros_like(x)
    run(softmax(43), [x, got], 5, printer)
    e = np.exp(x - x.max(1, keepdims=True))
    np.testing.assert_allclose(got, e / e.sum(1, keepdims=True), rtol=2e-6)


def product(m: int, n: int, k: int, lanes: int) -> Program:
    """C = A B by panels of columns, which are packed: 8 rows at a time, whose sums stay in registers."""
    b = Builder()
    left, right, out = b.argument("f4"), b.argument("f4"), b.argument("f4", output=True)
    rows, columns, inner = b.size(m), b.size(n), b.size(k)
    packed = b.local("f4", k * lanes)
    with b.tiles() as panel:
        first = panel * lanes
        last = b.op("min", first + lanes, columns)
        with b.loop(0, inner) as q, b.lanes(first, last, 2) as j:
            b.store(packed, q * lanes + (j - first), b.load(right, q * columns + j))
        with b.loop(0, rows // 8) as group, b.lanes(first, last, 2) as j:
            sums = [b.variable("f4", 0.0) for _ in range(8)]
            starts = [(group * 8 + r) * inner for r in range(8)]
            with b.loop(0, inner) as q:
                v = b.load(packed, q * lanes + (j - first))
                for start, total in zip(starts, sums, strict=True):
                    total.set(b.op("fma", b.load(left, start + q), v, total.value))
            for r, total in enumerate(sums):
                b.store(out, (group * 8 + r) * columns + j, total.value)
    return b.program


@every_printer
def test_matrix_product_in_registers(printer: str, rng: np.random.Generator) -> None:
    m, n, k, lanes = 16, 45, 7, 32
    x, y = rng.integers(-9, 9, (m, k)).astype(np.float32), rng.integers(-9, 9, (k, n)).astype(np.float32)
    got = np.zeros((m, n), np.float32)
    run(product(m, n, k, lanes), [x, y, got], -(-n // lanes), printer)
    np.testing.assert_array_equal(got, x @ y)


def long_program(count: int) -> Program:
    b = Builder()
    x = b.argument("f4", output=True)
    with b.tiles(), b.lanes(0, b.size(40)) as i:
        v = b.load(x, i)
        for k in range(count):
            v = v * 0.5 + float(k % 7)
        b.store(x, i, v)
    return b.program


@every_printer
def test_long_bodies_are_right(printer: str) -> None:
    count = 40 if printer == "numba" else 400
    got = np.arange(45, dtype=np.float32)
    wanted = got.astype(np.float64)
    for k in range(count):
        wanted[:40] = wanted[:40] * 0.5 + k % 7
    run(long_program(count), [got], 1, printer)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_long_programs_print_quickly_and_without_recursion() -> None:
    program = long_program(5000)
    before = time.perf_counter()
    text = llvm_printer.emit(program, "kernel", 64)
    assert text.count(" fmul ") == 5000  # long bodies are printed once, masked
    numba_printer.emit(program, "kernel")
    assert len(program.key) == 20
    assert time.perf_counter() - before < 5.0  # about 0.2 s


@every_printer
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_mathematics_wherever_it_stands(dtype: str, printer: str, rng: np.random.Generator) -> None:
    """Varying and uniform, twice in one block, of constants, under a condition, and with arguments of rare
    kinds."""
    T, n = (np.float32, 37) if dtype == "f4" else (np.float64, 37)
    x = rng.standard_normal(n).astype(T)
    x[:8] = [0, 1e5, -3e7, np.inf, np.nan, 1e-5, -2, 88]
    b = Builder()
    given, out = b.argument(dtype), b.argument(dtype, output=True)
    size = b.size(n)
    with b.tiles():
        scale = b.math("exp", b.load(given, 6))
        with b.lanes(0, size) as i:
            v = b.load(given, i)
            for k, value in enumerate(
                [
                    b.math("sin", v),
                    b.math("sin", v + 1.0) * scale,
                    b.math("pow", b.op("abs", v), 2.5),
                    b.math("atan2", v, scale),
                ]
            ):
                b.store(out, size * k + i, value)
            with b.when(v > 0.0):
                b.store(out, size * 4 + i, b.math("logistic", b.math("log", v)))
            b.store(out, size * 5 + i, b.math("exp", b.const(1.5, dtype)))
    got = np.zeros((6, n), T)
    run(b.program, [x, got], 1, printer)
    with np.errstate(all="ignore"):
        s = np.exp(x[6])
        wanted = [
            np.sin(x),
            np.sin(x + T(1)) * s,
            abs(x) ** T(2.5),
            np.arctan2(x, s),
            x / (1 + x),
            np.full(n, np.exp(1.5)),
        ]
        wanted[4] = np.where(x > 0, np.where(np.isinf(x), 1, wanted[4]), 0)
    np.testing.assert_allclose(got, wanted, rtol=2e-6 if dtype == "f4" else 1e-14)


def test_source_of_a_kernel_is_readable() -> None:
    text = printers.source(softmax(10), "softmax", "numba")
    assert text.splitlines()[:6] == [
        "def softmax(a0, a1, s0, lo, hi):",
        '    """a0: float32, a1: float32 (output); sizes s0"""',
        "    for t0 in range(lo, hi):",
        "        m0 = float32(-inf)",
        "        m1 = float32(0.0)",
        "        for i0 in range(s0):",
    ]
    assert "define void @softmax(ptr" in printers.source(softmax(10), "softmax", "vector")
    assert machine.lanes() in (16, 32, 64)
    with pytest.raises(ArgumentError, match="vector"):
        printers.source(softmax(10), "softmax", "cuda")


@every_printer
@pytest.mark.parametrize(
    "source,target", [("f4", "f4"), ("bf", "f4"), ("f8", "f8"), ("i2", "i2"), ("b1", "b1")]
)
def test_turn_copies_a_block_transposed(
    source: str, target: str, printer: str, rng: np.random.Generator
) -> None:
    b = Builder()
    x, out = b.argument(source), b.argument(target, output=True)
    width, height = b.size(29), b.size(11)
    with b.tiles() as tile:
        b.prefetch(x, tile * width)
        b.turn(out, tile * 8 * height + 2, height, x, tile * 8 + 3, width)
    types = {"f4": np.float32, "bf": dtypes.bfloat16, "f8": np.float64, "i2": np.int16, "b1": np.bool_}
    block = (rng.integers(0, 2, (9, 29)) * 3).astype(types[source])
    got = np.zeros((17, 11), types[target])
    run(b.program, [block, got], 2, printer)
    want = np.zeros_like(got)
    for tile in range(2):
        want[8 * tile : 8 * tile + 8, 2:10] = block[:8, 3 + 8 * tile : 11 + 8 * tile].T
    np.testing.assert_array_equal(got, want)


def test_turn_refuses_what_it_cannot_copy() -> None:
    b = Builder()
    x, out = b.argument("i4"), b.argument("f4", output=True)
    with pytest.raises(TypeError, match="turn: a i4 into a f4"):
        b.turn(out, 0, 8, x, 0, 8)
    with b.tiles(), b.lanes(0, 8), pytest.raises(ValueError, match="cannot be inside a lanes loop"):
        b.turn(x, 0, 8, x, 0, 8)
