"""Control, memory and state of loop programs, on every printer."""

import functools
import operator

import ml_dtypes
import numpy as np
import pytest
from loop_harness import PRINTERS, VECTORS, run

from fnn.kernels.cpu import llvm_printer
from fnn.kernels.loops import Builder, Operand, Program

every_printer = pytest.mark.parametrize("printer", PRINTERS)
every_vector = pytest.mark.parametrize("printer", VECTORS)


# -- lanes loops ---------------------------------------------------------------------------------------------


def bounds(b: Builder, lo: int, hi: int, how: str) -> tuple[Operand, Operand]:
    if how == "constant":
        return lo, hi
    start = b.size(lo)
    return start, (b.size(hi) if how == "sizes" else start + (hi - lo))


@every_vector
@pytest.mark.parametrize("how", ["constant", "sizes", "offset"])
def test_lanes_touch_exactly_their_elements(how: str, printer: str) -> None:
    for lo, hi, width in [
        (0, 0, 1),
        (3, 3, 1),
        (5, 2, 1),
        (0, 1, 1),
        (0, 16, 1),
        (0, 17, 2),
        (2, 34, 1),
        (1, 128, 1),
        (0, 130, 4),
        (0, 140, 3),
    ]:
        b = Builder()
        x, out = b.argument("i4"), b.argument("i4", output=True)
        with b.tiles(), b.lanes(*bounds(b, lo, hi, how), width) as i:
            b.store(out, i, b.load(x, i) + b.cast(i, "i4"))
        given, got = np.arange(140, dtype=np.int32) * 10, np.full(140, -1, np.int32)
        wanted = got.copy()
        wanted[lo:hi] = given[lo:hi] + np.arange(140, dtype=np.int32)[lo:hi]
        run(b.program, [given, got], 1, printer)
        np.testing.assert_array_equal(got, wanted, err_msg=f"[{lo}, {hi}) by {width}")


def test_constant_bounds_leave_out_what_cannot_run() -> None:
    def labels(count: int) -> tuple[int, int]:
        b = Builder()
        x = b.argument("f4", output=True)
        with b.tiles(), b.lanes(0, count) as i:
            b.store(x, i, b.load(x, i) * 2.0)
        text = llvm_printer.emit(b.program, "kernel", 64)
        return text.count("\nloop"), text.count("call void @llvm.masked.store")

    assert labels(160) == (2, 0)  # the tiles' loop and the lanes'
    assert labels(16) == (1, 0)
    assert labels(7) == (1, 1)
    assert labels(23) == (1, 1)


@every_printer
def test_only_the_tiles_asked_for_run(printer: str) -> None:
    b = Builder()
    out = b.argument("i8", output=True)
    with b.tiles() as t:
        b.store(out, t, t + 1)
    got = np.zeros(8, np.int64)
    run(b.program, [got], (2, 5), printer)
    run(b.program, [got], (6, 6), printer)
    assert got.tolist() == [0, 0, 3, 4, 5, 0, 0, 0]


# -- memory --------------------------------------------------------------------------------------------------

ELEMENTS = {
    "f4": np.float32,
    "f8": np.float64,
    "b1": np.bool_,
    "i1": np.int8,
    "u2": np.uint16,
    "i8": np.int64,
    "f2": np.float16,
    "bf": ml_dtypes.bfloat16,
}


@every_printer
@pytest.mark.parametrize("dtype", ELEMENTS)
def test_strides_and_indirect_access(dtype: str, printer: str, rng: np.random.Generator) -> None:
    """Loads and stores at i, n - 1 - i, 2 i, 3, a run-time stride and places from memory; b writes only its
    elements."""
    n, stride = 41, 3
    x = rng.integers(-3, 4, 3 * n + 5).astype(ELEMENTS[dtype])
    places = rng.permutation(3 * n).astype(np.int32)[:n].copy()
    b = Builder()
    given, where = b.argument(dtype), b.argument("i4")
    loads, stores = ([b.argument(dtype, output=True) for _ in range(6)] for _ in range(2))
    size, step = b.size(n), b.size(stride)

    def indices(i):
        return [i, (size - 1) - i, i * 2, b.const(3, "i8"), i * step, b.cast(b.load(where, i), "i8")]

    with b.tiles(), b.lanes(0, size) as i:
        for index, target, source in zip(indices(i), loads, stores, strict=True):
            b.store(target, i, b.load(given, index))
            if index.varying:
                b.store(source, index, b.load(given, i))
            else:
                b.store(source, index, b.load(given, index))
    k = np.arange(n)
    expected = [k, n - 1 - k, 2 * k, np.full(n, 3), stride * k, places]
    got = [np.zeros(n, x.dtype) for _ in loads]
    put = [np.zeros(3 * n + 5, x.dtype) for _ in stores]
    run(b.program, [x, places, *got, *put], 1, printer)
    for each, index in enumerate(expected):
        np.testing.assert_array_equal(got[each], x[index], err_msg=f"load {each}")
        wanted = np.zeros_like(put[each])
        wanted[index] = x[3] if each == 3 else x[:n]
        np.testing.assert_array_equal(put[each], wanted, err_msg=f"store {each}")


