"""Distributions over the integers: k has loc taken off."""

from __future__ import annotations

import math

import numpy as np

from fnn import numpy as fnp
from fnn.core.array import Array
from fnn.scipy import special
from fnn.scipy.stats.families import discrete


def _whole(k: Array) -> Array:
    return fnp.round(k) == k


def _bernoulli(k: Array, p: Array) -> Array:
    out = fnp.where(k == 0, fnp.log1p(-p), fnp.where(k == 1, fnp.log(p), -np.inf))
    return fnp.where((p >= 0) & (p <= 1), out, np.nan)


def _within_one(k: Array, p: Array) -> Array:
    out = fnp.where(k < 0, 0.0, fnp.where(k < 1, 1 - p, 1.0))
    return fnp.where((p >= 0) & (p <= 1) & ~fnp.isnan(k), out, np.nan)


def _binomial(k: Array, n: Array, p: Array) -> Array:
    inside = (k >= 0) & (k <= n) & _whole(k)
    y = fnp.where(inside, k, 0.0)
    ways = -fnp.log1p(n) - special.betaln(n - y + 1, y + 1)
    return fnp.where(inside, ways + special.xlogy(y, p) + special.xlog1py(n - y, -p), -np.inf)


def _beta_binomial(k: Array, n: Array, a: Array, b: Array) -> Array:
    inside = (k >= 0) & (k <= n)
    y = fnp.where(inside, fnp.floor(k), 0.0)
    ways = -fnp.log1p(n) - special.betaln(n - y + 1, y + 1)
    out = fnp.where(inside, ways + special.betaln(y + a, n - y + b) - special.betaln(a, b), -np.inf)
    return fnp.where((n >= 0) & (a > 0) & (b > 0), out, np.nan)


def _negative_binomial(k: Array, n: Array, p: Array) -> Array:
    y = fnp.where(k >= 0, k, 0.0)
    ways = special.gammaln(y + n) - special.gammaln(n) - special.gammaln(y + 1)
    return fnp.where(k >= 0, ways + special.xlogy(n, p) + special.xlog1py(y, -p), -np.inf)


def _geometric(k: Array, p: Array) -> Array:
    inside = (k >= 1) & _whole(k)
    return fnp.where(inside, special.xlog1py(fnp.where(inside, k - 1, 0.0), -p) + fnp.log(p), -np.inf)


def _poisson(k: Array, mu: Array) -> Array:
    inside = (k >= 0) & _whole(k)
    y = fnp.where(inside, k, 0.0)
    return fnp.where(inside, special.xlogy(y, mu) - special.gammaln(y + 1) - mu, -np.inf)


def _poisson_entropy(mu: Array) -> Array:
    """By the sum of its terms below 100, by its series in 1 / mu from there on (R. J. Evans and J. Boersma, 1988)."""
    few = mu < 100
    safe = fnp.where(few, mu, 1.0)
    k = fnp.arange(250, dtype=mu.dtype).reshape((250,) + (1,) * mu.ndim)
    log_p = special.xlogy(k, safe) - special.gammaln(k + 1) - safe
    small = -fnp.sum(fnp.exp(log_p) * log_p, axis=0)
    great = fnp.where(few, 100.0, mu)
    series = 0.5 * fnp.log(2 * math.pi * math.e * great) - 1 / (12 * great) - 1 / (24 * great**2)
    return fnp.where(mu == 0, 0.0, fnp.where(few, small, series - 19 / (360 * great**3)))


bernoulli = discrete(
    "bernoulli",
    "p",
    logpmf=_bernoulli,
    cdf=_within_one,
    ppf=lambda q, p: fnp.where(
        (q >= 0) & (q <= 1) & (p >= 0) & (p <= 1), fnp.where(q <= 1 - p, 0.0, 1.0), np.nan
    ),
)
binom = discrete(
    "binom",
    "n p",
    logpmf=_binomial,
    cdf=lambda k, n, p: fnp.where(
        k < 0,
        0.0,
        fnp.where(
            k >= n,
            1.0,
            special.betainc(
                fnp.where(k < n, n - fnp.floor(k), 1.0), fnp.where(k >= 0, fnp.floor(k) + 1, 1.0), 1 - p
            ),
        ),
    ),
)
betabinom = discrete("betabinom", "n a b", logpmf=_beta_binomial)
nbinom = discrete("nbinom", "n p", logpmf=_negative_binomial)
geom = discrete(
    "geom",
    "p",
    logpmf=_geometric,
    cdf=lambda k, p: -fnp.expm1(fnp.maximum(fnp.floor(k), 0.0) * fnp.log1p(-p)),
)
poisson = discrete(
    "poisson",
    "mu",
    logpmf=_poisson,
    cdf=lambda k, mu: fnp.where(k < 0, 0.0, special.gammaincc(fnp.floor(fnp.maximum(k, 0.0)) + 1, mu)),
    entropy=_poisson_entropy,
)
