"""Distributions of counts: poisson, binomial, multinomial, geometric."""

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
from fnn.random.gammas import parameters
from fnn.random.keys import Words, child, one_key, shape_tuple, split
from fnn.random.uniforms import draw, float_dtype
from fnn.transforms.key_reuse import uses_key
from fnn.transforms.scan import scan
from fnn.transforms.while_loop import while_loop


def _promoted(*given: Any) -> list[Array]:
    """Parameters as floating-point arrays of one dtype."""
    arrays = [as_array(x) for x in given]
    dtype = fnp.result_type(*given)
    target = dtype if dtypes.is_float(dtype) else dtypes.default_float()
    return [fnp.asarray(x, target) for x in arrays]


def _integer(what: str, dtype: Any) -> np.dtype:
    target = dtypes.default_int() if dtype is None else dtypes.canonicalize(dtype, explicit=dtype is not int)
    if target.kind not in "iu":
        raise DtypeError(f"random.{what}: the dtype is an integer, not {target}, at {describe(here())}")
    return target


@uses_key
def poisson(key: Any, lam: Any, shape: Any = None, dtype: Any = None) -> Array:
    """Poisson numbers of rate lam, integers; shape is lam's by default.

    Knuth's method below 10, W. Hörmann's transformed rejection from there on (Insurance: Math. and Economics 12, 1993).

    >>> import fnn
    >>> print(fnn.random.poisson(fnn.random.key(0), 3.0, (5,)).shape)
    (5,)
    """
    words, _ = one_key("poisson", key)
    target = _integer("poisson", dtype)
    size, _ = parameters("poisson", shape, np.dtype("float32"), lam)
    (rate,) = _promoted(lam)
    rate = fnp.broadcast_to(P.stop_gradient(rate), size)
    few = fnp.isnan(rate) | (rate < 10)
    small = _knuth(words, fnp.where(few, rate, 0), target)
    great = _transformed(words, fnp.where(few, 1e5, rate), target)
    return fnp.where(rate == 0, 0, fnp.where(few, small, great)).astype(target)


def _knuth(words: Words, rate: Array, dtype: np.dtype) -> Array:
    """How many uniform numbers are multiplied until the product is below e**-rate."""
    single = np.dtype("float32")

    def step(state: Any) -> Any:
        first, second, count, log_product = state
        at = (first, second)
        u = draw(child(at, 1), rate.shape, single, 0.0, 1.0)
        return (*child(at, 0), fnp.where(log_product > -rate, count + 1, count), log_product + fnp.log(u))

    zeros = fnp.zeros(rate.shape, dtype), fnp.zeros(rate.shape, single)
    out = while_loop(lambda state: fnp.any(state[3] > -rate), step, (*words, *zeros))[2]
    return (out - 1).astype(dtype)


def _transformed(words: Words, rate: Array, dtype: np.dtype) -> Array:
    log_rate = fnp.log(rate)
    b = 0.931 + 2.53 * fnp.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)

    def step(state: Any) -> Any:
        at, (out, accepted) = state[:2], state[2:]
        u = draw(child(at, 1), rate.shape, rate.dtype, 0.0, 1.0) - 0.5
        v = draw(child(at, 2), rate.shape, rate.dtype, 0.0, 1.0)
        shifted = 0.5 - fnp.abs(u)
        k = fnp.floor((2 * a / shifted + b) * u + rate + 0.43)
        s = fnp.log(v * inverse_alpha / (a / (shifted * shifted) + b))
        at_most = -rate + k * log_rate - _lgamma(k + 1)
        reject = (k < 0) | ((shifted < 0.013) & (v > shifted))
        accept = ((shifted >= 0.07) & (v <= v_r)) | (~reject & (s <= at_most))
        return (*child(at, 0), fnp.where(accept, k, out), accepted | accept)

    start = (*words, fnp.full(rate.shape, -1, rate.dtype), fnp.zeros(rate.shape, bool))
    return while_loop(lambda state: fnp.any(~state[3]), step, start)[2].astype(dtype)