@every_printer
def test_a_condition_masks_loads_stores_and_assignments(printer: str, rng: np.random.Generator) -> None:
    """Places that a false condition guards lie far outside of memory: touching them would crash."""
    n = 53
    x, flags = rng.standard_normal(n).astype(np.float32), rng.integers(0, 2, n).astype(bool)
    b = Builder()
    given, flag, out, count = (
        b.argument("f4"),
        b.argument("b1"),
        b.argument("f4", output=True),
        b.argument("i8", output=True),
    )
    wild, table = b.size(1 << 50), b.size(0)
    with b.tiles():
        seen = b.accumulator("add", "i8", 0)
        with b.lanes(0, n) as i:
            c = b.load(flag, i)
            chosen = b.variable("f4", -1.0)
            with b.when(c):
                index = b.select(c, i, i + wild)
                chosen.set(b.load(given, index) * 2.0)
                seen.update(1)
                with b.when(chosen.value > 0.0):
                    b.store(out, index, chosen.value)
                    chosen.set(7.0)
                    with b.loop(0, 2) as k:
                        chosen.set(chosen.value + b.load(given, table + k))
            b.store(out, i + n, chosen.value)
        b.store(count, 0, seen.value)
    got, total = np.zeros(2 * n, np.float32), np.zeros(1, np.int64)
    run(b.program, [x, flags, got, total], 1, printer)
    positive = flags & (x > 0)
    np.testing.assert_array_equal(got[:n], np.where(positive, 2 * x, 0))
    wanted = np.where(positive, (np.float32(7) + x[0]) + x[1], np.where(flags, 2 * x, -1))
    np.testing.assert_array_equal(got[n:], wanted)
    assert total[0] == flags.sum()


@every_printer
def test_conditions_inside_of_conditions(printer: str, rng: np.random.Generator) -> None:
    n = 37
    x, flags = rng.integers(-9, 9, n), rng.integers(0, 2, (2, n)).astype(bool)
    b = Builder()
    given, flag, out = b.argument("i8"), b.argument("b1"), b.argument("i8", output=True)
    with b.tiles(), b.lanes(0, n) as i:
        v = b.variable("i8", b.load(given, i))
        outer, inner = ~b.load(flag, i), ~b.load(flag, i + n)  # true where nothing was loaded
        with b.when(outer):
            v.set(v.value * 10)
            with b.when(inner):
                v.set(v.value + 1)
                b.store(out, i, v.value)
            v.set(v.value + 100)
        b.store(out, i + n, v.value)
    got = np.full(2 * n + 64, -1)
    run(b.program, [x, flags, got], 1, printer)
    first, both = ~flags[0], ~flags[0] & ~flags[1]
    np.testing.assert_array_equal(got[:n], np.where(both, 10 * x + 1, -1))
    np.testing.assert_array_equal(got[n : 2 * n], np.where(first, 10 * x + both + 100, x))
    assert (got[2 * n :] == -1).all()


@every_printer
def test_loads_come_before_the_stores_that_follow_them(printer: str) -> None:
    """Swap the halves of an array, and of a variable read before it is set."""
    b = Builder()
    x, out = b.argument("f4", output=True), b.argument("f4", output=True)
    with b.tiles(), b.lanes(0, 21) as i:
        state = b.variable("f4", 5.0)
        low, high, before = b.load(x, i), b.load(x, i + 21), state.value
        state.set(6.0)
        b.store(x, i, high)
        b.store(x, i + 21, low)
        b.store(out, i, before * 10.0 + state.value)
    got, state = np.arange(42, dtype=np.float32), np.zeros(21, np.float32)
    run(b.program, [got, state], 1, printer)
    np.testing.assert_array_equal(got, [*range(21, 42), *range(21)])
    assert (state == 56).all()


