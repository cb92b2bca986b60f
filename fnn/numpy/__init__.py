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

from fnn import array as _array  # noqa: F401  # installs the operators of arrays
from fnn.lazy import names as _names


def __getattr__(name: str) -> Any:
    """Names that are not there: what to use instead."""
    from fnn.numpy.elsewhere import missing

    raise missing(name, __all__)


__array_api_version__ = "2024.12"

with _names(globals()):
    from fnn.core.array import Array as ndarray
    from fnn.numpy import fft, linalg
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
    from fnn.numpy.distinct import (
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
    from fnn.numpy.dtype_names import (
        ComplexWarning,
        angle,
        bfloat16,
        bool_,
        can_cast,
        cdouble,
        character,
        complex64,
        complex128,
        complex_,
        complexfloating,
        csingle,
        double,
        dtype,
        e,
        euler_gamma,
        finfo,
        flexible,
        float16,
        float32,
        float64,
        float_,
        floating,
        generic,
        iinfo,
        inexact,
        inf,
        int8,
        int16,
        int32,
        int64,
        int_,
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
        single,
        uint,
        uint8,
        uint16,
        uint32,
        uint64,
        unsignedinteger,
    )
    from fnn.numpy.elementwise import (
        absolute,
        add,
        arccos,
        arccosh,
        arcsin,
        arcsinh,
        arctan,
        arctan2,
        arctanh,
        bitwise_and,
        bitwise_count,
        bitwise_or,
        bitwise_xor,
        cbrt,
        ceil,
        copysign,
        cos,
        cosh,
        deg2rad,
        divide,
        equal,
        exp,
        exp2,
        expm1,
        fabs,
        floor,
        floor_divide,
        fmax,
        fmin,
        fmod,
        greater,
        greater_equal,
        heaviside,
        hypot,
        invert,
        isfinite,
        isinf,
        isnan,
        isneginf,
        isposinf,
        left_shift,
        less,
        less_equal,
        log,
        log1p,
        log2,
        log10,
        logaddexp,
        logaddexp2,
        logical_and,
        logical_or,
        logical_xor,
        maximum,
        minimum,
        multiply,
        negative,
        nextafter,
        not_equal,
        positive,
        rad2deg,
        reciprocal,
        remainder,
        right_shift,
        rint,
        sign,
        signbit,
        sin,
        sinc,
        sinh,
        sqrt,
        square,
        subtract,
        tan,
        tanh,
        trunc,
    )
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
        choose,
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
    from fnn.numpy.inspection import __array_namespace_info__
    from fnn.numpy.linear import cross, einsum, einsum_path, kron, matrix_power
    from fnn.numpy.nans import (
        nan_to_num,
        nanargmax,
        nanargmin,
        nancumprod,
        nancumsum,
        nanmax,
        nanmean,
        nanmin,
        nanprod,
        nanstd,
        nansum,
        nanvar,
    )
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
    from fnn.numpy.quantiles import median, nanmedian, nanpercentile, nanquantile, percentile, quantile
    from fnn.numpy.sets import (
        argwhere,
        compress,
        delete,
        extract,
        flatnonzero,
        insert,
        isin,
        put,
        put_along_axis,
    )
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
    )
    from fnn.numpy.tapers import bartlett, blackman, hamming, hanning, i0, kaiser
    from fnn.numpy.ufuncs import frompyfunc, ufunc
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
        sort_complex,
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

    # names for the same functions
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
    bool = bool_  # the array API's name

# fmt: off
__all__ = [
    "i0", "kaiser", "sort_complex",
    "__array_api_version__", "__array_namespace_info__",
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
    "exp2", "expand_dims", "expm1", "extract", "eye", "fabs", "fft", "fill_diagonal", "finfo", "fix", "flatnonzero",
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
