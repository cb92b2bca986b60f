"""Gamma variates, and the distributions made of them.

Marsaglia and Tsang's method ("A simple method for generating gamma variables", ACM Trans. Math. Softw. 26, 2000), with a
key of its own for every number. Derivatives in the shape parameter are implicit: a variate grows with it so that its
place in the distribution stays the same (Figurnov, Mohamed, Mnih, "Implicit reparameterization gradients", 2018).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import numpy as fnp
from fnn import primitives as P
from fnn.core.array import Array
from fnn.core.source import describe, here
from fnn.errors import ShapeError
from fnn.random.distributions import exponential, normal, rademacher
from fnn.random.keys import Words, child, counters, one_key, shape_tuple, split, threefry
from fnn.random.uniforms import draw, float_dtype
from fnn.transforms.batching import vmap
from fnn.transforms.custom import custom_jvp
from fnn.transforms.key_reuse import uses_key
from fnn.transforms.while_loop import while_loop


def parameters(what: str, shape: Any, dtype: np.dtype, *given: Any) -> tuple[tuple[int, ...], list[Array]]:
    """(the shape of a draw, its parameters in a dtype): the parameters broadcast to it, and are it by default.

    Raises ShapeError where they do not."""
    arrays = [fnp.asarray(x, dtype) for x in given]
    together = fnp.broadcast_shapes(*[x.shape for x in arrays])
    if shape is None:
        return together, arrays
    size = shape_tuple(what, shape)
    try:
        fits = np.broadcast_shapes(together, size) == size
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"random.{what}: parameters of shape {together} do not broadcast to the shape {size}, at {describe(here())}"
        )
    return size, arrays


def _standard_normal(words: Words, dtype: np.dtype) -> Array:
    low = np.nextafter(np.asarray(-1, dtype), np.asarray(0, dtype), dtype=dtype)
    drawn = P.erf_inv(draw(words, (), dtype, low, np.ones((), dtype)))
    return P.mul(drawn, np.asarray(math.sqrt(2), dtype))


def _one(first: Array, second: Array, alpha: Array, log_space: bool) -> Array:
    """One variate. A shape below 1 is raised by 1, and the variate multiplied by a power of a uniform number."""
    dtype = alpha.dtype
    number = lambda value: np.asarray(value, dtype)
    large = P.ge(alpha, number(1))
    raised = P.select(large, alpha, P.add(alpha, number(1)))
    d = P.sub(raised, number(1 / 3))
    c = P.div(number(1 / 3), P.sqrt(d))

    def rejected(state: Any) -> Array:
        _, _, square, cube, u = state
        bound = P.sub(number(1), P.mul(number(0.0331), P.mul(square, square)))
        log_bound = P.add(P.mul(square, number(0.5)), P.mul(d, P.add(P.sub(number(1), cube), P.log(cube))))
        return P.and_(P.ge(u, bound), P.ge(P.log(u), log_bound))

    def propose(state: Any) -> Any:
        words = state[:2]
        following, at, use = (child(words, k) for k in range(3))

        def again(inner: Any) -> Any:
            x = _standard_normal(child(inner[:2], 1), dtype)
            return (*child(inner[:2], 0), x, P.add(number(1), P.mul(x, c)))

        _, _, x, v = while_loop(
            lambda inner: P.le(inner[3], number(0)),
            again,
            (*at, P.mul(d, number(0)), P.sub(P.mul(d, number(0)), number(1))),
        )
        return (*following, P.mul(x, x), P.mul(P.mul(v, v), v), draw(use, (), dtype, 0.0, 1.0))

    zero = P.mul(P.stop_gradient(d), number(0))
    words = (first, second)
    start = (*child(words, 0), zero, P.add(zero, number(1)), P.add(zero, number(2)))
    cube = while_loop(rejected, propose, start)[3]
    u = draw(child(words, 1), (), dtype, 0.0, 1.0)
    if log_space:
        log_u = P.log1p(P.neg(u))
        boost = P.mul(log_u, P.div(number(1), alpha))
        boost = P.select(P.or_(large, P.eq(log_u, number(0))), number(0), boost)
        return P.add(P.add(P.log(d), P.log(cube)), boost)
    power = P.pow(P.sub(number(1), u), P.div(number(1), alpha))
    return P.mul(P.mul(d, cube), P.select(large, number(1), power))


def _growing(log_space: bool) -> custom_jvp:
    """(variate, shape parameter) -> the variate, which grows with the parameter as its distribution does."""

    def slope(drawn: Array, a: Array) -> Array:
        if not log_space:
            return P.random_gamma_grad(a, drawn)
        tiny = np.asarray(dtypes.finfo(drawn.dtype).tiny, drawn.dtype)
        variate = P.max(P.exp(drawn), tiny)  # it may have been too small to be told from 0
        return P.div(P.random_gamma_grad(a, variate), variate)

    @custom_jvp
    def grown(drawn: Array, a: Array) -> Array:
        return drawn

    grown.defjvps(lambda t, out, drawn, a: t, lambda t, out, drawn, a: P.mul(t, slope(drawn, a)))
    return grown


_GROWING = {True: _growing(True), False: _growing(False)}


def variates(words: Words, a: Array, log_space: bool = False) -> Array:
    """Gamma variates of scale 1, one for each shape parameter in `a`; with log_space their logarithms."""
    flat = P.reshape(a, shape=(a.size,))
    keys = threefry(words, *counters(flat.shape))
    one = vmap(lambda first, second, alpha: _one(first, second, alpha, log_space))
    drawn = one(*keys, P.stop_gradient(flat)) if a.size else flat
    return P.reshape(_GROWING[log_space](drawn, flat), shape=a.shape)


def _spread(what: str, a: Any, shape: Any, dtype: Any) -> Array:
    target = float_dtype(what, dtype)
    size, (a,) = parameters(what, shape, target, a)
    return fnp.broadcast_to(a, size)


@uses_key
def gamma(key: Any, a: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Gamma numbers of shape parameter a > 0 and scale 1: density x^(a-1) e^-x / gamma(a).

    shape: of the result; a's by default. Differentiable in a.

    >>> import fnn
    >>> print(fnn.random.gamma(fnn.random.key(0), 2.5, (3,)).shape)
    (3,)
    """
    words, _ = one_key("gamma", key)
    return variates(words, _spread("gamma", a, shape, dtype))