@every_printer
def test_nothing_is_read_where_no_lane_wants_it(printer: str) -> None:
    b = Builder()
    flag, out = b.argument("b1"), b.argument("f4", output=True)
    null = b.size(1 << 50)
    with b.tiles(), b.lanes(0, 5) as i, b.when(b.load(flag, i)):
        b.store(out, i, b.load(out, null))
    got = np.ones(5, np.float32)
    run(b.program, [np.zeros(5, bool), got], 1, printer)
    assert got.tolist() == [1.0] * 5


@every_printer
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "b1", "bf"])
def test_local_arrays_are_the_kernels_own(dtype: str, printer: str, rng: np.random.Generator) -> None:
    """Reverse each row by way of the stack."""
    n, rows = 21, 4
    x = rng.integers(-5, 5, (rows, n)).astype(ELEMENTS.get(dtype, np.int16))
    b = Builder()
    given, out = b.argument(dtype), b.argument(dtype, output=True)
    row = b.local(dtype, n)
    with b.tiles() as t:
        with b.lanes(0, n) as i:
            b.store(row, i, b.load(given, t * n + i))
        with b.lanes(0, n) as i:
            b.store(out, t * n + i, b.load(row, (n - 1) - i))
    got = np.zeros_like(x)
    run(b.program, [x, got], rows, printer)
    np.testing.assert_array_equal(got, x[:, ::-1])


# -- state ---------------------------------------------------------------------------------------------------

COMBINES = {
    "add": operator.add,
    "mul": operator.mul,
    "max": max,
    "min": min,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
}


@every_printer
@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u1", "b1"])
def test_accumulators_over_rows_of_lanes(dtype: str, printer: str, rng: np.random.Generator) -> None:
    """One accumulator of each kind, filled by lanes loops of two widths inside of a loop, and outside of
    lanes too."""
    T = {**ELEMENTS, "i4": np.int32, "u1": np.uint8}[dtype]
    kinds = {"b1": ["and", "or", "xor"], "f": ["add", "max", "min", "mul"]}.get(
        dtype if dtype == "b1" else dtype[0], list(COMBINES)
    )
    rows, n = 3, 37
    x = rng.integers(1, 2 if dtype == "b1" else 9, (rows, n)).astype(T)
    if dtype[0] == "f":  # powers of two: any order gives the same product and sum
        x = (2.0 ** rng.integers(-1, 2, (rows, n))).astype(T)
    elif dtype == "b1":
        x = rng.integers(0, 2, (rows, n)).astype(bool)
    start = x[0, 0]
    b = Builder()
    given, out = b.argument(dtype), b.argument(dtype, output=True)
    with b.tiles():
        totals = [b.accumulator(kind, dtype, start.item()) for kind in kinds]
        with b.loop(0, rows) as r:
            for width, lo, hi in ((1, 0, 12), (2, 12, 20), (3, 20, n - 1)):
                with b.lanes(lo, hi, width) as i:
                    for total in totals:
                        total.update(b.load(given, r * n + i))
            for total in totals:
                total.update(b.load(given, r * n + (n - 1)))
        for k, total in enumerate(totals):
            b.store(out, k, total.value)
    got = np.zeros(len(kinds), T)
    run(b.program, [x, got], 1, printer)
    with np.errstate(over="ignore"):
        wanted = [functools.reduce(COMBINES[kind], x.ravel(), start) for kind in kinds]
    np.testing.assert_array_equal(got, np.array(wanted, T))


@every_printer
def test_accumulated_maximum_passes_nan_on(printer: str) -> None:
    for n, at in ((5, 2), (200, 130), (200, 199)):
        x = np.arange(n, dtype=np.float32)
        x[at] = np.nan
        b = Builder()
        given, out = b.argument("f4"), b.argument("f4", output=True)
        with b.tiles():
            most, least = b.accumulator("max", "f4", -np.inf), b.accumulator("min", "f4", np.inf)
            with b.lanes(0, b.size(n)) as i:
                most.update(b.load(given, i))
                least.update(b.load(given, i))
            b.store(out, 0, most.value)
            b.store(out, 1, least.value)
        got = np.zeros(2, np.float32)
        run(b.program, [x, got], 1, printer)
        assert np.isnan(got).all()


