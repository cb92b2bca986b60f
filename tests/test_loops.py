"""Loop programs mean the same on every printer: vectors of three lengths, Numba, and the interpreter against
NumPy."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from loop_harness import PRINTERS, run

from fnn.kernels.loops import COMPARISONS, Builder, Program, Value, computed

DTYPES = {
    "b1": np.bool_, "i1": np.int8, "i2": np.int16, "i4": np.int32, "i8": np.int64, "u1": np.uint8,
    "u2": np.uint16, "u4": np.uint32, "u8": np.uint64, "f2": np.float16, "bf": ml_dtypes.bfloat16,
    "f4": np.float32, "f8": np.float64,
}  # fmt: skip
INTEGERS = [d for d in DTYPES if d[0] in "iu"]
COMPUTED = [d for d in DTYPES if computed(d) == d]
ODD_LENGTH = 101  # whole vectors and a remainder, whatever their length


def odd_values(dtype: str, rng: np.random.Generator, count: int = ODD_LENGTH) -> np.ndarray:
    """Random numbers, small and large, and every special one."""
    T = np.dtype(DTYPES[dtype])
    if dtype == "b1":
        return rng.integers(0, 2, count).astype(bool)
    if dtype[0] in "iu":
        info = np.iinfo(T)
        special = np.array(
            [0, 1, 2, 3, 7, info.max, info.max - 1, info.min, info.min + 1, T.itemsize * 8, 5], T
        )
        special = np.concatenate([special, -special[:5]])
        parts = [
            special,
            rng.integers(-5 if dtype[0] == "i" else 0, 9, count, T),
            rng.integers(info.min, info.max, count, T),
        ]
    else:
        special = np.array(
            [0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 0.5, -1.5, 2.5, 1e-7, -3e38, 3e9, -3e9, 300, 1e19]
        )
        parts = [special, rng.standard_normal(count), rng.standard_normal(count) * 1e3]
    with np.errstate(all="ignore"):
        return rng.permutation(np.concatenate([p.astype(T) for p in parts])[: 2 * count])[:count].copy()


def elementwise(
    dtypes: list[str], outs: list[str], write: Callable[..., list[Value]], uniform: bool = False
) -> Program:
    """One loop, of lanes or of uniform steps: loads of every input at i, and a store of every result."""
    b = Builder()
    inputs, outputs = [b.argument(d) for d in dtypes], [b.argument(d, output=True) for d in outs]
    n = b.size(ODD_LENGTH)
    with b.tiles() as t, b.loop(0, n) if uniform else b.lanes(0, n) as i:
        at = t * n + i
        for buffer, value in zip(outputs, write(b, *[b.load(x, at) for x in inputs]), strict=True):
            b.store(buffer, at, value)
    return b.program


def check_elementwise(printer: str, inputs: list[np.ndarray], wanted: dict[str, np.ndarray], outs: list[str],
                      program: Program, tolerance: float = 0.0) -> None:  # fmt: skip
    got = [np.zeros(ODD_LENGTH, DTYPES[d]) for d in outs]
    run(program, [*inputs, *got], 1, printer)
    for (name, w), g in zip(wanted.items(), got, strict=True):
        w = w.astype(g.dtype)
        if tolerance:
            np.testing.assert_allclose(g, w, rtol=tolerance, err_msg=name)
        else:
            np.testing.assert_array_equal(g, w, err_msg=name)


# -- arithmetic ----------------------------------------------------------------------------------------------


def truncated_quotient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Division as XLA has it."""
    result = []
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        result.append(-1 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1))
    return np.array(result, object)


def wrapped(values: Any, T: Any) -> np.ndarray:
    bits = 8 * np.dtype(T).itemsize
    unsigned = np.array([int(v) & ((1 << bits) - 1) for v in values], np.uint64)
    return unsigned.astype(f"u{bits // 8}").view(T)


