"""Every function of fnn.numpy over dtypes, broadcasting, arrays that are empty or have no axes, axes and errors: by families.

NumPy is the oracle, in 64 bits, where fnn's dtypes are NumPy's but for floats made of integers (as JAX's, of their width).
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import dtypes
from fnn.config import config
from fnn.errors import AxisError
from tests import test_numpy_names
from tests.test_numpy import CASES
from tests.tolerances import assert_close

pytestmark = pytest.mark.filterwarnings("ignore")
BF16 = dtypes.bfloat16
FLOATS = [BF16, *map(np.dtype, ("float16", "float32", "float64"))]
COMPLEX = [*map(np.dtype, ("complex64", "complex128"))]
INTEGERS = [*map(np.dtype, ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"))]
BOOL = np.dtype(bool)
ALL = [BOOL, *INTEGERS, *FLOATS, *COMPLEX]
KINDS = {"b": [BOOL], "i": INTEGERS, "f": FLOATS, "c": COMPLEX}
SHAPES = [(), (5,), (2, 3), (0, 3)]


@pytest.fixture(autouse=True)
def in_64_bits() -> Iterator[None]:
    with config.using(enable_x64=True):
        yield


def each(names: str, value: Any) -> dict[str, Any]:
    return dict.fromkeys(names.split(), value)


def of_kinds(kinds: str) -> list[np.dtype]:
    return [dtype for kind in kinds for dtype in KINDS[kind]]


def floating(dtype: np.dtype) -> np.dtype:
    """The float that integers and bools become."""
    return dtype if dtypes.is_inexact(dtype) else np.dtype("float64" if dtype.itemsize == 8 else "float32")


def real_of(dtype: np.dtype) -> np.dtype:
    return np.empty(0, dtype).real.dtype if dtype.kind == "c" else dtype


def numbers(
    dtype: np.dtype, shape: tuple[int, ...], low: float = -3, high: float = 3, seed: int = 0
) -> np.ndarray:
    """Different numbers between two limits; integers are whole ones of them."""
    n = int(np.prod(shape))
    x = low + (high - low) * (0.5 + 0.49 * np.cos(1.7 * np.arange(n) + seed + 0.3))
    if dtype == BOOL:
        return (np.arange(n) % 3 != seed % 3).reshape(shape)
    if not dtypes.is_inexact(dtype):
        x = np.clip(np.rint(x), max(np.ceil(low), np.iinfo(dtype).min), np.floor(high))
    if dtype.kind == "c":
        x = x + 1j * np.sin(np.arange(n) + seed)
    return x.astype(dtype).reshape(shape)


def wide(x: np.ndarray, dtype: np.dtype | None = None) -> np.ndarray:
    """The numbers in the precision the oracle computes in: 64-bit floats for floats (or where a float is to result)."""
    if not dtypes.is_inexact(x.dtype) and not (dtype is not None and dtypes.is_inexact(dtype)):
        return x
    return x.astype(np.complex128 if "c" in (x.dtype.kind, getattr(dtype, "kind", "")) else np.float64)


def ours(x: np.ndarray) -> Any:
    return fnp.asarray(x, dtype=x.dtype)


def check(found: Any, wanted: Any, dtype: np.dtype, what: str, precision: np.dtype | None = None) -> None:
    with np.errstate(all="ignore"):
        wanted = np.asarray(wanted).astype(dtype)
    assert isinstance(found, fnn.Array), what
    assert not found.weak_type, what
    assert_close(found, wanted, 20.0, precision, what)


# -- of one array -----------------------------------------------------------------------------------------------------

# name: (least, greatest argument, kinds of dtypes, which dtype results)
UNARY: dict[str, tuple[float, float, str, Callable[[np.dtype], np.dtype]]] = {
    **each("sin cos sinh cosh tanh exp exp2 expm1 arctan atan arcsinh asinh sinc", (-2, 2, "bifc", floating)),
    **each("tan", (-1.2, 1.2, "bifc", floating)),
    **each("arcsin asin arccos acos", (-0.9, 0.9, "bifc", floating)),
    **each("arctanh atanh", (-0.9, 0.9, "fc", floating)),
    **each("arccosh acosh log log2 log10 sqrt reciprocal", (1.1, 3, "ifc", floating)),
    "log1p": (-0.5, 3, "bifc", floating),
    **each("cbrt fabs deg2rad rad2deg radians degrees i0", (-3, 3, "bif", floating)),
    "square": (-3, 3, "ifc", lambda d: d),
    **each("negative positive sign", (-3, 3, "ifc", lambda d: d)),
    **each("conj conjugate", (-3, 3, "bifc", lambda d: d)),
    **each("floor ceil trunc fix", (-3, 3, "bif", lambda d: d)),
    **each("round around", (-3, 3, "ifc", lambda d: d)),
    "rint": (-3, 3, "fc", lambda d: d),
    **each("abs absolute real imag", (-3, 3, "bifc", real_of)),
    **each("nan_to_num", (-3, 3, "bif", floating)),
    **each("isnan isinf isfinite logical_not iscomplex isreal", (-3, 3, "bifc", lambda d: BOOL)),
    **each("signbit isposinf isneginf", (-3, 3, "if", lambda d: BOOL)),
    **each("invert bitwise_not bitwise_invert", (-3, 3, "bi", lambda d: d)),
    "bitwise_count": (-3, 3, "i", lambda d: np.dtype("uint8")),
    "angle": (-3, 3, "fc", real_of),
}  # fmt: skip
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0])
UNARY["nan_to_num"] = (-3, 3, "bifc", lambda d: d)


@pytest.mark.parametrize("name", UNARY)
def test_of_one_array(name: str) -> None:
    low, high, kinds, result = UNARY[name]
    f, g = getattr(fnp, name), getattr(np, name)
    for dtype in of_kinds(kinds):
        target = result(dtype)
        for shape in SHAPES:
            x = numbers(dtype, shape, low, high)
            check(
                f(ours(x)),
                g(wide(x, floating(dtype) if result is floating else None)),
                target,
                f"{name} {dtype} {shape}",
            )
        if dtype in FLOATS and name != "nan_to_num":
            x = SPECIAL.astype(dtype)
            check(f(ours(x)), g(wide(x)), target, f"{name} {dtype} special")
    if "c" not in kinds and "deg" not in name and name != "radians":  # these multiply
        with pytest.raises(TypeError):
            f(ours(numbers(COMPLEX[0], (2,))))


# -- of two arrays ----------------------------------------------------------------------------------------------------

# name: (least, greatest of both, kinds, which dtype results of the one they meet in)
BINARY: dict[str, tuple[float, float, str, Callable[[np.dtype], np.dtype]]] = {
    **each("add multiply", (-3, 3, "bifc", lambda d: d)),
    "subtract": (-3, 3, "ifc", lambda d: d),
    **each("divide true_divide float_power", (1, 3, "ifc", floating)),
    **each("floor_divide mod remainder fmod", (1, 3, "if", lambda d: d)),
    **each("power pow", (1, 3, "ifc", lambda d: d)),
    **each("maximum minimum fmax fmin", (-3, 3, "bif", lambda d: d)),
    **each("arctan2 atan2 hypot copysign heaviside logaddexp logaddexp2", (-3, 3, "if", floating)),
    **each("equal not_equal logical_and logical_or logical_xor", (-3, 3, "bifc", lambda d: BOOL)),
    **each("less less_equal greater greater_equal", (-3, 3, "bif", lambda d: BOOL)),
    "isclose": (-3, 3, "ifc", lambda d: BOOL),
    **each("bitwise_and bitwise_or bitwise_xor", (-3, 3, "bi", lambda d: d)),
    **each("left_shift right_shift bitwise_left_shift bitwise_right_shift", (0, 3, "i", lambda d: d)),
    **each("gcd lcm", (0, 6, "i", lambda d: d)),
}  # fmt: skip
MEETINGS = [((), ()), ((3, 1), (4,)), ((0, 3), (1, 3)), ((5,), ())]
PAIRS = [(a, a) for a in ALL] + [
    (np.dtype(a), np.dtype(b))
    for a, b in [("bool", "int8"), ("int8", "uint8"), ("int16", "float32"), ("uint32", "int32"), ("int64", "float16"),
                 ("uint16", "int8"), ("float32", "complex64"), ("float64", "complex64"), ("float16", "float32")]
]  # fmt: skip


@pytest.mark.parametrize("name", BINARY)
def test_of_two_arrays(name: str) -> None:
    low, high, kinds, result = BINARY[name]
    f, g = getattr(fnp, name), getattr(np, name)
    known = of_kinds(kinds)
    loops = name in ("gcd", "lcm")  # one program for each type
    for first, second in PAIRS:
        meeting = dtypes.promote_types(first, second)
        if meeting not in known or (loops and first not in (INTEGERS[2], INTEGERS[7])):
            continue
        target = result(meeting)
        at = floating(meeting) if result is floating else meeting
        for a, b in MEETINGS[:2] if loops else MEETINGS:
            x, y = numbers(first, a, low, high), numbers(second, b, low, high, 1)
            wanted = g(wide(x.astype(at)), wide(y.astype(at)))
            check(f(ours(x), ours(y)), wanted, target, f"{name} {first}{a} {second}{b}")
    if name in ("arctan2", "atan2"):
        z = numbers(COMPLEX[1], (3,), 1, 3)
        check(f(ours(z), 2.0), -1j * np.log((2 + 1j * z) / np.sqrt(z * z + 4)), COMPLEX[1], name)
    if name == "logaddexp":
        z = numbers(COMPLEX[1], (3,))
        check(f(ours(z), 2.0), np.log(np.exp(z) + np.exp(2)), COMPLEX[1], name)
    with pytest.raises(ValueError, match="ncompatible shapes for broadcasting"):
        f(ours(numbers(known[-1], (3,), low, high)), ours(numbers(known[-1], (4,), low, high)))


OPERATIONS: list[Callable[[Any], Any]] = [
    lambda v: v + 2, lambda v: 3 * v, lambda v: v - 1, lambda v: v**2, lambda v: 7 - v, lambda v: v // 2, lambda v: v % 2,
]  # fmt: skip


def test_python_numbers_take_the_dtype_of_the_array() -> None:
    for dtype in INTEGERS + FLOATS + COMPLEX:
        x = numbers(dtype, (4,), 1, 3)
        for f in OPERATIONS[: 5 if dtype.kind == "c" else None]:
            check(f(ours(x)), f(x), dtype, f"{dtype}")
    for name in ("uint8", "uint32", "uint64"):  # negative numbers wrap around
        x = np.array([5, 7], name)
        check(ours(x) + -2, x - np.array(2, name), np.dtype(name), name)


# -- reductions -------------------------------------------------------------------------------------------------------

AXES: list[Any] = [None, 0, -1, (0, 2), (-1, 0), ()]
# name: (kinds, which dtype results, options it takes beside axis and keepdims)
REDUCTIONS: dict[str, tuple[str, Callable[[np.dtype], np.dtype], str]] = {
    **each("sum prod nansum nanprod", ("bifc", lambda d: np.sum(np.zeros(1, d)).dtype, "where initial")),
    **each("mean nanmean", ("bif", floating, "where")),
    **each("var std nanvar nanstd", ("bifc", lambda d: real_of(floating(d)), "where ddof")),
    **each("max min amax amin nanmax nanmin", ("bif", lambda d: d, "where+initial initial")),
    "ptp": ("if", lambda d: d, ""),
    **each("all any", ("bifc", lambda d: BOOL, "where")),
    "count_nonzero": ("bifc", lambda d: np.dtype(int), ""),
    **each("argmax argmin nanargmax nanargmin", ("bif", lambda d: np.dtype(int), "one axis")),
    **each("median nanmedian", ("bif", floating, "")),
    "average": ("bifc", floating, ""),
    **each("quantile nanquantile", ("if", floating, "q=0.3")),
    **each("percentile nanpercentile", ("if", floating, "q=30")),
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str) -> None:
    kinds, result, options = REDUCTIONS[name]
    f, g = getattr(fnp, name), getattr(np, name)
    more = (float(options[2:]),) if options.startswith("q=") else ()
    mask = numbers(BOOL, (2, 3, 4), seed=1)
    for dtype in of_kinds(kinds):
        x, target = numbers(dtype, (2, 3, 4)), result(dtype)
        if name.startswith("nan") and dtype in FLOATS:
            x[0, 1, 2] = np.nan

        def compare(v: np.ndarray, dtype: np.dtype = dtype, target: np.dtype = target, **kw: Any) -> None:
            precision = dtype if dtypes.is_inexact(dtype) else None
            check(f(ours(v), *more, **kw), g(wide(v), *more, **kw), target, f"{name} {dtype} {kw}", precision)

        for axis in AXES:
            if "one axis" in options and isinstance(axis, tuple):
                continue
            if axis == () and (more or "median" in name or name == "average"):
                continue  # NumPy's fails
            compare(x, axis=axis)
            compare(x, axis=axis, keepdims=True)
        compare(numbers(dtype, ()))
        if "median" not in name and not more and name != "average" and "one axis" not in options:
            compare(np.zeros((0, 3), dtype), axis=1)
        if "where" in options.split():
            compare(x, axis=1, where=mask)
            compare(x, axis=(0, 1), where=mask[0, 0])
        if "where+initial" in options:
            compare(x, axis=1, where=mask, initial=np.ones((), dtype)[()])
        if "initial" in options.split():
            compare(x, axis=2, initial=np.ones((), dtype)[()])
        if "ddof" in options:
            compare(x, axis=1, ddof=1)
    for axis in (3, -4) if "one axis" in options else (3, -4, (0, 3)):
        with pytest.raises(AxisError, match="there is no axis"):
            f(ours(numbers(FLOATS[2], (2, 3, 4))), *more, axis=axis)


RUNNING = ["cumsum", "cumprod", "nancumsum", "nancumprod", "cumulative_sum", "cumulative_prod"]


@pytest.mark.parametrize("name", RUNNING)
def test_running(name: str) -> None:
    f, g = getattr(fnp, name), getattr(np, name)
    for dtype in ALL:
        target = dtype if dtype != BOOL else np.dtype(int)
        if name.startswith("cumulative"):
            target = g(np.zeros(1, dtype)).dtype if dtype != BF16 else dtype
        for shape in ((6,), (2, 3), (0, 2)):
            for axis in range(-len(shape), len(shape)):
                x = numbers(dtype, shape)
                wanted = getattr(np, name)(wide(x), axis=axis)
                check(f(ours(x), axis=axis), wanted, target, f"{name} {dtype} {shape} {axis}")
        if not name.startswith("cumulative"):
            check(
                f(ours(numbers(dtype, (2, 3)))), getattr(np, name)(wide(numbers(dtype, (2, 3)))), target, name
            )
    with pytest.raises(AxisError):
        f(fnp.ones((2, 3)), axis=2)


# -- elements moved about ---------------------------------------------------------------------------------------------

X, V3, Z = (2, 3, 4), (3,), (0, 3)
PLACES = np.array([[1, -1, 0], [2, 0, -2]])
# (name, shape, what comes behind the array, options): the dtype stays
MOVES: list[tuple[str, tuple[int, ...], tuple[Any, ...], dict[str, Any]]] = [
    *[(n, s, (), {}) for n in ("ravel", "transpose", "squeeze", "copy", "array", "asarray", "atleast_1d", "atleast_2d",
                               "atleast_3d", "zeros_like", "ones_like") for s in ((), V3, X, Z)],
    *[(n, s, (), {}) for n in ("fliplr", "rot90", "matrix_transpose", "diagonal", "permute_dims") for s in (X, (2, 3))],
    *[(n, s, (), {}) for n in ("flip", "flipud", "sort", "unique", "unstack") for s in (V3, (2, 3), Z)],
    ("reshape", X, ((4, -1),), {}), ("reshape", X, ((6, 4),), {"order": "F"}), ("reshape", Z, ((3, 0),), {}),
    ("squeeze", (1, 3, 1), (-1,), {}), ("expand_dims", X, ((0, -1),), {}), ("swapaxes", X, (0, -1), {}),
    ("moveaxis", X, ((0, 1), (-1, -2)), {}), ("rollaxis", X, (2,), {}), ("transpose", X, ((1, -1, 0),), {}),
    ("flip", X, ((0, -1),), {}), ("rot90", X, (3, (1, 2)), {}),
    *[("roll", X, (s, k), {}) for s, k in ((1, None), (-5, 1), ((1, 2), (0, 1)), ((1, 2), (0, 0)), (2, (0, -1)))],
    ("tile", (2, 3), ((2, 1, 2),), {}), ("tile", (), (3,), {}), ("repeat", (2, 3), (2,), {}),
    ("repeat", (2, 3), ([1, 0, 2], -1), {}),
    ("repeat", (), (2, 0), {}), ("broadcast_to", V3, ((2, 3),), {}), ("resize", (2, 3), ((4, 2),), {}),
    *[("split", (4, 6), (k, a), {}) for k, a in ((2, 0), ([1, 4], -1))], ("array_split", (5,), (3,), {}),
    ("hsplit", (4, 6), (3,), {}), ("vsplit", (4, 6), (2,), {}), ("dsplit", (1, 2, 4), ([1],), {}),
    ("take", X, (PLACES, 1), {"mode": "wrap"}), ("take", X, (np.array([5, -7]),), {"mode": "clip"}), ("take", X, (1, -1), {}),
    ("take_along_axis", (2, 3), (PLACES, 1), {}), ("tril", X, (1,), {}), ("triu", (3, 4), (-1,), {}), ("diag", V3, (1,), {}),
    ("diag", (3, 4), (-1,), {}), ("diagflat", (2, 2), (), {}), ("diagonal", X, (1, 2, 0), {}),
    ("delete", (2, 3), ([0, -1], 1), {}), ("delete", V3, (1,), {}), ("sort", X, (0,), {}),
    ("compress", (2, 3), (), {"condition": [True, False, True], "axis": 1}), ("pad", (2, 3), (((1, 2), (0, 1)),), {}),
    *[("pad", (2, 3), (2, mode), {}) for mode in ("edge", "reflect", "symmetric", "wrap", "maximum", "minimum")],
    ("extract", (2, 3), (), {}), ("trim_zeros", (5,), (), {}), ("astype", X, (), {}),
]  # fmt: skip


def _moved(module: Any, name: str, x: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    if name == "compress":
        return module.compress(np.asarray(options["condition"]), x, options["axis"])
    if name == "extract":
        return module.extract(np.array([[True, False, True], [False, True, True]]), x)
    if name == "astype":
        return module.astype(x, np.dtype("float32")).astype(x.dtype)
    return getattr(module, name)(x, *args, **options)


@pytest.mark.parametrize("name", dict.fromkeys(m[0] for m in MOVES))
def test_elements_moved_about(name: str) -> None:
    for _, shape, args, options in [m for m in MOVES if m[0] == name]:
        for dtype in (BOOL, INTEGERS[0], INTEGERS[7], *FLOATS, COMPLEX[0]):
            if name == "pad" and dtype == BOOL and args[1:] in (("maximum",), ("minimum",)):
                continue
            x = numbers(dtype, shape)
            sortable = x.astype(np.float32) if dtype == BF16 and name in ("sort", "unique") else x
            if name == "astype" and dtype.kind == "c":
                continue
            found, wanted = (
                _moved(fnp, name, ours(x), args, options),
                _moved(np, name, sortable, args, options),
            )
            several = isinstance(wanted, (list, tuple))
            for f, w in zip(found if several else [found], wanted if several else [wanted], strict=True):
                check(f, w, dtype, f"{name} {dtype} {shape} {args}")


JOINS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *[(n, ((2, 3), (2, 3)), {}) for n in ("concatenate", "concat", "stack", "vstack", "hstack", "dstack", "column_stack",
                                          "row_stack", "block")],
    *[("concatenate", ((2, 3), (2, 1), (2, 0)), {"axis": k}) for k in (1, -1)],
    ("concatenate", ((2, 3), (0, 3)), {"axis": None}),
    *[("stack", ((2, 3), (2, 3)), {"axis": k}) for k in (1, -1, 2)], ("hstack", ((), (2,)), {}), ("block", ((), (2,)), {}),
]  # fmt: skip


@pytest.mark.parametrize("name", dict.fromkeys(j[0] for j in JOINS))
def test_arrays_joined(name: str) -> None:
    for _, shapes, options in [j for j in JOINS if j[0] == name]:
        for first, second in PAIRS:
            meeting = dtypes.promote_types(first, second)
            parts = [numbers(first if k % 2 else second, s, seed=k) for k, s in enumerate(shapes)]
            wanted = getattr(np, name)([p.astype(meeting) for p in parts], **options)
            check(
                getattr(fnp, name)([ours(p) for p in parts], **options),
                wanted,
                meeting,
                f"{name} {first} {second}",
            )
    with pytest.raises(ValueError):
        getattr(fnp, name)([fnp.ones((2, 3)), fnp.ones((4, 5, 6))])


# -- made of nothing --------------------------------------------------------------------------------------------------

MADE: list[tuple[str, tuple[Any, ...]]] = [
    *[(n, (s,)) for n in ("zeros", "ones", "empty") for s in ((2, 3), 4, (), (0, 2))],
    *[("full", (s, 1)) for s in ((2, 3), (), (0,))],
    ("eye", (3,)), ("eye", (3, 4, -1)), ("eye", (0,)), ("identity", (3,)), ("tri", (3, 4, 1)),
    ("arange", (5,)), ("arange", (1, 9, 3)), ("arange", (0,)), ("linspace", (0, 8, 5)), ("indices", ((2, 3),)),
]  # fmt: skip


@pytest.mark.parametrize("name", dict.fromkeys(m[0] for m in MADE))
def test_made_of_nothing(name: str) -> None:
    for _, args in [m for m in MADE if m[0] == name]:
        for dtype in INTEGERS + FLOATS + COMPLEX:
            wanted = getattr(np, name)(*args, dtype=np.float64 if dtype == BF16 else dtype)
            wanted = np.zeros_like(wanted) if name == "empty" else wanted
            check(getattr(fnp, name)(*args, dtype=dtype), wanted, dtype, f"{name} {dtype} {args}")


# -- the other samples, in 64 bits ------------------------------------------------------------------------------------

SAMPLES: list[tuple[str, tuple[Any, ...], dict[str, Any], Callable[..., Any] | None]] = [
    *[(name, args, options, None) for name, args, options in CASES],
    *[
        (s.name, s.arguments, s.options, s.oracle)
        for s in test_numpy_names.SAMPLES
        if s.name not in test_numpy_names.BY_HAND
    ],
]
# Their oracles give 32 bits, whatever they are given.
IN_32_BITS = {"histogram", "histogramdd", "histogram2d", "poly", "roots", "sort_complex", "array_repr", "array_str", "astype",
              "i0", "fromstring", "spacing", "argpartition", "bincount", "from_dlpack", "frexp"}  # fmt: skip


def widened(x: Any) -> Any:
    if isinstance(x, np.ndarray | np.generic) and x.dtype.name in ("float32", "int32", "complex64"):
        return x.astype({"float32": "float64", "int32": "int64", "complex64": "complex128"}[x.dtype.name])
    if isinstance(x, (list, tuple)):
        return type(x)(map(widened, x))
    return x


def equal(found: Any, wanted: Any, what: str) -> None:
    if isinstance(wanted, (tuple, list)):
        assert len(found) == len(wanted), what
        for f, w in zip(found, wanted, strict=True):
            equal(f, w, what)
    elif isinstance(found, fnn.Array):
        wanted = np.asarray(wanted)
        assert found.shape == wanted.shape, what
        both = {found.dtype.name, wanted.dtype.name}
        known = len(both) == 1 or both in (
            {"int32", "int64"},
            {"float32", "float64"},
        )  # of indices, and means of integers
        assert known, f"{what}: {found.dtype} for {wanted.dtype}"
        close = 1e-5 if found.dtype.name == "float32" else 1e-9
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=close, atol=close, err_msg=what)


NAMES = sorted({s[0] for s in SAMPLES} - IN_32_BITS)


@pytest.mark.parametrize("name", NAMES)
def test_samples_in_64_bits(name: str) -> None:
    for k, (other, args, options, oracle) in enumerate(SAMPLES):
        if other == name:
            args, options = widened(args), {n: widened(v) for n, v in options.items()}
            found = getattr(fnp, name)(*args, **options)
            equal(found, (oracle or getattr(np, name))(*args, **options), f"{name} {k}")