@every_vector
def test_sums_are_as_good_as_pairwise_ones(printer: str, rng: np.random.Generator) -> None:
    x = rng.random(100_003).astype(np.float32)
    b = Builder()
    given, out = b.argument("f4"), b.argument("f4", output=True)
    with b.tiles():
        total = b.accumulator("add", "f4", 0.0)
        with b.lanes(0, b.size(x.size)) as i:
            total.update(b.load(given, i))
        b.store(out, 0, total.value)
    got = np.zeros(1, np.float32)
    run(b.program, [x, got], 1, printer)
    np.testing.assert_allclose(
        got[0], x.astype(np.float64).sum(), rtol=3e-5 if printer == "vector16" else 1e-5
    )


@every_printer
def test_accumulators_inside_of_lanes_belong_to_each_lane(printer: str, rng: np.random.Generator) -> None:
    """Sums down the columns, of the even rows only."""
    rows, n = 6, 19
    x = rng.integers(-9, 9, (rows, n)).astype(np.float64)
    b = Builder()
    given, out = b.argument("f8"), b.argument("f8", output=True)
    with b.tiles(), b.lanes(0, n) as i:
        total, most = b.accumulator("add", "f8", 0.0), b.variable("f8", -np.inf)
        with b.loop(rows - 2, -1, -2) as r:
            v = b.load(given, r * n + i)
            total.update(v)
            most.set(b.op("max", most.value, v))
        b.store(out, i, total.value)
        b.store(out, n + i, most.value)
    got = np.zeros((2, n))
    run(b.program, [x, got], 1, printer)
    np.testing.assert_array_equal(got, [x[::2].sum(0), x[::2].max(0)])


@every_printer
def test_while_loops_and_uniform_conditions(printer: str) -> None:
    """Collatz lengths; negative numbers are left alone."""
    x = np.array([1, 7, 27, -4, 97], np.int64)
    b = Builder()
    given, out = b.argument("i8"), b.argument("i8", output=True)
    with b.tiles() as t:
        v, steps = b.variable("i8", b.load(given, t)), b.variable("i8", 0)
        with b.when(v.value > 0):
            with b.repeat_while() as loop:
                loop.test(v.value.ne(1))
                now = v.value
                v.set(b.select((now & 1).eq(0), now >> 1, now * 3 + 1))
                steps.set(steps.value + 1)
            b.store(out, t, steps.value)
    got = np.full(5, -1, np.int64)
    run(b.program, [x, got], 5, printer)
    assert got.tolist() == [0, 16, 111, -1, 118]


@every_printer
def test_every_lane_leaves_a_while_loop_by_itself(printer: str) -> None:
    """The same, by lanes; each step is written down, and the even start values are left out."""
    x = np.array([1, 7, 27, 4, 97, 3, 15, 9, 8, 31, 1, 5, 11, 13, 2, 25, 33, 41, 47], np.int64)
    n, most = len(x), 128
    b = Builder()
    given, out, seen = b.argument("i8"), b.argument("i8", output=True), b.argument("i8", output=True)
    size = b.size(n)
    with b.tiles(), b.lanes(0, size) as i:
        v, steps = b.variable("i8", b.load(given, i)), b.variable("i8", 0)
        with b.when((v.value & 1).eq(1)):
            with b.repeat_while() as loop:
                now = v.value
                loop.test(now.ne(1))
                v.set(b.select((now & 1).eq(0), now >> 1, now * 3 + 1))
                b.store(seen, i * most + steps.value, now)
                steps.set(steps.value + 1)
            b.store(out, i, steps.value)
    got, path = np.full(n, -1, np.int64), np.full((n, most), -1, np.int64)
    run(b.program, [x, got, path], 1, printer)
    for start, count, row in zip(x.tolist(), got.tolist(), path.tolist(), strict=True):
        steps = []
        while start % 2 or steps:
            if start == 1:
                break
            steps.append(start)
            start = start // 2 if start % 2 == 0 else 3 * start + 1
        assert row == steps + [-1] * (most - len(steps))
        assert count == (len(steps) if start == 1 else -1)


# -- rounding ------------------------------------------------------------------------------------------------


