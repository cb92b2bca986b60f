"""NaN, infinities, denormal numbers and signed zeros: every elementwise function gives what NumPy's does (SciPy's, for
the special functions), compiled and not, and so do pairs of such numbers for functions of two."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.special as special

import fnn
import fnn.numpy as fnp
from fnn import dtypes, lax

DTYPES = (np.dtype("float32"), np.dtype("float64"), dtypes.float16, dtypes.bfloat16)
UNARY = [
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos",
    "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "cbrt", "sqrt", "square",
    "reciprocal", "abs", "negative", "sign", "floor", "ceil", "trunc", "rint", "isnan", "isinf", "isfinite",
    "signbit", "positive", "deg2rad", "nan_to_num",
]  # fmt: skip
BINARY = [
    "add", "subtract", "multiply", "divide", "power", "arctan2", "hypot", "remainder", "fmod",
    "floor_divide", "maximum", "minimum", "fmax", "fmin", "nextafter", "copysign", "heaviside", "equal",
    "less", "less_equal", "greater", "not_equal", "logaddexp", "logaddexp2", "divmod",
]  # fmt: skip
SPECIAL: dict[str, tuple[Any, Any]] = {
    "erf": (lax.erf, special.erf), "erfc": (lax.erfc, special.erfc), "erf_inv": (lax.erf_inv, special.erfinv),
    "lgamma": (lax.lgamma, special.gammaln), "digamma": (lax.digamma, special.psi),
    "logistic": (lax.logistic, special.expit),
}  # fmt: skip


def numbers(dtype: np.dtype) -> np.ndarray:
    """What is odd about a dtype: the ends of its range, both zeros, neighbours of 1, whole numbers and huge ones."""
    info = dtypes.finfo(dtype)
    tiny, largest, eps = float(info.tiny), float(info.max), float(info.eps)
    sizes = [
        0.0, float(info.smallest_subnormal), tiny / 2, tiny, 0.1, 0.5, 1 - eps / 2, 1.0, 1 + eps, 1.5, 2.0, 2.5, 3.0, 7.0,
        33.0, 100.0, 1 / eps, 1 / eps + 1, largest / 2, largest, np.inf,
    ]  # fmt: skip
    return np.array([*sizes, *[-x for x in sizes], np.nan]).astype(dtype)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with np.errstate(all="ignore"), fnn.config.using(enable_x64=True):
        yield


def check(name: str, got: Any, want: np.ndarray, arguments: list[np.ndarray], loose: Any = False) -> None:
    """Equal but for a few units in the last place, and in their signs. loose: where only that is asked for that is
    absolute."""
    got = np.asarray(got)
    if not dtypes.is_float(got.dtype):
        wrong = got != want
    else:
        x, y = got.astype(np.float64), np.asarray(want).astype(got.dtype).astype(np.float64)
        info = dtypes.finfo(got.dtype)
        close = np.isclose(x, y, rtol=4 * float(info.eps), atol=2 * float(info.smallest_subnormal))
        close &= np.signbit(x) == np.signbit(y)
        wrong = ~(close | np.isnan(x) & np.isnan(y) | loose & np.isclose(x, y, atol=2 * float(info.eps)))
    found = [
        (*[float(a[k]) for a in arguments], float(want[k]), float(got[k])) for k in np.flatnonzero(wrong)
    ]
    assert not found, f"{name} of {arguments[0].dtype}: arguments, expected, got: {found[:8]}"


def reference(f: Callable[..., Any], arguments: list[np.ndarray]) -> Any:
    """f itself; of half precision in float32, as f rounds the same once more."""
    half = arguments[0].dtype in (dtypes.float16, dtypes.bfloat16)
    return f(*[a.astype(np.float32) for a in arguments] if half else arguments)


def cases(names: Iterable[str], of_the_dtype: str) -> list[tuple[str, np.dtype]]:
    """Functions and dtypes; one function's values are of the dtype itself, so the reference in float32 says nothing."""
    every = itertools.product(names, DTYPES)
    return [(n, d) for n, d in every if n != of_the_dtype or dtypes.bits(d) > 16]


@pytest.mark.parametrize(("name", "dtype"), cases([*UNARY, *SPECIAL], "nan_to_num"), ids=str)
def test_functions_of_odd_numbers(name: str, dtype: np.dtype) -> None:
    ours, theirs = SPECIAL.get(name) or (getattr(fnp, name), getattr(np, name))
    x = numbers(dtype)
    want = reference(theirs, [x])
    loose: Any = False
    if name == "erf_inv":
        want = np.copysign(want, x.astype(want.dtype))  # SciPy drops the sign of -0.0
    if name == "logistic":
        # SciPy's is 0 where the result is denormal
        loose = np.abs(want) < float(dtypes.finfo(dtype).tiny)
    if name in ("lgamma", "digamma") and dtype == np.float64:
        # beside its zeros and poles SciPy's result has a large relative error, and lgamma of a denormal is infinite
        size = np.abs(x)
        keep = (size == 0) | (size > 1e-300) & (np.abs(size - 1) > 1e-9) | ~np.isfinite(x)
        x, want = x[keep], want[keep]
        loose = x < 0
    check(name, ours(fnp.asarray(x)), want, [x], loose)
    check(f"{name}, compiled,", fnn.jit(ours)(x), want, [x], loose)


@pytest.mark.parametrize(("name", "dtype"), cases(BINARY, "nextafter"), ids=str)
def test_functions_of_odd_pairs(name: str, dtype: np.dtype) -> None:
    x, y = (np.array(v) for v in zip(*itertools.product(numbers(dtype), repeat=2), strict=True))
    ours, theirs = getattr(fnp, name), getattr(np, name)
    want = reference(theirs, [x, y])
    for label, got in (
        (name, ours(fnp.asarray(x), fnp.asarray(y))),
        (f"{name}, compiled,", fnn.jit(ours)(x, y)),
    ):
        if name == "divmod":
            check(label, got[0], want[0], [x, y])
            check(label, got[1], want[1], [x, y])
        else:
            # where logarithms cancel NumPy's own result has a few digits
            check(label, got, want, [x, y], loose=name.startswith("logaddexp"))