@uses_key
def loggamma(key: Any, a: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Logarithms of gamma numbers, exact where the numbers are too small to be represented. Differentiable in a."""
    words, _ = one_key("loggamma", key)
    return variates(words, _spread("loggamma", a, shape, dtype), log_space=True)


@uses_key
def beta(key: Any, a: Any, b: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Beta numbers, of density proportional to x^(a-1) (1-x)^(b-1) on (0, 1). Differentiable in a and b.

    >>> import fnn
    >>> print(fnn.random.beta(fnn.random.key(0), 2.0, 3.0, (2,)).shape)
    (2,)
    """
    words, _ = one_key("beta", key)
    size, (a, b) = parameters("beta", shape, float_dtype("beta", dtype), a, b)
    one, other = (
        variates(child(words, k), fnp.broadcast_to(x, size), log_space=True) for k, x in enumerate((a, b))
    )
    most = P.max(one, other)
    one, other = P.exp(P.sub(one, most)), P.exp(P.sub(other, most))
    return P.div(one, P.add(one, other))


@uses_key
def dirichlet(key: Any, alpha: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Points of the simplex with concentrations alpha, whose last axis counts the corners. Differentiable in alpha.

    shape: of the result without that axis; it broadcasts with alpha's other axes, which are the default.

    >>> import fnn, fnn.numpy as fnp
    >>> fnn.random.dirichlet(fnn.random.key(0), fnp.ones(3), (4,)).shape
    (4, 3)
    """
    words, _ = one_key("dirichlet", key)
    target = float_dtype("dirichlet", dtype)
    alpha = fnp.asarray(alpha, target)
    if not alpha.ndim:
        raise ShapeError(
            f"random.dirichlet: alpha is a vector or has more axes, not {alpha.aval}, at {describe(here())}"
        )
    lead = alpha.shape[:-1] if shape is None else shape_tuple("dirichlet", shape)
    size, _ = parameters("dirichlet", (*lead, alpha.shape[-1]), target, alpha)
    logs = variates(words, fnp.broadcast_to(alpha, size), log_space=True)
    powers = fnp.exp(logs - P.stop_gradient(fnp.max(logs, axis=-1, keepdims=True, initial=-np.inf)))
    return powers / fnp.sum(powers, axis=-1, keepdims=True)


@uses_key
def chisquare(key: Any, df: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Chi-square numbers of df degrees of freedom. Differentiable in df."""
    words, _ = one_key("chisquare", key)
    return _chisquare(words, _spread("chisquare", df, shape, dtype))


def _chisquare(words: Words, df: Array) -> Array:
    two = np.asarray(2, df.dtype)
    return P.mul(P.exp(variates(words, P.div(df, two), log_space=True)), two)


@uses_key
def f(key: Any, dfnum: Any, dfden: Any, shape: Any = None, dtype: Any = None) -> Array:
    """F numbers: the ratio of two chi-square numbers over their degrees of freedom. Differentiable in both."""
    words, _ = one_key("f", key)
    size, (top, bottom) = parameters("f", shape, float_dtype("f", dtype), dfnum, dfden)
    top, bottom = fnp.broadcast_to(top, size), fnp.broadcast_to(bottom, size)
    below, above = _chisquare(child(words, 0), bottom), _chisquare(child(words, 1), top)
    return P.div(P.div(above, top), P.div(below, bottom))


@uses_key
def t(key: Any, df: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Numbers of Student's t distribution of df degrees of freedom; shape is df's by default. Differentiable in df."""
    one_key("t", key)
    target = float_dtype("t", dtype)
    size, (df,) = parameters("t", shape or None, target, df)
    for_normal, for_gamma = _two(key)
    half = P.div(df, np.asarray(2, target))
    drawn = normal(for_normal, size, target)
    return drawn * fnp.sqrt(half / gamma(for_gamma, half, size, target))


def _two(key: Any) -> tuple[Any, Any]:
    pair = split(key)
    return pair[0], pair[1]


@uses_key
def generalized_normal(key: Any, p: float, shape: Any = (), dtype: Any = None) -> Array:
    """Generalised normal numbers: density proportional to exp(-|x|^p)."""
    one_key("generalized_normal", key)
    target, size = float_dtype("generalized_normal", dtype), shape_tuple("generalized_normal", shape)
    for_size, for_sign = _two(key)
    drawn = gamma(for_size, 1 / p, size, target)
    return rademacher(for_sign, size, target) * drawn ** (1 / p)


@uses_key
def ball(key: Any, d: int, p: float = 2, shape: Any = (), dtype: Any = None) -> Array:
    """Points of the unit ball of the p-norm in d dimensions: an array of shape (*shape, d).

    F. Barthe et al., "A probabilistic approach to the geometry of the l_p^n-ball", 2005.

    >>> import fnn
    >>> fnn.random.ball(fnn.random.key(0), 3, shape=(5,)).shape
    (5, 3)
    """
    one_key("ball", key)
    target, size = float_dtype("ball", dtype), shape_tuple("ball", shape)
    for_direction, for_size = _two(key)
    g = generalized_normal(for_direction, p, (*size, d), target)
    e = exponential(for_size, size, target)
    return g / ((fnp.sum(fnp.abs(g) ** p, axis=-1) + e) ** (1 / p))[..., None]
