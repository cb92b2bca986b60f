"""fnn.numpy against NumPy: the same numbers, by name, eagerly and while tracing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.core.trace import closed_stage

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 4)).astype(np.float32)
B = RNG.normal(size=(3, 4)).astype(np.float32)
V = RNG.normal(size=7).astype(np.float32)
P = RNG.uniform(0.1, 0.9, (3, 4)).astype(np.float32)
I = RNG.integers(-9, 9, (3, 4)).astype(np.int32)  # noqa: E741  # integers
J = np.where(RNG.integers(-5, 5, (3, 4)) == 0, 3, RNG.integers(1, 5, (3, 4))).astype(np.int32)
M = I > 0
T = RNG.normal(size=(2, 3, 4)).astype(np.float32)
N = np.where(M, np.nan, A).astype(np.float32)
EMPTY = np.zeros((0, 3), np.float32)


def same(ours: Any, theirs: Any, tolerance: float = 2e-6) -> None:
    """Equal structure, shapes and (to rounding) numbers; the dtype is NumPy's, but in 32 bits."""
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for o, t in zip(ours, theirs, strict=True):
            same(o, t, tolerance)
        return
    theirs = np.asarray(theirs)
    if not isinstance(ours, fnn.Array):
        assert np.asarray(ours) == theirs
        return
    assert ours.shape == theirs.shape
    narrow = {"float64": "float32", "int64": "int32", "uint64": "uint32"}
    assert narrow.get(ours.dtype.name, ours.dtype.name) == narrow.get(theirs.dtype.name, theirs.dtype.name)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=tolerance, atol=tolerance)