# Lanczos' approximation of the gamma function with g = 7 (of 9 terms, after P. Godfrey)
_LANCZOS = (
    676.520368121885098567009190444019, -1259.13921672240287047156078755283, 771.3234287776530788486528258894,
    -176.61502916214059906584551354, 12.507343278686904814458936853, -0.13857109526572011689554707,
    9.984369578019570859563e-6, 1.50563273514931155834e-7,
)  # fmt: skip


def _lgamma(x: Array) -> Array:
    """lgamma for x >= 1/2, less exact than the primitive: where this was computed with 32 bits JAX accepts proposals by
    its rounding."""
    z = x - 1
    total = fnp.full(x.shape, 0.99999999999980993227684700473478, x.dtype)
    for k, c in enumerate(_LANCZOS):
        total = total + np.asarray(c, x.dtype) / (z + np.asarray(k + 1, x.dtype))
    t = z + 7.5
    log_t = fnp.log1p(z / 7.5) + np.asarray(math.log(7.5), x.dtype)
    return (z + 0.5 - t / log_t) * log_t + np.asarray(0.5 * math.log(2 * math.pi), x.dtype) + fnp.log(total)


_TAILS = (
    0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509, 0.0166446911898211,
    0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287,
)  # fmt: skip


def _stirling_tail(k: Array) -> Array:
    """log k! less its Stirling approximation."""
    table = fnp.array(_TAILS, k.dtype)
    small = fnp.clip(k, 0, 9)
    square = (small + 1) * (small + 1)
    series = (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (small + 1)
    return fnp.where(k <= 9, table[fnp.floor(small).astype(np.int32)], series)


@uses_key
def binomial(key: Any, n: Any, p: Any, shape: Any = None, dtype: Any = None) -> Array:
    """How many of n trials succeed, each with probability p: floating point; NaN where n is negative or p is not a
    probability.

    Sums of geometric numbers where n p <= 10, W. Hörmann's transformed rejection elsewhere (J. Stat. Comput. Simul. 46,
    1993).

    >>> import fnn
    >>> print(fnn.random.binomial(fnn.random.key(0), 10, 0.5, (4,)).shape)
    (4,)
    """
    words, _ = one_key("binomial", key)
    return _binomial(words, n, p, shape, float_dtype("binomial", dtype))


def _binomial(words: Words, n: Any, p: Any, shape: Any, dtype: np.dtype) -> Array:
    (chance,) = _promoted(p)
    size, (count, chance) = parameters("binomial", shape, chance.dtype, n, chance)
    count, chance = (fnp.broadcast_to(P.stop_gradient(x), size) for x in (count, chance))
    below = chance < 0.5
    q = fnp.where(below, chance, 1.0 - chance)
    wrong_count, wrong_chance = fnp.isnan(count) | (count < 0), fnp.isnan(q) | (q < 0)
    q = fnp.where(wrong_chance, 0.01, q)
    few = wrong_count | (count * q <= 10.0)
    without_end = fnp.isinf(count)
    count = fnp.floor(count)
    out = fnp.where(
        few,
        _by_geometric(words, fnp.where(few, count, 0.0), q, dtype),
        _by_rejection(words, fnp.where(few, 1e4, count), fnp.where(few, 0.5, q), dtype),
    )
    wrong = wrong_chance | wrong_count
    out = fnp.where(wrong, np.nan, out)
    out = fnp.where(without_end & ~wrong, np.inf, out)
    kept = below | wrong_count | fnp.isnan(q) | without_end
    return fnp.where(kept, out, count.astype(dtype) - out).astype(dtype)


def _by_geometric(words: Words, count: Array, chance: Array, dtype: np.dtype) -> Array:
    log_failure = fnp.log1p(-chance)

    def step(state: Any) -> Any:
        at, (number, total) = state[:2], state[2:]
        u = draw(child(at, 0), count.shape, chance.dtype, 0.0, 1.0)
        more = fnp.where(total <= count, number + 1, number)
        return (*child(at, 1), more, total + fnp.ceil(fnp.log(u) / log_failure))

    zero = fnp.zeros(count.shape, chance.dtype)
    out = while_loop(lambda state: fnp.any(state[3] <= count), step, (*words, zero, zero))[2]
    return (out - 1).astype(dtype)


def _by_rejection(words: Words, count: Array, chance: Array, dtype: np.dtype) -> Array:
    deviation = fnp.sqrt(count * chance * (1 - chance))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * chance
    c = count * chance + 0.5
    v_r = 0.92 - 4.2 / b
    odds = chance / (1 - chance)
    alpha = (2.83 + 5.1 / b) * deviation
    m = fnp.floor((count + 1) * chance)

    def step(state: Any) -> Any:
        at, (out, accepted) = state[:2], state[2:]
        u = draw(child(at, 1), count.shape, chance.dtype, 0.0, 1.0) - 0.5
        v = draw(child(at, 2), count.shape, chance.dtype, 0.0, 1.0)
        us = 0.5 - fnp.abs(u)
        quickly = (us >= 0.07) & (v <= v_r)
        k = fnp.floor((2 * a / us + b) * u + c)
        reject = (k < 0) | (k > count)
        v = fnp.log(v * alpha / (a / (us * us) + b))
        bound = (
            (m + 0.5) * fnp.log((m + 1) / (odds * (count - m + 1)))
            + (count + 1) * fnp.log((count - m + 1) / (count - k + 1))
            + (k + 0.5) * fnp.log(odds * (count - k + 1) / (k + 1))
            + _stirling_tail(m)
            + _stirling_tail(count - m)
            - _stirling_tail(k)
            - _stirling_tail(count - k)
        )
        accept = quickly | (~reject & (v <= bound))
        return (*child(at, 0), fnp.where(accept, k, out), accepted | accept)

    start = (*words, fnp.full(count.shape, -1, chance.dtype), fnp.zeros(count.shape, bool))
    return while_loop(lambda state: fnp.any(~state[3]), step, start)[2].astype(dtype)


@uses_key
def multinomial(
    key: Any, n: Any, p: Any, *, shape: Any = None, dtype: Any = None, unroll: int | bool = 1
) -> Array:
    """How n trials fall into the cases that the last axis of p counts, with probabilities p: floating point.

    shape: of the result, p's by default; n broadcasts to it without its last axis. unroll is accepted and ignored.

    >>> import fnn, fnn.numpy as fnp
    >>> print(fnn.random.multinomial(fnn.random.key(0), 10, fnp.array([0.2, 0.5, 0.3])).sum())
    10.0
    """
    one_key("multinomial", key)
    n, p = _promoted(n, p)
    size = p.shape if shape is None else shape_tuple("multinomial", shape)
    n, p = fnp.broadcast_to(n, size[:-1]), fnp.moveaxis(fnp.broadcast_to(p, size), -1, 0)
    left = fnp.flip(fnp.cumsum(fnp.flip(p, 0), axis=0), 0)
    ratios = p / fnp.where(left == 0, 1, left)
    keys = split(key, size[-1])

    def step(remaining: Array, case: Any) -> tuple[Array, Array]:
        ratio, use = case
        count = binomial(use, remaining, fnp.clip(ratio, 0, 1), dtype=remaining.dtype)
        return remaining - count, count

    _, counts = scan(step, n, (ratios, keys))
    out = fnp.moveaxis(counts, 0, -1)
    return out if dtype is None else out.astype(dtypes.canonicalize(dtype, explicit=True))


@uses_key
def geometric(key: Any, p: Any, shape: Any = None, dtype: Any = None) -> Array:
    """At which trial the first success comes, with probability p each: integers from 1 on; shape is p's by default."""
    words, _ = one_key("geometric", key)
    target = _integer("geometric", dtype)
    (chance,) = _promoted(p)
    size, (chance,) = parameters("geometric", shape, chance.dtype, chance)
    u = draw(words, size, chance.dtype, 0.0, 1.0)
    log_u = fnp.log(fnp.where(u == 0, 1, u))
    return (fnp.floor(log_u / fnp.broadcast_to(fnp.log1p(-chance), size)) + 1).astype(target)