def integer_reference(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> dict[str, np.ndarray]:
    T, bits = x.dtype, 8 * x.dtype.itemsize
    a, c, e = (v.astype(object) for v in (x, y, z))
    quotient = truncated_quotient(x, y)
    amount = [v & ((1 << bits) - 1) for v in y.tolist()]
    unsigned = [v & ((1 << bits) - 1) for v in x.tolist()]
    exact = {
        "add": a + c, "sub": a - c, "mul": a * c, "div": quotient,
        "rem": [p if q == 0 else p - q * r for p, q, r in zip(a, c, quotient, strict=True)],
        "min": np.minimum(x, y), "max": np.maximum(x, y), "and": x & y, "or": x | y, "xor": x ^ y,
        "shl": [p << q if q < bits else 0 for p, q in zip(a, amount, strict=True)], "shr": [p >> min(q,
        bits) for p, q in zip(a, amount, strict=True)], "neg": -a, "not": ~x, "abs": abs(a),
        "fma": a * c + e, "popcount": [v.bit_count() for v in unsigned],
        "clz": [bits - v.bit_length() for v in unsigned],
    }  # fmt: skip
    return {name: wrapped(values, T) for name, values in exact.items()}


def float_reference(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> dict[str, np.ndarray]:
    wide = np.longdouble if x.dtype == np.float64 else np.float64
    with np.errstate(all="ignore"):
        fused = (x.astype(wide) * y.astype(wide) + z.astype(wide)).astype(x.dtype)
        return {
            "add": x + y, "sub": x - y, "mul": x * y, "div": x / y, "rem": np.fmod(x, y),
            "min": np.minimum(x, y),
            "max": np.maximum(x, y), "neg": -x, "abs": abs(x), "sqrt": np.sqrt(x), "floor": np.floor(x),
            "ceil": np.ceil(x),
            "trunc": np.trunc(x), "rint": np.rint(x), "copysign": np.copysign(x, y), "fma": fused,
        }  # fmt: skip


def boolean_reference(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "add": x | y, "mul": x & y, "and": x & y, "or": x | y, "xor": x ^ y, "not": ~x, "max": x | y,
        "min": x & y,
    }  # fmt: skip


ONE = ("neg", "not", "abs", "sqrt", "floor", "ceil", "trunc", "rint", "popcount", "clz")


@pytest.mark.parametrize("printer", [*PRINTERS, "uniform"])
@pytest.mark.parametrize("dtype", COMPUTED)
def test_arithmetic_and_comparisons(dtype: str, printer: str, rng: np.random.Generator) -> None:
    x, y, z = (odd_values(dtype, rng) for _ in range(3))
    reference = {"b": boolean_reference, "f": float_reference}.get(dtype[0], integer_reference)
    wanted = reference(x, y, z)
    relations = {"eq": x == y, "ne": x != y, "lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y}
    outs = [dtype] * len(wanted) + ["b1"] * len(relations)

    def write(b: Builder, x: Value, y: Value, z: Value) -> list[Value]:
        arity = {**dict.fromkeys(ONE, 1), "fma": 3}
        return [b.op(name, *[x, y, z][: arity.get(name, 2)]) for name in (*wanted, *COMPARISONS)]

    program = elementwise([dtype] * 3, outs, write, printer == "uniform")
    printer = "vector64" if printer == "uniform" else printer
    check_elementwise(printer, [x, y, z], {**wanted, **relations}, outs, program)


@pytest.mark.parametrize("printer", ["vector64", "numba", "interpreter"])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_division_and_shifts_by_constants(dtype: str, printer: str, rng: np.random.Generator) -> None:
    x = odd_values(dtype, rng)
    wanted = {}
    for c in (3, 1, 0, 4):
        reference = integer_reference(x, np.full_like(x, c), x)
        wanted.update({f"{op} {c}": reference[op] for op in ("div", "rem", "shl", "shr")})
    outs = [dtype] * len(wanted)
    program = elementwise(
        [dtype],
        outs,
        lambda b, v: [b.op(op, v, c) for c in (3, 1, 0, 4) for op in ("div", "rem", "shl", "shr")],
    )
    check_elementwise(printer, [x], wanted, outs, program)


# -- conversions ---------------------------------------------------------------------------------------------


def converted(x: np.ndarray, target: str) -> np.ndarray:
    """loops' conversion: saturating from floating point, NaN to 0."""
    T = np.dtype(DTYPES[target])
    if target == "b1":
        return x != 0
    if x.dtype.kind == "f" and target[0] in "iu":
        info = np.iinfo(T)
        exact = [
            0 if v != v else info.max if v == np.inf else info.min if v == -np.inf else int(v)
            for v in x.tolist()
        ]
        return np.array([min(max(v, int(info.min)), int(info.max)) for v in exact], T)
    with np.errstate(all="ignore"):
        return x.astype(T)


@pytest.mark.parametrize("printer", [*PRINTERS, "uniform"])
@pytest.mark.parametrize("source", COMPUTED)
def test_casts(source: str, printer: str, rng: np.random.Generator) -> None:
    x = odd_values(source, rng)
    uniform = printer == "uniform"
    printer = "vector64" if uniform else printer
    program = elementwise([source], COMPUTED, lambda b, v: [b.cast(v, d) for d in COMPUTED], uniform)
    check_elementwise(printer, [x], {d: converted(x, d) for d in COMPUTED}, COMPUTED, program)


@pytest.mark.parametrize("printer", PRINTERS)
def test_bitcasts(printer: str, rng: np.random.Generator) -> None:
    pairs = [
        ("f4", "i4"),
        ("f4", "u4"),
        ("i4", "f4"),
        ("f8", "u8"),
        ("i8", "f8"),
        ("u1", "i1"),
        ("i8", "u8"),
        ("b1", "u1"),
    ]
    for source, target in pairs:
        x = odd_values(source, rng)
        program = elementwise([source], [target], lambda b, v, target=target: [b.bitcast(v, target)])
        got = np.zeros(ODD_LENGTH, DTYPES[target])
        run(program, [x, got], 1, printer)
        assert got.tobytes() == x.tobytes()


@pytest.mark.parametrize("printer", PRINTERS)
@pytest.mark.parametrize("dtype", ["bf", "f2"])
def test_halves_round_to_nearest_even(dtype: str, printer: str) -> None:
    every = np.arange(65536, dtype=np.uint16)
    if printer == "interpreter":
        every = every[::97].copy()
    values = every.view(DTYPES[dtype]).astype(np.float32)
    with np.errstate(all="ignore"):
        between = np.nextafter(values, np.float32(np.inf))
        middle = ((values.astype(np.float64) + np.roll(values, -1)) / 2).astype(np.float32)
    full = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001], np.uint32).view(
        np.float32
    )  # NaN in every bit, and in one
    x = np.concatenate([values, between, middle, full])
    b = Builder()
    wide, narrow, bits, again, rounded = (
        b.argument(d, output=d != "f4") for d in ("f4", dtype, "u2", "f4", "f4")
    )
    with b.tiles(), b.lanes(0, b.size(x.size)) as i:
        v = b.load(wide, i)
        b.store(narrow, i, v)
        b.store(bits, i, b.bitcast(v, "u2", dtype))
        b.store(again, i, b.bitcast(b.bitcast(v, "u2", dtype), dtype))
        b.store(rounded, i, b.cast(v, dtype))
    kinds = (DTYPES[dtype], np.uint16, np.float32, np.float32)
    got = [np.zeros(x.size, T) for T in kinds]
    run(b.program, [x, *got], 1, printer)
    with np.errstate(all="ignore"):
        wanted = x.astype(DTYPES[dtype])
    nan = np.isnan(x)
    np.testing.assert_array_equal(got[0].view(np.uint16)[~nan], wanted.view(np.uint16)[~nan])
    np.testing.assert_array_equal(got[0].view(np.uint16), got[1])
    assert np.isnan(got[0][nan].astype(np.float32)).all()
    for widened in got[2:]:
        np.testing.assert_array_equal(widened, wanted.astype(np.float32))


def test_an_expansion_knows_a_constant_from_a_flag() -> None:
    """1.0 equals True and 0.0 equals -0.0; what is kept of functions of mathematics must not mix them up."""
    b = Builder()
    x, out = b.argument("f4"), b.argument("f4", output=True)
    with b.tiles():
        with b.lanes(0, 5) as i:
            b.store(out, i, b.math("sin", b.load(x, i)))
        b.store(out, 5, b.math("sin", b.const(1.0, "f4")))
        b.store(out, 6, b.math("sin", b.const(0.0, "f4")))
        b.store(out, 7, b.math("sin", b.const(-0.0, "f4")))
    given, got = np.arange(5, dtype="f4"), np.full(8, 7, "f4")
    run(b.program, [given, got])
    want = np.sin(np.append(given, np.float32([1.0, 0.0, -0.0])))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)
    assert not np.signbit(got[6]) and np.signbit(got[7])