# (name, arguments, keyword arguments): NumPy's function of the same name is the oracle
CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *[(n, (A,), {}) for n in (
        "negative", "positive", "absolute", "fabs", "sign", "square", "reciprocal", "cbrt", "exp", "exp2",
        "expm1", "sin", "cos",
        "tan", "arctan", "sinh", "cosh", "tanh", "arcsinh", "deg2rad", "rad2deg", "radians", "degrees",
        "floor", "ceil", "trunc",
        "rint", "isfinite", "isnan", "isinf", "isposinf", "isneginf", "signbit", "sinc", "abs", "round",
        "real", "conj",
        "logical_not", "sum", "prod", "mean", "var", "std", "max", "min", "all", "any", "argmax", "argmin",
        "cumsum", "cumprod",
        "ptp", "count_nonzero", "sort", "argsort", "ravel", "transpose", "squeeze", "flip", "fliplr",
        "flipud", "rot90", "diff",
        "diagonal", "trace", "tril", "triu", "median", "cov", "corrcoef", "gradient", "nan_to_num", "ndim",
        "shape", "size",
        "zeros_like", "ones_like", "atleast_1d", "atleast_2d", "atleast_3d", "unique", "argwhere",
        "flatnonzero", "amax", "modf",
        "matrix_transpose", "ediff1d", "nonzero", "isreal", "unstack",
    )],
    *[(n, (P,), {}) for n in ("sqrt", "log", "log2", "log10", "log1p", "arcsin", "arccos", "arctanh")],
    ("arccosh", (P + 1,), {}),
    *[(n, (I,), {}) for n in (
        "negative", "absolute", "sign", "square", "invert", "floor", "ceil", "trunc", "sum", "prod", "max",
        "argmin", "sort",
        "isnan", "isinf", "signbit", "cumsum", "unique", "bitwise_count", "count_nonzero", "diff", "isfinite",
    )],
    *[(n, (M,), {}) for n in ("sum", "invert", "all", "any", "max", "min", "cumsum", "argmax", "logical_not")],
    *[(n, (M,), {}) for n in ("mean", "diff")],
    *[(n, (A, B), {}) for n in (
        "add", "subtract", "multiply", "divide", "floor_divide", "remainder", "mod", "fmod", "arctan2",
        "maximum", "minimum", "fmax",
        "fmin", "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logaddexp",
        "logaddexp2", "hypot",
        "copysign", "nextafter", "heaviside", "logical_and", "logical_or", "logical_xor", "divmod",
        "isclose", "allclose",
        "array_equal", "outer", "vdot", "inner", "kron", "append", "array_equiv", "vecdot",
    )],
    *[(n, (I, J), {}) for n in (
        "add", "multiply", "floor_divide", "remainder", "fmod", "maximum", "bitwise_and", "bitwise_or",
        "bitwise_xor", "left_shift",
        "divmod", "power", "equal", "less", "isin",
    )],
    *[(n, (M, M.T.reshape(3, 4)), {}) for n in ("add", "multiply", "logical_xor", "bitwise_and", "maximum", "equal", "less")],
    ("right_shift", (I, J), {}), ("right_shift", (I.view(np.uint32), J.view(np.uint32)), {}),
    ("power", (P, A), {}), ("power", (A, 3), {}), ("float_power", (P, 2), {}), ("true_divide", (A, B), {}),
    *[(n, (N,), {}) for n in (
        "nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd", "isnan", "nanmedian",
        "nancumsum", "nancumprod",
    )],
    *[(n, (N,), {"axis": 0}) for n in ("nansum", "nanmean", "max", "argmax", "cumsum")],
    ("nan_to_num", (np.array([np.nan, np.inf, -np.inf, 1], np.float32),), {}),
    ("nanargmax", (N,), {"axis": 1}),
    ("nanargmin", (N,), {}), ("nanquantile", (N, 0.3), {"axis": 1}), ("nanpercentile", (N, 30.0), {}),
    *[(n, (T,), {"axis": axis, "keepdims": k})
      for n in ("sum", "mean", "max", "var") for axis in (0, -1, (0, 2)) for k in (True, False)],
    ("sum", (A,), {"where": M}), ("mean", (A,), {"where": M, "axis": 0}), ("var", (A,), {"where": M}),
    ("sum", (A,), {"initial": 3.0}),
    ("max", (A,), {"where": M, "initial": -5.0}), ("min", (EMPTY,), {"initial": 4.0}), ("sum", (EMPTY,), {}),
    ("prod", (EMPTY,), {}),
    ("std", (A,), {"ddof": 1}), ("var", (A,), {"axis": 1, "ddof": 1}), ("any", (A,), {"where": M}),
    ("all", (EMPTY,), {"axis": 0}),
    ("argmax", (T,), {"axis": 1, "keepdims": True}), ("argsort", (I,), {"stable": True}),
    ("sum", (I.astype(np.int8),), {"dtype": np.int32}), ("sum", (M,), {"axis": 0}),
    ("cumsum", (T,), {"axis": 1}), ("cumprod", (T,), {"axis": -1}), ("sort", (T,), {"axis": 0}),
    ("argsort", (T,), {"axis": 1}),
    ("reshape", (T, (4, -1)), {}), ("reshape", (T, (4, 6)), {"order": "F"}),
    ("transpose", (T, (2, 0, 1)), {}),
    ("swapaxes", (T, 0, 2), {}), ("moveaxis", (T, 0, -1), {}), ("moveaxis", (T, (0, 1), (2, 0)), {}),
    ("rollaxis", (T, 2), {}),
    ("squeeze", (T[:1],), {"axis": 0}), ("expand_dims", (T, (0, 3)), {}), ("flip", (T, (0, 1)), {}),
    ("rot90", (A, 3), {}),
    ("rot90", (A, 2), {}), ("broadcast_to", (A, (2, 3, 4)), {}), ("broadcast_arrays", (A, V[:4]), {}),
    ("broadcast_shapes", ((3, 1), (4,)), {}), ("concatenate", ([A, B],), {"axis": 1}),
    ("concatenate", ([A, V],), {"axis": None}),
    ("concatenate", ([A, I],), {}), ("stack", ([A, B],), {"axis": -1}), ("vstack", ([A, B],), {}),
    ("hstack", ([A, B],), {}),
    ("dstack", ([A, B],), {}), ("column_stack", ([V, V],), {}), ("block", ([[A, B], [B, A]],), {}),
    ("split", (A, 2), {"axis": 1}),
    ("split", (V, [2, 5]), {}), ("array_split", (V, 3), {}), ("hsplit", (A, 2), {}), ("vsplit", (A, 3), {}),
    ("dsplit", (T, 2), {}),
    ("tile", (A, (2, 1, 2)), {}), ("tile", (V, 2), {}), ("repeat", (A, 2), {"axis": 1}),
    ("repeat", (V, 3), {}),
    ("repeat", (A, np.array([1, 0, 2])), {"axis": 0}), ("roll", (A, 1), {}),
    ("roll", (A, (1, -1)), {"axis": (0, 1)}),
    ("roll", (A, 5), {"axis": 1}), ("take", (A, np.array([2, 0])), {"axis": 0}),
    ("take", (A, np.array([[1, 5]])), {}),
    ("take_along_axis", (A, I % 3, 0), {}), ("take_along_axis", (A, (I % 4)[:, :1], 1), {}),
    ("diagonal", (T, 1, 1, 2), {}),
    ("diagonal", (A, -1), {}), ("trace", (A, 1), {}), ("diag", (V, 2), {}), ("diag", (V, -1), {}),
    ("diag", (A, 1), {}),
    ("diagflat", (A,), {}), ("tril", (T, -1), {}), ("triu", (T, 1), {}), ("vander", (V, 3), {}),
    ("meshgrid", (V, A[0]), {}),
    ("meshgrid", (V, A[0]), {"indexing": "ij", "sparse": True}), ("where", (M, A, B), {}),
    ("where", (M, A, 0.0), {}),
    ("where", (M[0], A, B[:, :1]), {}), ("where", (M,), {}), ("clip", (A, -0.5, 0.5), {}),
    ("clip", (I, None, 3), {}),
    ("round", (A, 2), {}), ("matmul", (A, B.T), {}), ("matmul", (T, A.T), {}), ("matmul", (V[:4], A.T), {}),
    ("matmul", (A, V[:4]), {}),
    ("matmul", (A.T, T), {}), ("matmul", (T[:, None], np.stack([T.transpose(0, 2, 1)] * 5, 1)), {}),
    ("matmul", (V, V), {}),
    ("matmul", (V[:3], T), {}), ("matmul", (I, J.T), {}), ("matmul", (M, M.T), {}), ("dot", (T, A.T), {}),
    ("dot", (A, 2.0), {}),
    ("tensordot", (T, A), {"axes": ([1, 2], [0, 1])}), ("tensordot", (T, A.T), {"axes": 1}),
    ("matvec", (T, V[:4]), {}),
    ("vecmat", (V[:3], T), {}), ("einsum", ("ij,kj->ik", A, B), {}), ("einsum", ("ijk,jk->i", T, A), {}),
    ("einsum", ("ii->i", A[:, :3]), {}),
    ("einsum", ("ij->", A), {}), ("einsum", ("ij,jk,kl->il", A, B.T, A), {}),
    ("einsum", ("...j,j->...", T, V[:4]), {}),
    ("einsum", ("ij,ij", A, B), {}), ("einsum", ("ij,kl->ijkl", A, B), {}),
    ("einsum", ("bij,bjk->bik", T, T.transpose(0, 2, 1)), {}),
    ("einsum", ("ij,ij,ij->j", A, B, P), {}), ("einsum", ("ji", A), {}), ("einsum", ("i,i->", V, V), {}),
    ("einsum", ("iij->j", T.reshape(2, 2, 6)), {}),
    ("cross", (A[:, :3], B[:, :3]), {}), ("cross", (A[:, :3], B[:, :2]), {}), ("kron", (V, A), {}),
    ("searchsorted", (np.sort(V), A), {}),
    ("searchsorted", (np.sort(V), V), {"side": "right"}), ("interp", (A, np.sort(V), V), {}),
    ("interp", (A, np.sort(V), V), {"left": -1.0, "right": 9.0}),
    ("diff", (A,), {"n": 2, "axis": 0}), ("diff", (V,), {"prepend": 0.0, "append": 1.0}),
    ("bincount", (np.abs(I).ravel(),), {}),
    ("bincount", (np.abs(I).ravel(), A.ravel()), {"minlength": 12}), ("digitize", (A, np.sort(V)), {}),
    ("histogram_bin_edges", (V, 5), {}), ("quantile", (A, 0.3), {}),
    ("quantile", (T, [0.1, 0.7]), {"axis": (0, 2)}),
    ("quantile", (T, 0.4), {"axis": 1, "keepdims": True}), ("percentile", (A, 30.0), {"axis": 1}),
    ("median", (T,), {"axis": 1}),
    *[("quantile", (V, 0.33), {"method": m}) for m in ("lower", "higher", "nearest", "midpoint")],
    ("average", (A,), {}), ("average", (A,), {"weights": P}),
    ("average", (A,), {"weights": V[:3], "axis": 0}), ("cov", (A, B), {}),
    ("pad", (A, 1), {}), ("pad", (A, ((1, 0), (2, 3))), {"constant_values": 7.0}),
    ("pad", (V, (2, 1)), {"constant_values": (1.0, 2.0)}),
    *[("pad", (A, ((1, 2), (3, 0))), {"mode": m})
      for m in ("edge", "reflect", "symmetric", "wrap", "maximum", "mean", "linear_ramp")],
    ("unique", (I,), {"return_index": True, "return_inverse": True, "return_counts": True}),
    ("isin", (I, [1, 2, 3]), {}),
    ("union1d", (I, J), {}), ("intersect1d", (I, J), {}), ("setdiff1d", (I, J), {}),
    ("delete", (V, [1, 3]), {}), ("delete", (A, 1), {"axis": 1}),
    ("insert", (V, 2, 9.0), {}), ("insert", (A, 1, V[:3]), {"axis": 1}),
    ("insert", (V, [1, 4], [8.0, 9.0]), {}), ("extract", (M, A), {}),
    ("compress", ([True, False, True], A), {"axis": 0}), ("unravel_index", (np.array([5, 7]), (3, 4)), {}),
    ("ravel_multi_index", ((np.array([1, 2]), np.array([3, 0])), (3, 4)), {}),
    ("lexsort", ((I[0], J[0]),), {}),
    *[("convolve", (V, A[0]), {"mode": m}) for m in ("full", "same", "valid")],
    *[("correlate", (V, A[0]), {"mode": m}) for m in ("full", "same", "valid")],
    ("polyval", (V, A), {}), ("polymul", (V, A[0]), {}), ("polyadd", (V, A[0]), {}), ("polyder", (V,), {}),
    ("trapezoid", (A,), {}),
    ("trapezoid", (A,), {"x": np.sort(V[:4])}), ("unwrap", (A * 5,), {}),
    ("select", ([M, I < -3], [A, B]), {}),
    ("choose", (I % 2, [A, B]), {"mode": "clip"}), ("zeros", ((2, 3),), {}), ("ones", (3,), {"dtype": np.int32}),
    ("full", ((2, 2), 1.5), {}),
    ("full_like", (A, 2), {}), ("eye", (3,), {}), ("eye", (3, 4, 1), {}), ("identity", (2,), {}),
    ("tri", (3, 4, -1), {}), ("arange", (5,), {}),
    ("arange", (2, 10, 3), {}), ("arange", (5, 0, -2), {}), ("arange", (0.0, 1.0, 0.25), {}),
    ("linspace", (0.0, 1.0, 7), {}),
    ("linspace", (0.0, 1.0, 7), {"endpoint": False}), ("linspace", (A[0], B[0], 4), {}),
    ("linspace", (A[0], B[0], 4), {"axis": 1}),
    ("linspace", (0, 10, 4), {"dtype": np.int32}), ("linspace", (0.0, 1.0, 5), {"retstep": True}),
    ("logspace", (0.0, 2.0, 4), {}),
    ("geomspace", (1.0, 100.0, 3), {}), ("indices", ((2, 3),), {}), ("tril_indices", (3,), {}),
    ("triu_indices", (3, 1), {}),
    ("diag_indices", (3,), {}), ("empty", ((0, 2),), {}),
    ("sign", (np.array([np.nan, -0.0], np.float32),), {}), ("angle", (A,), {}),
    ("ptp", (A,), {"axis": 0}), ("cumulative_sum", (V,), {"include_initial": True}), ("argwhere", (M,), {}),
    ("fromfunction", (lambda i, j: i + 2 * j, (2, 3)), {}), ("partition", (np.sort(V), 2), {}),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{k}-{c[0]}" for k, c in enumerate(CASES)])
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")
def test_as_numpy(number: int) -> None:
    name, args, kwargs = CASES[number]
    same(getattr(fnp, name)(*args, **kwargs), getattr(np, name)(*args, **kwargs), 2e-5)


