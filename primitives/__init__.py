"""The operations fnn knows, one block per operation with all of its rules side by side.

The directory lies at the top of the repository but is imported as ``fnn.primitives``, never by its bare name:
a bare ``primitives`` would be a second copy of these modules, with registries and caches of its own.
"""

if not __name__.startswith("fnn."):  # pragma: no cover
    raise ImportError(f"{__name__!r} is part of fnn: import it as 'fnn.primitives'")

from fnn.lazy import names as _names  # below the guard

with _names(globals()):
    from fnn.primitives.arithmetic import abs, add, clamp, div, max, min, mul, neg, rem, sign, square, sub
    from fnn.primitives.bessel import bessel_i0e, bessel_i1e
    from fnn.primitives.bitwise import (
        and_,
        clz,
        not_,
        or_,
        population_count,
        shift_left,
        shift_right_arithmetic,
        shift_right_logical,
        xor,
    )
    from fnn.primitives.comparison import eq, ge, gt, is_finite, le, lt, ne, select
    from fnn.primitives.complex_numbers import complex, conj, imag, real
    from fnn.primitives.contraction import dot_general
    from fnn.primitives.conversion import bitcast, convert, nextafter, stop_gradient
    from fnn.primitives.convolution import ConvDimensionNumbers, conv_general_dilated
    from fnn.primitives.cumulative import cumlogsumexp, cummax, cummin, cumprod, cumsum
    from fnn.primitives.determinants import det, slogdet
    from fnn.primitives.exponential_integrals import expi, expn, zeta
    from fnn.primitives.fourier import fft
    from fnn.primitives.incomplete_beta import betainc, lbeta
    from fnn.primitives.incomplete_gamma import igamma, igamma_grad_a, igammac, random_gamma_grad
    from fnn.primitives.indexing import (
        GatherDimensionNumbers,
        ScatterDimensionNumbers,
        dynamic_slice,
        dynamic_update_slice,
        gather,
        scatter,
    )
    from fnn.primitives.linalg import cholesky, triangular_solve
    from fnn.primitives.linear_systems import factored_solve, lu, lu_solve, pivots_to_permutation
    from fnn.primitives.nonsymmetric import eig, geev
    from fnn.primitives.orthogonal import geqp3, geqrf, householder_product, ormqr, qr
    from fnn.primitives.powers import integer_pow, pow
    from fnn.primitives.pseudo_inverse import pseudo_inverse
    from fnn.primitives.random_bits import threefry2x32
    from fnn.primitives.reductions import (
        argmax,
        argmin,
        reduce_and,
        reduce_max,
        reduce_min,
        reduce_or,
        reduce_prod,
        reduce_sum,
        reduce_xor,
    )
    from fnn.primitives.reductions_of_matrices import (
        hessenberg,
        schur,
        sylvester,
        triangular_sylvester,
        tridiagonal,
    )
    from fnn.primitives.rounding import ceil, floor, round
    from fnn.primitives.rules import zeros
    from fnn.primitives.sorting import sort, top_k
    from fnn.primitives.special_functions import dawsn, erfcx, ndtri, spence
    from fnn.primitives.spectral import eigh, svd
    from fnn.primitives.structural import (
        broadcast,
        concatenate,
        copy,
        iota,
        pad,
        reshape,
        rev,
        slice,
        transpose,
    )
    from fnn.primitives.transcendental import (
        acos,
        acosh,
        asin,
        asinh,
        atan,
        atan2,
        atanh,
        cbrt,
        cos,
        cosh,
        digamma,
        erf,
        erf_inv,
        erfc,
        exp,
        exp2,
        expm1,
        lgamma,
        log,
        log1p,
        logistic,
        rsqrt,
        sin,
        sinh,
        sqrt,
        tan,
        tanh,
    )
    from fnn.primitives.tridiagonal_systems import tridiagonal_solve
    from fnn.primitives.windows import reduce_window, select_and_gather_add, select_and_scatter_add

__all__ = [
    "hessenberg",
    "schur",
    "sylvester",
    "triangular_sylvester",
    "tridiagonal",
    "fft",
    "eig",
    "geev",
    "det",
    "slogdet",
    "factored_solve",
    "lu",
    "lu_solve",
    "pivots_to_permutation",
    "tridiagonal_solve",
    "geqp3",
    "geqrf",
    "householder_product",
    "ormqr",
    "qr",
    "pseudo_inverse",
    "eigh",
    "svd",
    "ConvDimensionNumbers",
    "GatherDimensionNumbers",
    "ScatterDimensionNumbers",
    "abs",
    "acos",
    "acosh",
    "add",
    "and_",
    "argmax",
    "argmin",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bessel_i0e",
    "bessel_i1e",
    "betainc",
    "bitcast",
    "broadcast",
    "cbrt",
    "ceil",
    "cholesky",
    "clamp",
    "clz",
    "complex",
    "concatenate",
    "conj",
    "conv_general_dilated",
    "convert",
    "copy",
    "cos",
    "cosh",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "dawsn",
    "digamma",
    "div",
    "dot_general",
    "dynamic_slice",
    "dynamic_update_slice",
    "eq",
    "erf",
    "erf_inv",
    "erfc",
    "erfcx",
    "exp",
    "exp2",
    "expi",
    "expm1",
    "expn",
    "floor",
    "gather",
    "ge",
    "gt",
    "igamma",
    "igamma_grad_a",
    "igammac",
    "imag",
    "integer_pow",
    "iota",
    "is_finite",
    "lbeta",
    "le",
    "lgamma",
    "log",
    "log1p",
    "logistic",
    "lt",
    "max",
    "min",
    "mul",
    "ndtri",
    "ne",
    "neg",
    "nextafter",
    "not_",
    "or_",
    "pad",
    "population_count",
    "pow",
    "random_gamma_grad",
    "real",
    "reduce_and",
    "reduce_max",
    "reduce_min",
    "reduce_or",
    "reduce_prod",
    "reduce_sum",
    "reduce_window",
    "reduce_xor",
    "rem",
    "reshape",
    "rev",
    "round",
    "rsqrt",
    "scatter",
    "select",
    "select_and_gather_add",
    "select_and_scatter_add",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "sign",
    "sin",
    "sinh",
    "slice",
    "sort",
    "spence",
    "sqrt",
    "square",
    "stop_gradient",
    "sub",
    "tan",
    "tanh",
    "threefry2x32",
    "top_k",
    "transpose",
    "triangular_solve",
    "xor",
    "zeros",
    "zeta",
]