@every_vector
def test_exact_operations_are_rounded_one_by_one(printer: str, rng: np.random.Generator) -> None:
    x, y = (rng.standard_normal(64).astype(np.float32) for _ in range(2))
    b = Builder()
    first, second, rounded = b.argument("f4"), b.argument("f4"), b.argument("f4")
    out = b.argument("f4", output=True)
    with b.tiles(), b.lanes(0, 64) as i, b.exact():
        u, v, product = b.load(first, i), b.load(second, i), b.load(rounded, i)
        b.store(out, i, u * v - product)  # what is left if the product is not rounded first
        b.store(out, i + 64, b.op("fma", u, v, -product))
        b.store(out, i + 128, (u + v) - u - v)
    got = np.zeros((3, 64), np.float32)
    run(b.program, [x, y, x * y, got], 1, printer)
    assert not got[0].any()
    np.testing.assert_array_equal(got[1], (x.astype(np.float64) * y - (x * y)).astype(np.float32))
    np.testing.assert_array_equal(got[2], (x + y) - x - y)
    assert "mul!" in str(b.program)


# -- the builder ---------------------------------------------------------------------------------------------


def test_equal_programs_have_equal_keys_and_others_do_not() -> None:
    def program(dtype: str, size: int, exact: bool, factor: float) -> Program:
        b = Builder()
        x = b.argument(dtype, output=True)
        with b.tiles(), b.lanes(0, b.size(size)) as i:
            if exact:
                with b.exact():
                    v = b.load(x, i) * factor
            else:
                v = b.load(x, i) * factor
            b.store(x, i, v + b.select(b.const(1.0, dtype) < b.const(2.0, dtype), b.const(1.0, dtype), 0.0))
        return b.program

    base = program("f4", 10, False, 2.0)
    assert base.key == program("f4", 99, False, 2).key
    others = [program("f8", 10, False, 2.0), program("f4", 10, True, 2.0), program("f4", 10, False, 3.0)]
    assert len({base.key, *[p.key for p in others]}) == 4


def test_the_builder_refuses_what_has_no_meaning() -> None:
    b = Builder()
    x, out = b.argument("f4"), b.argument("f4", output=True)
    uniform, total = b.variable("f4", 0.0), b.accumulator("add", "f4", 0.0)
    with b.lanes(0, 4) as i:
        v = b.load(x, i)
        with pytest.raises(ValueError, match="inside another"), b.lanes(0, 4):
            pass
        with pytest.raises(ValueError, match="the same for all lanes"):
            uniform.set(v)
        with pytest.raises(TypeError, match="cast them first"):
            b.op("add", v, i)
        with pytest.raises(TypeError, match="cast it to i8"):
            b.load(x, b.cast(i, "i4"))
        with pytest.raises(TypeError, match="there is no operation"):
            b.math("exp", i)
        with pytest.raises(TypeError, match="into a1"):
            b.store(out, i, i)
        with pytest.raises(TypeError, match="not of one size"):
            b.bitcast(v, "i8")
        total.update(v)
        with pytest.raises(ValueError, match="read it after the loop"):
            _ = total.value
        with pytest.raises(TypeError, match="a while loop's condition of type f4"), b.repeat_while() as loop:
            loop.test(v)
        with pytest.raises(TypeError, match="bounds are uniform"), b.loop(0, i):
            pass
        with pytest.raises(TypeError, match="a condition of type"), b.when(i):
            pass
    with pytest.raises(TypeError, match=r"Builder\.const"):
        b.op("add", 1, 2)
    with pytest.raises(TypeError, match="computed as f4"):
        b.variable("bf", 0.0)
    with pytest.raises(ValueError, match="no test"), b.repeat_while():
        pass
    with pytest.raises(ValueError, match="combines with one of"):
        b.accumulator("sub", "f4", 0.0)


@every_printer
@pytest.mark.parametrize("dtype", ["i1", "i2", "b1", "bf", "f2"])
@pytest.mark.parametrize("n", [1, 5, 17, 33, 65])
def test_stores_stay_inside_where_one_lane_is_left(n: int, dtype: str, printer: str) -> None:
    """What is narrowed from wider registers, forwards and backwards, with guards around."""
    for step in (1, -1):
        b = Builder()
        given, out = b.argument("f4"), b.argument(dtype, output=True)
        with b.tiles(), b.lanes(0, n) as i:
            place = i + 8 if step > 0 else (n + 7) - i
            b.store(out, place, b.cast(b.load(given, i), dtype))
        got = np.full(n + 16, 1, ELEMENTS.get(dtype, f"{dtype[0]}{dtype[1]}"))
        run(b.program, [np.zeros(n, np.float32), got], 1, printer)
        assert (got[8:-8] == 0).all() and (got[:8] == 1).all() and (got[-8:] == 1).all()
