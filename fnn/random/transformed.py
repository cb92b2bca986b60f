"""Distributions that are functions of uniform and normal numbers, with parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import numpy as fnp
from fnn import primitives as P
from fnn.core.array import Array
from fnn.random.distributions import exponential, normal, rademacher
from fnn.random.gammas import parameters
from fnn.random.keys import one_key, shape_tuple, split
from fnn.random.uniforms import float_dtype, uniform
from fnn.transforms.key_reuse import uses_key


@uses_key
def lognormal(key: Any, sigma: Any = 1.0, shape: Any = None, dtype: Any = None) -> Array:
    """Numbers whose logarithms are normal, of standard deviation sigma; shape is sigma's by default."""
    size, (sigma,) = parameters("lognormal", shape, float_dtype("lognormal", dtype), sigma)
    return fnp.exp(normal(key, size, sigma.dtype) * sigma)


@uses_key
def maxwell(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Maxwell numbers: the length of a normal vector in three dimensions."""
    drawn = normal(key, (*shape_tuple("maxwell", shape), 3), float_dtype("maxwell", dtype))
    return fnp.sqrt(fnp.sum(drawn * drawn, axis=-1))


@uses_key
def double_sided_maxwell(key: Any, loc: Any, scale: Any, shape: Any = (), dtype: Any = None) -> Array:
    """loc + scale x, where x is a Maxwell number of either sign.

    The result has the shape (*shape, *that of the parameters), as in JAX; without shape, that of the parameters twice."""
    one_key("double_sided_maxwell", key)
    target = float_dtype("double_sided_maxwell", dtype)
    together, (loc, scale) = parameters("double_sided_maxwell", None, target, loc, scale)
    size = (*(shape_tuple("double_sided_maxwell", shape) or together), *together)
    pair = split(key)
    return rademacher(pair[1], size, target) * maxwell(pair[0], size, target) * scale + loc


@uses_key
def pareto(key: Any, b: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Pareto numbers of shape parameter b: density b / x^(b+1) from 1 on; shape is b's by default."""
    size, (b,) = parameters("pareto", shape, float_dtype("pareto", dtype), b)
    return fnp.exp(exponential(key, size, b.dtype) / b)


@uses_key
def rayleigh(key: Any, scale: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Rayleigh numbers: the length of a normal vector in two dimensions, times scale; shape is scale's by default."""
    size, (scale,) = parameters("rayleigh", shape, float_dtype("rayleigh", dtype), scale)
    return scale * fnp.sqrt(fnp.log(uniform(key, size, scale.dtype)) * -2)


@uses_key
def triangular(key: Any, left: Any, mode: Any, right: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Numbers in [left, right] whose density rises to mode and falls from there, in straight lines."""
    target = float_dtype("triangular", dtype)
    size, given = parameters("triangular", shape, target, left, mode, right)
    left, mode, right = (fnp.broadcast_to(x, size) for x in given)
    u = uniform(key, size, target)
    rising = left + fnp.sqrt(u * (right - left) * (mode - left))
    falling = right - fnp.sqrt((1 - u) * (right - left) * (right - mode))
    return fnp.where(u < (mode - left) / (right - left), rising, falling)


@uses_key
def wald(key: Any, mean: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Inverse normal numbers of that mean and scale 1; shape is mean's by default.

    J. R. Michael, W. R. Schucany, R. W. Haas, The American Statistician 30, 1976."""
    one_key("wald", key)
    target = float_dtype("wald", dtype)
    size, (mean,) = parameters("wald", shape, target, mean)
    mean, pair = fnp.broadcast_to(mean, size), split(key)
    v, z = normal(pair[0], size, target), uniform(pair[1], size, target)
    y = v * v
    root = fnp.sqrt(4 * mean * y + mean * mean * (y * y))
    x = mean + mean * mean * y / 2 - mean / 2 * root
    return fnp.where(z <= mean / (mean + x), x, mean * mean / x)


@uses_key
def weibull_min(key: Any, scale: Any, concentration: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Weibull numbers: scale times an exponential number to the power of 1 / concentration."""
    target = float_dtype("weibull_min", dtype)
    size, (scale, concentration) = parameters("weibull_min", shape, target, scale, concentration)
    u = uniform(key, size, target)
    return P.pow(-fnp.log1p(-u), fnp.broadcast_to(np.ones((), target) / concentration, size)) * scale
