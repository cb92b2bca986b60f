"""The functions written out in arithmetic, compiled and measured: errors in units in the last place over the whole range,
and NaN, infinities, signed zeros and denormal numbers.

`pytest -s` shows the table of errors.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special as special

from fnn.kernels.cpu import machine
from fnn.kernels.cpu.llvm_printer import emit
from fnn.kernels.loops import MATHEMATICS, Builder, Value
from fnn.kernels.mathematics import expand

Array = np.ndarray
DTYPES = ("f4", "f8")
BINARY = ("atan2", "pow", "nextafter")


def logistic(x: Array) -> Array:
    z = np.exp(-np.abs(x))
    return np.where(x < 0, z, 1) / (1 + z)


# In extended precision; nextafter has none.
EXTENDED: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log1p": np.log1p,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "cbrt": np.cbrt, "logistic": logistic, "rsqrt": lambda x: 1 / np.sqrt(x),
    "pow": np.power, "atan2": np.arctan2,
}  # fmt: skip
# In f8, which judges f4; f8 is judged by mpmath.
SPECIAL: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "erf": (special.erf, mpmath.erf),
    "erfc": (special.erfc, mpmath.erfc),
    "erf_inv": (special.erfinv, mpmath.erfinv),
    "lgamma": (special.gammaln, lambda x: mpmath.re(mpmath.loggamma(x))),
    "digamma": (special.psi, mpmath.digamma),
}
# What the measured errors must stay below, in units in the last place (f4, f8).
LIMITS = {
    "exp": (1.05, 1.05), "log": (0.95, 0.95), "tanh": (1.6, 2.0), "logistic": (1.6, 1.6), "sin": (1.55, 1.55),
    "cos": (1.55, 1.55), "erf": (1.4, 1.2), "log1p": (1.5, 1.5), "expm1": (1.4, 1.4), "pow": (0.52, 1.25),
    "cbrt": (0.8, 0.8), "erfc": (1.9, 2.0), "erf_inv": (0.7, 2.0), "lgamma": (0.55, 1.5), "digamma": (0.55, 1.8),
}  # fmt: skip
RANGES = {
    "erf": [(-6, 6)], "erfc": [(-2, 2), (1, 28)], "erf_inv": [(-1, 1), (0.99, 1)], "lgamma": [(0, 10), (5, 300)],
    "digamma": [(0, 10), (5, 300)], "exp": [(-110, 90), (-750, 710)], "exp2": [(-160, 130), (-1080, 1025)],
    "sinh": [(-2, 2), (-711, 711)], "cosh": [(-2, 2), (-711, 711)], "logistic": [(-110, 20), (-750, 40)],
    "log": [(0.5, 2)], "log2": [(0.5, 2)], "acosh": [(1, 3)], "expm1": [(-2, 2), (-40, 90)],
}  # fmt: skip
ODD_NUMBERS = (
    0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, -0.5, 2, -2, 3, -3, 2.5, -2.5, 7, -7, 100, -100, 1e30, -1e30,
    1e-40, -1e-40, 1e-310, -1e-310, 16777215.0, 16777216.0, 9007199254740991.0, 9007199254740992.0,
)  # fmt: skip

table: dict[tuple[str, str], tuple[float, tuple[float, ...]]] = {}


@pytest.fixture(scope="module", autouse=True)
def show_table() -> Iterator[None]:
    yield
    for (name, dtype), (worst, where) in sorted(table.items()):
        print(f"\n{name:10s}{dtype}  {worst:8.3f} at {', '.join(f'{x:.17g}' for x in where)}", end="")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """NumPy warns of NaN and infinities, which are meant here."""
    with np.errstate(all="ignore"):
        yield


@functools.cache
def compiled(name: str, dtype: str) -> Callable[..., Array]:
    """The function as a kernel over arrays."""
    b = Builder()
    inputs = [b.argument(dtype) for _ in range(1 + (name in BINARY))]
    out, n = b.argument(dtype, output=True), b.size(0)
    with b.lanes(0, n) as i:
        b.store(out, i, b.math(name, *[b.load(x, i) for x in inputs]))
    symbol = f"test_{name}_{dtype}"
    address = machine.compile_text({symbol: emit(b.program, symbol, machine.lanes())})[symbol]
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)

    def run(*arrays: Array) -> Array:
        arrays = tuple(np.ascontiguousarray(x, dtype) for x in arrays)
        result, size = np.empty_like(arrays[0]), np.array([arrays[0].size])
        addresses = np.array([x.ctypes.data for x in (*arrays, result, size)])
        function(addresses.ctypes.data, 0, 1)
        return result

    return run


def every_exponent(rng: np.random.Generator, dtype: str, count: int) -> Array:
    """Numbers whose bits are random."""
    return rng.integers(0, 1 << 8 * int(dtype[1]), count, f"u{dtype[1]}").view(dtype)


def samples(rng: np.random.Generator, name: str, dtype: str, count: int) -> tuple[Array, ...]:
    if name in BINARY:
        wide = 130 if dtype == "f4" else 1050
        pairs = [
            (every_exponent(rng, dtype, count), every_exponent(rng, dtype, count)),
            (np.exp(rng.uniform(-20, 20, count)), rng.uniform(-30, 30, count)),
            (rng.uniform(0.5, 2, count), rng.uniform(-wide, wide, count)),
            (np.exp(rng.uniform(-1e-3, 1e-3, count)), rng.uniform(-8e4, 8e4, count)),
            (rng.standard_normal(count), np.rint(rng.uniform(-20, 20, count))),
        ]
        return tuple(np.concatenate([pair[k] for pair in pairs]).astype(dtype) for k in (0, 1))
    parts = [every_exponent(rng, dtype, count), rng.uniform(-1, 1, count)]
    parts += [rng.standard_normal(count) * 10 ** rng.uniform(-3, 3, count)]
    parts += [rng.uniform(lo, hi, count) for lo, hi in RANGES.get(name, ())]
    return (np.concatenate([part.astype(dtype) for part in parts]),)


def errors(result: Array, exact: Array) -> Array:
    """In units in the last place of the exact result; infinite where infinities or NaN differ."""
    info = np.finfo(result.dtype)
    rounded = exact.astype(result.dtype)
    unit = np.ldexp(
        np.longdouble(1), np.maximum(np.frexp(np.abs(exact))[1] - info.nmant - 1, info.minexp - info.nmant)
    )
    error = np.abs(result.astype(np.longdouble) - exact) / unit
    same = (result == rounded) | np.isnan(result) & np.isnan(rounded)
    error = np.where(np.isfinite(rounded), error, np.where(same, 0, np.inf))
    return np.where(np.isnan(error), np.inf, error)


def check(name: str, dtype: str, arguments: tuple[Array, ...], exact: Array) -> None:
    error = errors(compiled(name, dtype)(*arguments), exact)
    worst = int(np.argmax(error))
    table[name, dtype] = (float(error[worst]), tuple(float(x[worst]) for x in arguments))
    limit = LIMITS.get(name, (2.0, 2.0))[dtype == "f8"]
    assert error[worst] <= limit, f"{name} of {dtype}: {table[name, dtype]}"


needs_extended = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63,
    reason="NumPy's long double is no longer than f8 here: it can judge nothing",
)


@needs_extended
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXTENDED)
def test_errors_against_extended_precision(name: str, dtype: str, rng: np.random.Generator) -> None:
    arguments = samples(rng, name, dtype, 1 << 18 if dtype == "f4" else 1 << 15)
    exact = EXTENDED[name](*[x.astype(np.longdouble) for x in arguments])
    check(name, dtype, arguments, exact)


@pytest.mark.parametrize("name", SPECIAL)
def test_errors_of_special_functions(name: str, rng: np.random.Generator) -> None:
    (x,) = samples(rng, name, "f4", 1 << 17)
    if name in ("lgamma", "digamma"):
        x = x[(x >= 0) & (np.abs(x) < 1e30)]
    exact = SPECIAL[name][0](x.astype("f8"))
    check(name, "f4", (x,), exact.astype(np.longdouble))


@needs_extended
@pytest.mark.parametrize("name", SPECIAL)
def test_errors_of_special_functions_of_f8(name: str, rng: np.random.Generator) -> None:
    x = np.concatenate([rng.uniform(lo, hi, 250) for lo, hi in [*RANGES[name], (0, 1), (-1e-3, 1e-3)]])
    if name == "erf_inv":
        x = np.concatenate([x, 1 - 10.0 ** rng.uniform(-15.9, -2, 250)])
    if name in ("lgamma", "digamma"):
        x = np.abs(x)
    with mpmath.workdps(30):
        exact = [np.longdouble(mpmath.nstr(SPECIAL[name][1](mpmath.mpf(float(v))), 25)) for v in x]
    check(name, "f8", (x,), np.array(exact))


@pytest.mark.parametrize("name", ("lgamma", "digamma"))
def test_gamma_of_negative_numbers(name: str, rng: np.random.Generator) -> None:
    """They are reflected; beside their zeros only the absolute error is small."""
    x = rng.uniform(-20, 0, 400)
    with mpmath.workdps(30):
        exact = np.array([float(SPECIAL[name][1](mpmath.mpf(float(v)))) for v in x])
    size = np.maximum(np.abs(exact), np.abs(SPECIAL[name][0](1 - x)) + 1)
    assert np.max(np.abs(compiled(name, "f8")(x) - exact) / size) < 2e-15
    assert np.all(
        np.abs(compiled(name, "f4")(x) - SPECIAL[name][0](x.astype("f4").astype("f8"))) <= 2e-7 * size * 10
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*EXTENDED, *SPECIAL])
def test_odd_numbers(name: str, dtype: str) -> None:
    """As NumPy and SciPy have them, signs of zeros included."""
    reference = SPECIAL[name][0] if name in SPECIAL else EXTENDED[name]
    numbers = np.array(ODD_NUMBERS, dtype)
    arguments = [numbers]
    if name in BINARY:
        arguments = [np.array(x) for x in zip(*itertools.product(numbers, numbers), strict=True)]
    expected = reference(*arguments)
    result = compiled(name, dtype)(*arguments)
    wrong = ~(np.isnan(expected) & np.isnan(result))
    # beside their negative zeros, lgamma and digamma are close only absolutely
    least = 1e-15 if name in ("lgamma", "digamma") else np.finfo(dtype).tiny / 2**20
    close = np.isclose(expected, result, rtol=4 * np.finfo(dtype).eps, atol=least)
    wrong &= ~(close & (np.signbit(expected) == np.signbit(result)))
    if name == "lgamma":
        wrong &= np.abs(arguments[0]) > 1e-305  # where SciPy overflows
    if name == "erf_inv":
        wrong &= arguments[0] != 0  # where SciPy drops the sign of -0
        assert np.signbit(result[1]) and not np.signbit(result[0])
    found = [
        (*[float(x[k]) for x in arguments], float(expected[k]), float(result[k]))
        for k in np.flatnonzero(wrong)
    ]
    assert not found, f"arguments, expected, got: {found}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_nextafter_is_exact(dtype: str, rng: np.random.Generator) -> None:
    x, y = samples(rng, "nextafter", dtype, 1 << 14)
    odd = np.array(ODD_NUMBERS, dtype)
    first, second = (np.array(v) for v in zip(*itertools.product(odd, odd), strict=True))
    x, y = np.concatenate([x, first, x]), np.concatenate([y, second, x])
    expected, result = np.nextafter(x, y), compiled("nextafter", dtype)(x, y)
    number = ~np.isnan(expected)
    assert np.array_equal(np.isnan(result), ~number)
    assert np.array_equal(result[number].view(f"u{dtype[1]}"), expected[number].view(f"u{dtype[1]}"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_powers_of_two_are_exact(dtype: str) -> None:
    n = np.arange(-126, 128) if dtype == "f4" else np.arange(-1022, 1024)
    x = np.ldexp(np.ones(n.size, dtype), n)
    assert np.array_equal(compiled("log2", dtype)(x), n)
    assert np.array_equal(compiled("exp2", dtype)(n), x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MATHEMATICS)
def test_one_number_alone(name: str, dtype: str) -> None:
    """Outside of a lanes loop, in a program where `expand` itself is called: large arguments take the rare branches."""
    for number in (0.75, -2.5, 1e22):
        b = Builder()
        inputs, out = [b.argument(dtype) for _ in range(1 + (name in BINARY))], b.argument(dtype, output=True)
        b.store(out, 0, expand(b, name, dtype, tuple(b.load(x, 0) for x in inputs)))
        assert all(item.op not in MATHEMATICS for item in b.block.items if isinstance(item, Value))
        symbol = "test_alone"
        address = machine.compile_text({symbol: emit(b.program, symbol, machine.lanes())})[symbol]
        x, result = np.array([number], dtype), np.empty(1, dtype)
        addresses = np.array([*[x.ctypes.data for _ in inputs], result.ctypes.data])
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)(
            addresses.ctypes.data, 0, 1
        )
        assert np.array_equal(result, compiled(name, dtype)(*[x] * len(inputs)), equal_nan=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in EXTENDED if name not in BINARY])
def test_every_sixteenth_number_of_f4(name: str) -> None:
    """f8 is precise enough to judge f4, but for what its own rounding adds."""
    limit = LIMITS.get(name, (2.0, 2.0))[0] + 1e-6
    for start in range(0, 1 << 32, 1 << 26):
        x = np.arange(start + 7, start + (1 << 26), 16, dtype="u4").view("f4")
        error = errors(compiled(name, "f4")(x), EXTENDED[name](x.astype("f8")).astype(np.longdouble))
        worst = int(np.argmax(error))
        assert error[worst] <= limit, f"{name}({x[worst]}): {error[worst]}"