# Functions whose results have lengths that depend on values, or that NumPy arguments make concrete anyway.
_BY_VALUE = frozenset(
    [
        "unique",
        "argwhere",
        "flatnonzero",
        "nonzero",
        "ndim",
        "shape",
        "size",
        "where",
        "bincount",
        "digitize",
        "union1d",
        "intersect1d",
        "setdiff1d",
        "extract",
        "compress",
    ]
)


@pytest.mark.parametrize(
    "number", [k for k, c in enumerate(CASES) if isinstance(c[1][0], np.ndarray) and c[0] not in _BY_VALUE]
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")
def test_staged_has_the_type_of_the_eager_result(number: int) -> None:
    """Recording the operation gives the same types as running it: no NumPy is called on a traced array."""
    name, args, kwargs = CASES[number]
    x = fnp.asarray(args[0])
    f: Callable[..., Any] = getattr(fnp, name)
    eager = f(x, *args[1:], **kwargs)

    def leaves(out: Any) -> list[Any]:
        return [leaf for leaf in fnn.tree.leaves(out) if isinstance(leaf, fnn.Array)]

    graph = closed_stage(lambda t: leaves(f(t, *args[1:], **kwargs)), [x.aval])
    assert [(o.aval.shape, o.aval.dtype) for o in graph.outputs] == [
        (o.shape, o.dtype) for o in leaves(eager)
    ]


def test_every_name_of_the_common_api_is_there() -> None:
    names = [
        "zeros",
        "concatenate",
        "ones",
        "arange",
        "array",
        "mean",
        "where",
        "sqrt",
        "sum",
        "float32",
        "zeros_like",
        "stack",
        "exp",
        "log",
        "ones_like",
        "asarray",
        "abs",
        "clip",
        "reshape",
        "expand_dims",
        "int32",
        "cos",
        "maximum",
        "sin",
        "argmax",
        "minimum",
        "all",
        "dot",
        "eye",
        "square",
        "pi",
        "max",
        "inf",
        "linspace",
        "full",
        "transpose",
        "diag",
        "squeeze",
        "tile",
        "einsum",
        "broadcast_to",
        "logical_and",
        "matmul",
        "repeat",
        "isnan",
        "split",
        "finfo",
        "min",
        "any",
        "float64",
        "isfinite",
        "swapaxes",
        "tanh",
        "pad",
        "roll",
        "dtype",
        "newaxis",
        "sign",
        "allclose",
        "nan",
        "power",
        "shape",
        "argsort",
        "outer",
        "moveaxis",
        "prod",
        "vstack",
        "bool_",
        "cumsum",
        "std",
        "take",
        "take_along_axis",
        "hstack",
        "meshgrid",
        "sort",
        "tril",
        "var",
        "issubdtype",
        "logical_or",
        "round",
        "float16",
        "multiply",
        "ndim",
        "add",
        "isclose",
        "size",
        "argmin",
        "complex64",
        "full_like",
        "conj",
        "diagonal",
        "equal",
        "flip",
        "int64",
        "logical_not",
        "uint32",
        "append",
        "arctan2",
        "bfloat16",
        "ceil",
        "empty",
        "floating",
        "floor",
        "integer",
        "log1p",
        "mod",
        "tensordot",
        "trace",
        "triu",
        "ndarray",
        "uint8",
        "int8",
        "int16",
        "uint16",
        "uint64",
        "complex128",
        "inexact",
        "result_type",
        "iinfo",
        "promote_types",
        "vectorize",
        "euler_gamma",
        "e",
        "mgrid",
        "set_printoptions",
        "apply_along_axis",
        "column_stack",
        "isscalar",
        "bitwise_not",
        "concat",
        "amax",
        "amin",
        "around",
        "absolute",
        "pow",
        "conjugate",
        "remainder",
    ]
    missing = [n for n in names if not hasattr(fnp, n)]
    assert not missing
    assert all(
        hasattr(fnp.linalg, n) for n in ("norm", "inv", "solve", "cholesky", "eigh", "det", "svd", "qr")
    )


def test_missing_names_say_what_to_use() -> None:
    with pytest.raises(AttributeError, match=r"fnn\.random draws numbers from keys"):
        fnp.random  # noqa: B018  # the access is the point
    with pytest.raises(AttributeError, match="did you mean 'concatenate'"):
        fnp.concatenat  # noqa: B018
