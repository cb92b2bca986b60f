"""Distributions that are functions of uniform numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import numpy as fnp
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import DtypeError
from fnn.random.keys import Words, counters, one_key, shape_tuple, threefry
from fnn.random.uniforms import draw, float_dtype
from fnn.transforms.key_reuse import uses_key


@uses_key
def normal(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Standard normal numbers: sqrt(2) erf_inv(u) of u uniform in (-1, 1). Of a complex dtype both parts have the
    variance 1/2.

    >>> import fnn
    >>> print(fnn.random.normal(fnn.random.key(0), (2,)).shape)
    (2,)
    """
    words, _ = one_key("normal", key)
    size = shape_tuple("normal", shape)
    wanted = None if dtype is None else dtypes.canonicalize(dtype, explicit=dtype is not complex)
    if wanted is None or wanted.kind != "c":
        return _normal(words, size, float_dtype("normal", dtype))
    part = np.dtype(f"f{wanted.itemsize // 2}")
    real, imaginary = [_normal(half, size, part) for half in _halves(words)]
    return P.div(P.complex(real, imaginary), np.asarray(math.sqrt(2), wanted))


def _normal(words: Words, size: tuple[int, ...], target: np.dtype) -> Array:
    lo = np.nextafter(np.asarray(-1, target), np.asarray(0, target), dtype=target)
    return P.mul(
        P.erf_inv(draw(words, size, target, lo, np.ones((), target))), np.asarray(math.sqrt(2), target)
    )


def _halves(words: Words) -> list[Words]:
    """The words of the two keys that a key splits into."""
    first, second = threefry(words, *counters((2,)))
    return [(first[k], second[k]) for k in range(2)]


@uses_key
def bernoulli(key: Any, p: Any = 0.5, shape: Any = None) -> Array:
    """True with probability p; shape defaults to p's.

    >>> import fnn
    >>> print(fnn.random.bernoulli(fnn.random.key(0), 0.5, (4,)))
    [False False  True  True]
    """
    words, _ = one_key("bernoulli", key)
    chance = as_array(p)
    target = chance.dtype if dtypes.is_float(chance.dtype) else dtypes.default_float()
    if chance.dtype.kind not in "biuf" and not dtypes.is_float(chance.dtype):
        raise DtypeError(f"random.bernoulli: p is a number, not {chance.aval}, at {describe(here())}")
    size = chance.shape if shape is None else shape_tuple("bernoulli", shape)
    return draw(words, size, target, 0.0, 1.0) < fnp.broadcast_to(fnp.asarray(chance, target), size)


def _open(
    what: str, key: Any, shape: Any, dtype: Any, lowest: str, minval: float | None = None
) -> tuple[Array, np.dtype]:
    """Uniform in (0, 1) or, with minval, above it: the lower end is replaced by the dtype's tiny or eps."""
    words, _ = one_key(what, key)
    target = float_dtype(what, dtype)
    lo = np.asarray(getattr(dtypes.finfo(target), lowest), target)
    if minval is not None:
        lo = np.asarray(minval + lo, target)
    return draw(words, shape_tuple(what, shape), target, lo, np.ones((), target)), target


@uses_key
def gumbel(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Gumbel numbers: -log(-log u)."""
    u, _ = _open("gumbel", key, shape, dtype, "tiny")
    return -P.log(-P.log(u))


@uses_key
def exponential(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Exponential numbers of mean 1: -log(1 - u)."""
    words, _ = one_key("exponential", key)
    u = draw(words, shape_tuple("exponential", shape), float_dtype("exponential", dtype), 0.0, 1.0)
    return -P.log1p(-u)


@uses_key
def laplace(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Laplace numbers of scale 1."""
    u, _ = _open("laplace", key, shape, dtype, "eps", -1.0)
    return P.mul(P.sign(u), P.log1p(-P.abs(u)))


@uses_key
def logistic(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Logistic numbers: log(u / (1 - u))."""
    u, target = _open("logistic", key, shape, dtype, "eps")
    return P.log(P.div(u, P.sub(np.ones((), target), u)))


@uses_key
def cauchy(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Cauchy numbers: tan(pi (u - 1/2))."""
    u, target = _open("cauchy", key, shape, dtype, "eps")
    return P.tan(P.mul(P.sub(u, np.asarray(0.5, target)), np.asarray(math.pi, target)))


@uses_key
def rademacher(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """-1 or 1 with equal chance, int32 by default."""
    target = dtypes.default_int() if dtype is None else dtypes.canonicalize(dtype, explicit=True)
    drawn = P.convert(bernoulli(key, 0.5, shape_tuple("rademacher", shape)), dtype=target)
    return P.sub(P.mul(drawn, np.asarray(2, target)), np.ones((), target))


@uses_key
def truncated_normal(key: Any, lower: Any, upper: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Standard normal numbers between lower and upper, which broadcast to shape."""
    words, _ = one_key("truncated_normal", key)
    target = float_dtype("truncated_normal", dtype)
    lo, hi = fnp.asarray(lower, target), fnp.asarray(upper, target)
    size = (
        np.broadcast_shapes(lo.shape, hi.shape) if shape is None else shape_tuple("truncated_normal", shape)
    )
    root = np.asarray(math.sqrt(2), target)
    a, b = (P.erf(x / root) for x in (lo, hi))
    out = P.mul(P.erf_inv(draw(words, size, target, a, b)), root)
    lo, hi = (fnp.broadcast_to(P.stop_gradient(x), size) for x in (lo, hi))
    return fnp.clip(
        out, fnp.nextafter(lo, np.asarray(np.inf, target)), fnp.nextafter(hi, np.asarray(-np.inf, target))
    )
