"""The operations fnn knows, one block per operation with all of its rules side by side.

The directory lies at the top of the repository but is imported as ``fnn.primitives``, never by its bare name:
a bare ``primitives`` would be a second copy of these modules, with registries and caches of its own.
"""

if not __name__.startswith("fnn."):  # pragma: no cover
    raise ImportError(f"{__name__!r} is part of fnn: import it as 'fnn.primitives'")

from fnn.primitives.arithmetic import (  # noqa: E402  # after the guard
    abs,
    add,
    ceil,
    clamp,
    div,
    floor,
    integer_pow,
    max,
    min,
    mul,
    neg,
    pow,
    rem,
    round,
    sign,
    square,
    sub,
)
from fnn.primitives.bitwise import (  # noqa: E402
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
from fnn.primitives.comparison import eq, ge, gt, is_finite, le, lt, ne, select  # noqa: E402
from fnn.primitives.contraction import dot_general  # noqa: E402
from fnn.primitives.conversion import bitcast, convert, nextafter, stop_gradient  # noqa: E402
from fnn.primitives.cumulative import cumlogsumexp, cummax, cummin, cumprod, cumsum  # noqa: E402
from fnn.primitives.reductions import (  # noqa: E402
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
from fnn.primitives.rules import zeros  # noqa: E402
from fnn.primitives.structural import (  # noqa: E402
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
from fnn.primitives.transcendental import (  # noqa: E402
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
