"""Window functions: numbers that taper a stretch of samples towards its ends."""

from __future__ import annotations

import math
import operator
from typing import Any

from fnn import dtypes
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import DtypeError
from fnn.operations.choice import where
from fnn.operations.creation import arange, asarray, ones
from fnn.operations.elementwise import UNARY
from fnn.operations.operands import array_of, to_dtype


def _samples(name: str, M: int) -> Any | None:
    """0, 1, ... M - 1 as floats; None for a window of one sample or none."""
    count = operator.index(M)
    return arange(count, dtype=float) if count > 1 else None


def _few(M: int) -> Any:
    return ones((max(operator.index(M), 0),))


def bartlett(M: int) -> Any:
    """A triangle of M samples: 0 at both ends, 1 in the middle."""
    n = _samples("bartlett", M)
    return _few(M) if n is None else 1.0 - UNARY["absolute"](2.0 * n + (1 - M)) / (M - 1)


def _cosines(name: str, M: int, weights: tuple[float, ...]) -> Any:
    n = _samples(name, M)
    if n is None:
        return _few(M)
    out: Any = weights[0]
    for k, w in enumerate(weights[1:], 1):
        out = out + w * UNARY["cos"](n * (2 * math.pi * k / (M - 1)))
    return out


def hanning(M: int) -> Any:
    """A raised cosine of M samples: 0 at both ends, 1 in the middle."""
    return _cosines("hanning", M, (0.5, -0.5))


def hamming(M: int) -> Any:
    """A raised cosine of M samples that starts and ends at 0.08."""
    return _cosines("hamming", M, (0.54, -0.46))


def blackman(M: int) -> Any:
    """Three terms of a cosine series, M samples: smaller side lobes than `hanning` for a wider main lobe."""
    return _cosines("blackman", M, (0.42, -0.5, 0.08))


def kaiser(M: int, beta: Any) -> Any:
    """Kaiser's window of M samples; beta sets how far the ends are down."""
    n = _samples("kaiser", M)
    if n is None:
        return _few(M)
    half = 0.5 * (M - 1)
    inside = 1.0 - ((n - half) / half) ** 2
    beta = to_dtype(asarray(beta), aval_of(n).dtype)
    return i0(beta * UNARY["sqrt"](where(inside > 0, inside, 0.0))) / i0(beta)


def i0(x: Any) -> Any:
    """The modified Bessel function of the first kind of order 0."""
    from fnn.lax import bessel_i0e  # the families of special functions are large

    x = array_of("i0", x)
    if not dtypes.is_float(dtypes.to_inexact(aval_of(x).dtype)):
        raise DtypeError(f"i0: {aval_of(x)} are no real numbers, at {describe(here())}")
    size = UNARY["absolute"](to_dtype(x, dtypes.to_inexact(aval_of(x).dtype)))
    return UNARY["exp"](size) * bessel_i0e(size)
