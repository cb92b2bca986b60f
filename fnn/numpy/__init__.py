"""fnn.numpy: NumPy's functions for fnn arrays. They take part in grad, vmap and jit.

Names, arguments and results are NumPy's; dtypes follow `fnn.dtypes` (32 bits unless asked), and nothing is changed in
place. `import fnn.numpy as fnp` is the custom.

>>> import fnn, fnn.numpy as fnp
>>> x = fnp.linspace(0.0, 1.0, 5)
>>> print(fnp.sum(x ** 2), fnn.grad(lambda x: fnp.sum(x ** 2))(x))
1.875 [0.  0.5 1.  1.5 2. ]
"""

from __future__ import annotations

from typing import Any

from fnn import array as _array  # installs the operators of arrays
from fnn.core.array import Array as ndarray
from fnn.numpy import dtype_names as _dtype_names
from fnn.numpy import linalg
from fnn.numpy.bits import frexp, gcd, lcm, ldexp, packbits, spacing, unpackbits
from fnn.numpy.comparing import (
    allclose,
    array_equal,
    array_equiv,
    isclose,
    iscomplex,
    iscomplexobj,
    isreal,
    isrealobj,
    isscalar,
    iterable,
    ndim,
    shape,
    size,
)
from fnn.numpy.creation import (
    diag,
    diag_indices,
    diag_indices_from,
    diagflat,
    eye,
    fromfunction,
    geomspace,
    identity,
    indices,
    logspace,
    meshgrid,
    mgrid,
    ogrid,
    tri,
    tril,
    tril_indices,
    tril_indices_from,
    triu,
    triu_indices,
    triu_indices_from,
    vander,
)
from fnn.numpy.creation import select_by as select
from fnn.numpy.dtype_names import (
    ComplexWarning,
    angle,
    can_cast,
    character,
    complexfloating,
    dtype,
    e,
    euler_gamma,
    finfo,
    flexible,
    floating,
    generic,
    iinfo,
    inexact,
    inf,
    integer,
    isdtype,
    issubdtype,
    nan,
    newaxis,
    number,
    object_,
    pi,
    promote_types,
    result_type,
    signedinteger,
    unsignedinteger,
)
from fnn.numpy.elementwise import *
from fnn.numpy.files import (
    array_repr,
    array_str,
    from_dlpack,
    frombuffer,
    fromfile,
    fromiter,
    fromstring,
    get_printoptions,
    load,
    printoptions,
    save,
    savez,
    set_printoptions,
)
from fnn.numpy.functional import (
    apply_along_axis,
    apply_over_axes,
    choose,
    convolve,
    correlate,
    modf,
    piecewise,
    trapezoid,
    unwrap,
    vectorize,
)
from fnn.numpy.histograms import histogram, histogram2d, histogram_bin_edges, histogramdd
from fnn.numpy.indexing_tricks import (
    c_,
    fill_diagonal,
    index_exp,
    ix_,
    mask_indices,
    place,
    r_,
    ravel_multi_index,
    resize,
    s_,
    trim_zeros,
    unravel_index,
)
from fnn.numpy.linear import cross, einsum, einsum_path, kron, matrix_power
from fnn.numpy.padding import pad
from fnn.numpy.polynomials import (
    poly,
    polyadd,
    polyder,
    polydiv,
    polyfit,
    polyint,
    polymul,
    polysub,
    polyval,
    roots,
)
from fnn.numpy.sets import argwhere, compress, delete, extract, flatnonzero, insert, isin, put, put_along_axis
from fnn.numpy.statistics import (
    average,
    bincount,
    corrcoef,
    cov,
    diff,
    digitize,
    ediff1d,
    gradient,
    interp,
    median,
    nan_to_num,
    nanargmax,
    nanargmin,
    nancumprod,
    nancumsum,
    nanmax,
    nanmean,
    nanmedian,
    nanmin,
    nanpercentile,
    nanprod,
    nanquantile,
    nanstd,
    nansum,
    nanvar,
    percentile,
    quantile,
)
from fnn.numpy.tapers import bartlett, blackman, hamming, hanning
from fnn.numpy.ufuncs import frompyfunc, ufunc
from fnn.numpy.unique import (
    intersect1d,
    setdiff1d,
    setxor1d,
    union1d,
    unique,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
)
from fnn.operations.choice import astype, clip, conjugate, imag, real, round, where
from fnn.operations.creation import (
    arange,
    array,
    asarray,
    copy,
    empty,
    empty_like,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from fnn.operations.elementwise import divmod_of as divmod
from fnn.operations.elementwise import float_power, logical_not, power
from fnn.operations.products import dot, inner, matmul, matvec, outer, tensordot, vdot, vecdot, vecmat
from fnn.operations.reductions import (
    all,
    any,
    argmax,
    argmin,
    count_nonzero,
    cumprod,
    cumsum,
    cumulative_prod,
    cumulative_sum,
    mean,
    prod,
    ptp,
    std,
    sum,
    var,
)
from fnn.operations.reductions import max_of as max
from fnn.operations.reductions import min_of as min
from fnn.operations.selection import (
    argpartition,
    argsort,
    diagonal,
    lexsort,
    nonzero,
    partition,
    repeat,
    searchsorted,
    sort,
    take,
    take_along_axis,
    trace,
)
from fnn.operations.shaping import (
    append,
    array_split,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block,
    broadcast_arrays,
    broadcast_shapes,
    broadcast_to,
    column_stack,
    concatenate,
    dsplit,
    dstack,
    expand_dims,
    flip,
    fliplr,
    flipud,
    hsplit,
    hstack,
    matrix_transpose,
    moveaxis,
    ravel,
    reshape,
    roll,
    rollaxis,
    rot90,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    transpose,
    unstack,
    vsplit,
    vstack,
)

del _array

# Names for the same functions.
abs = absolute
acos = arccos
acosh = arccosh
asin = arcsin
asinh = arcsinh
atan = arctan
atanh = arctanh
atan2 = arctan2
pow = power
mod = remainder
true_divide = divide
bitwise_not = invert
bitwise_invert = invert
bitwise_left_shift = left_shift
bitwise_right_shift = right_shift
conj = conjugate
around = round
amax = max
amin = min
concat = concatenate
permute_dims = transpose
radians = deg2rad
degrees = rad2deg
fix = trunc
row_stack = vstack

# Dtypes by name; float32(1.5) is an array.
uint8 = _dtype_names.SCALARS["uint8"]
uint16 = _dtype_names.SCALARS["uint16"]
uint32 = _dtype_names.SCALARS["uint32"]
uint64 = _dtype_names.SCALARS["uint64"]
int8 = _dtype_names.SCALARS["int8"]
int16 = _dtype_names.SCALARS["int16"]
int32 = _dtype_names.SCALARS["int32"]
int64 = _dtype_names.SCALARS["int64"]
bfloat16 = _dtype_names.SCALARS["bfloat16"]
float16 = _dtype_names.SCALARS["float16"]
float32 = _dtype_names.SCALARS["float32"]
float64 = _dtype_names.SCALARS["float64"]
bool_ = _dtype_names.SCALARS["bool_"]
complex64 = _dtype_names.SCALARS["complex64"]
complex128 = _dtype_names.SCALARS["complex128"]
csingle, cdouble = complex64, complex128
bool = bool_  # the array API's name
# The widths of Python's numbers, unless `enable_x64`.
float_, int_, uint, complex_ = (
    _dtype_names.SCALARS["float_"],
    _dtype_names.SCALARS["int_"],
    _dtype_names.SCALARS["uint"],
    _dtype_names.SCALARS["complex_"],
)
single, double = _dtype_names.SCALARS["float32"], _dtype_names.SCALARS["float64"]

_ELSEWHERE = {
    "fft": "Fourier transforms are not there yet; outside of transformations numpy.fft computes them",
    "random": "fnn.random draws numbers from keys: fnn.random.normal(fnn.random.key(0), (3,))",
    "matrix": "use arrays with two axes",
    "copyto": "arrays never change: use x.at[...].set(v)",
    "putmask": "arrays never change: use fnn.numpy.where(mask, values, x)",
    "asanyarray": "use fnn.numpy.asarray",
    "ascontiguousarray": "arrays are always contiguous to those who ask: use fnn.numpy.asarray",
    **dict.fromkeys(
        (
            "float8_e3m4",
            "float8_e4m3",
            "float8_e4m3b11fnuz",
            "float8_e4m3fn",
            "float8_e4m3fnuz",
            "float8_e5m2",
            "float8_e5m2fnuz",
            "float8_e8m0fnu",
            "float4_e2m1fn",
            "float6_e2m3fn",
            "float6_e3m2fn",
        ),
        "there are no arrays of floats narrower than 16 bits",
    ),
    **dict.fromkeys(
        ("int1", "int2", "int4", "uint1", "uint2", "uint4"),
        "there are no arrays of integers narrower than 8 bits",
    ),
    "float128": "there are no floats wider than float64",
    "trapz": "it is called trapezoid",
    "product": "it is called prod",
    "sometrue": "it is called any",
    "alltrue": "it is called all",
    "in1d": "it is called isin",
}

# fmt: off
__all__ = [
    "ComplexWarning", "abs", "absolute", "acos", "acosh", "add", "all", "allclose", "amax", "amin", "angle", "any",
    "append", "apply_along_axis", "apply_over_axes", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan",
    "arctan2", "arctanh", "argmax", "argmin", "argpartition", "argsort", "argwhere", "around", "array", "array_equal",
    "array_equiv", "array_repr", "array_split", "array_str", "asarray", "asin", "asinh", "astype", "atan", "atan2",
    "atanh", "atleast_1d", "atleast_2d", "atleast_3d", "average", "bartlett", "bfloat16", "bincount", "bitwise_and",
    "bitwise_count", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor", "blackman", "block", "bool", "bool_", "broadcast_arrays", "broadcast_shapes", "broadcast_to", "c_",
    "can_cast", "cbrt", "cdouble", "ceil", "character", "choose", "clip", "column_stack", "complex128", "complex64",
    "complex_", "complexfloating", "compress", "concat", "concatenate", "conj", "conjugate", "convolve", "copy",
    "copysign", "corrcoef", "correlate", "cos", "cosh", "count_nonzero", "cov", "cross", "csingle", "cumprod",
    "cumsum", "cumulative_prod", "cumulative_sum", "deg2rad", "degrees", "delete", "diag", "diag_indices",
    "diag_indices_from", "diagflat", "diagonal", "diff", "digitize", "divide", "divmod", "dot", "double", "dsplit",
    "dstack", "dtype", "e", "ediff1d", "einsum", "einsum_path", "empty", "empty_like", "equal", "euler_gamma", "exp",
    "exp2", "expand_dims", "expm1", "extract", "eye", "fabs", "fill_diagonal", "finfo", "fix", "flatnonzero",
    "flexible", "flip", "fliplr", "flipud", "float16", "float32", "float64", "float_", "float_power", "floating",
    "floor", "floor_divide", "fmax", "fmin", "fmod", "frexp", "from_dlpack", "frombuffer", "fromfile", "fromfunction",
    "fromiter", "frompyfunc", "fromstring", "full", "full_like", "gcd", "generic", "geomspace", "get_printoptions",
    "gradient", "greater", "greater_equal", "hamming", "hanning", "heaviside", "histogram", "histogram2d",
    "histogram_bin_edges", "histogramdd", "hsplit", "hstack", "hypot", "identity", "iinfo", "imag", "index_exp",
    "indices", "inexact", "inf", "inner", "insert", "int16", "int32", "int64", "int8", "int_", "integer", "interp",
    "intersect1d", "invert", "isclose", "iscomplex", "iscomplexobj", "isdtype", "isfinite", "isin", "isinf", "isnan",
    "isneginf", "isposinf", "isreal", "isrealobj", "isscalar", "issubdtype", "iterable", "ix_", "kron", "lcm",
    "ldexp", "left_shift", "less", "less_equal", "lexsort", "linalg", "linspace", "load", "log", "log10", "log1p",
    "log2", "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or", "logical_xor", "logspace",
    "mask_indices", "matmul", "matrix_power", "matrix_transpose", "matvec", "max", "maximum", "mean", "median",
    "meshgrid", "mgrid", "min", "minimum", "mod", "modf", "moveaxis", "multiply", "nan", "nan_to_num", "nanargmax",
    "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile", "nanprod",
    "nanquantile", "nanstd", "nansum", "nanvar", "ndarray", "ndim", "negative", "newaxis", "nextafter", "nonzero",
    "not_equal", "number", "object_", "ogrid", "ones", "ones_like", "outer", "packbits", "pad", "partition",
    "percentile", "permute_dims", "pi", "piecewise", "place", "poly", "polyadd", "polyder", "polydiv", "polyfit",
    "polyint", "polymul", "polysub", "polyval", "positive", "pow", "power", "printoptions", "prod", "promote_types",
    "ptp", "put", "put_along_axis", "quantile", "r_", "rad2deg", "radians", "ravel", "ravel_multi_index", "real",
    "reciprocal", "remainder", "repeat", "reshape", "resize", "result_type", "right_shift", "rint", "roll",
    "rollaxis", "roots", "rot90", "round", "row_stack", "s_", "save", "savez", "searchsorted", "select",
    "set_printoptions", "setdiff1d", "setxor1d", "shape", "sign", "signbit", "signedinteger", "sin", "sinc", "single",
    "sinh", "size", "sort", "spacing", "split", "sqrt", "square", "squeeze", "stack", "std", "subtract", "sum",
    "swapaxes", "take", "take_along_axis", "tan", "tanh", "tensordot", "tile", "trace", "transpose", "trapezoid",
    "tri", "tril", "tril_indices", "tril_indices_from", "trim_zeros", "triu", "triu_indices", "triu_indices_from",
    "true_divide", "trunc", "ufunc", "uint", "uint16", "uint32", "uint64", "uint8", "union1d", "unique", "unique_all",
    "unique_counts", "unique_inverse", "unique_values", "unpackbits", "unravel_index", "unsignedinteger", "unstack",
    "unwrap", "vander", "var", "vdot", "vecdot", "vecmat", "vectorize", "vsplit", "vstack", "where", "zeros",
    "zeros_like",
]
# fmt: on


def __getattr__(name: str) -> Any:
    """Names that are not there: what to use instead."""
    if name in _ELSEWHERE:
        raise AttributeError(f"fnn.numpy has no {name!r}: {_ELSEWHERE[name]}")
    import difflib  # only a mistake needs it

    near = difflib.get_close_matches(name, [n for n in globals() if not n.startswith("_")], n=1)
    hint = (
        f"did you mean {near[0]!r}?"
        if near
        else (
            "if NumPy has it, compute it outside of transformed functions: fnp.asarray(np." + name + "(...))"
        )
    )
    raise AttributeError(f"fnn.numpy has no {name!r}; {hint}")
