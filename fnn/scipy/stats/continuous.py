"""Continuous distributions in their standard form: y is (x - loc) / scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import numpy as fnp
from fnn.core.array import Array
from fnn.scipy import special
from fnn.scipy.stats.families import Function, continuous

_LOG_ROOT = 0.5 * math.log(2 * math.pi)


def _within(inside: Any, y: Array, otherwise: float, f: Function, outside: Any = -np.inf) -> Array:
    """f(y) where that is inside of the support; derivatives do not see what f is elsewhere."""
    return fnp.where(inside, f(fnp.where(inside, y, otherwise)), outside)


def _quantile(q: Array, f: Function) -> Array:
    """f(q) for probabilities, NaN for other numbers."""
    return _within((q >= 0) & (q <= 1), q, 0.5, f, np.nan)


def _cauchy_quantile(q: Array) -> Array:
    """Where more than that has the probability q."""
    ends = fnp.where(q == 0, np.inf, fnp.where(q == 1, -np.inf, np.nan))
    return _within((q > 0) & (q < 1), q, 0.5, lambda q: fnp.tan(math.pi * (0.5 - q)), ends)


norm = continuous(
    "norm",
    logpdf=lambda y: -0.5 * y * y - _LOG_ROOT,
    cdf=special.ndtr,
    logcdf=special.log_ndtr,
    sf=lambda y: special.ndtr(-y),
    logsf=lambda y: special.log_ndtr(-y),
    ppf=special.ndtri,
    isf=lambda q: -special.ndtri(q),
)
expon = continuous(
    "expon",
    logpdf=lambda y: _within(y >= 0, y, 1.0, lambda y: -y),
    cdf=lambda y: -fnp.expm1(-fnp.maximum(y, 0.0)),
    sf=lambda y: fnp.exp(-fnp.maximum(y, 0.0)),
    logsf=lambda y: -fnp.maximum(y, 0.0),
    ppf=lambda q: _quantile(q, lambda q: -fnp.log1p(-q)),
    isf=lambda q: _quantile(q, lambda q: -fnp.log(q)),
)
cauchy = continuous(
    "cauchy",
    logpdf=lambda y: -math.log(math.pi) - fnp.log1p(y * y),
    cdf=lambda y: fnp.arctan2(fnp.ones_like(y), -y) / math.pi,
    sf=lambda y: fnp.arctan2(fnp.ones_like(y), y) / math.pi,
    ppf=lambda q: -_cauchy_quantile(q),
    isf=lambda q: _cauchy_quantile(q),
)
laplace = continuous(
    "laplace",
    logpdf=lambda y: -fnp.abs(y) - math.log(2),
    cdf=lambda y: fnp.where(y <= 0, 0.5 * fnp.exp(-fnp.abs(y)), 1 - 0.5 * fnp.exp(-fnp.abs(y))),
    sf=lambda y: fnp.where(y >= 0, 0.5 * fnp.exp(-fnp.abs(y)), 1 - 0.5 * fnp.exp(-fnp.abs(y))),
    ppf=lambda q: _quantile(q, lambda q: -fnp.sign(q - 0.5) * fnp.log1p(-2 * fnp.abs(q - 0.5))),
)
logistic = continuous(
    "logistic",
    logpdf=lambda y: -fnp.abs(y) - 2 * fnp.log1p(fnp.exp(-fnp.abs(y))),
    cdf=special.expit,
    logcdf=lambda y: -fnp.logaddexp(0.0, -y),
    sf=lambda y: special.expit(-y),
    logsf=lambda y: -fnp.logaddexp(0.0, y),
    ppf=special.logit,
    isf=lambda q: -special.logit(q),
)
uniform = continuous(
    "uniform",
    logpdf=lambda y: fnp.where((y >= 0) & (y <= 1), 0.0 * y, -np.inf),
    cdf=lambda y: fnp.clip(y, 0.0, 1.0),
    ppf=lambda q: _quantile(q, lambda q: q),
)
gumbel_r = continuous(
    "gumbel_r",
    logpdf=lambda y: -y - fnp.exp(-y),
    logcdf=lambda y: -fnp.exp(-y),
    sf=lambda y: -fnp.expm1(-fnp.exp(-y)),
    ppf=lambda q: _quantile(q, lambda q: -fnp.log(-fnp.log(q))),
)
gumbel_l = continuous(
    "gumbel_l",
    logpdf=lambda y: y - fnp.exp(y),
    cdf=lambda y: -fnp.expm1(-fnp.exp(y)),
    logsf=lambda y: -fnp.exp(y),
    ppf=lambda q: _quantile(q, lambda q: fnp.log(-fnp.log1p(-q))),
)
gamma = continuous(
    "gamma",
    "a",
    logpdf=lambda y, a: _within(y >= 0, y, 1.0, lambda y: special.xlogy(a - 1, y) - y - special.gammaln(a)),
    cdf=lambda y, a: special.gammainc(a, fnp.maximum(y, 0.0)),
    sf=lambda y, a: special.gammaincc(a, fnp.maximum(y, 0.0)),
)
chi2 = continuous(
    "chi2",
    "df",
    logpdf=lambda y, df: _within(
        y >= 0,
        y,
        1.0,
        lambda y: special.xlogy(0.5 * df - 1, 0.5 * y) - 0.5 * y - special.gammaln(0.5 * df) - math.log(2),
    ),
    cdf=lambda y, df: special.gammainc(0.5 * df, 0.5 * fnp.maximum(y, 0.0)),
    sf=lambda y, df: special.gammaincc(0.5 * df, 0.5 * fnp.maximum(y, 0.0)),
)
beta = continuous(
    "beta",
    "a b",
    logpdf=lambda y, a, b: _within(
        (y >= 0) & (y <= 1),
        y,
        0.5,
        lambda y: special.xlogy(a - 1, y) + special.xlog1py(b - 1, -y) - special.betaln(a, b),
    ),
    cdf=lambda y, a, b: special.betainc(a, b, fnp.clip(y, 0.0, 1.0)),
    sf=lambda y, a, b: special.betainc(b, a, fnp.clip(1 - y, 0.0, 1.0)),
)


def _t_tail(y: Array, df: Array) -> Array:
    """The probability of more than |y|, on one side."""
    return 0.5 * special.betainc(0.5 * df, fnp.full_like(df, 0.5), df / (df + y * y))


t = continuous(
    "t",
    "df",
    logpdf=lambda y, df: (
        -special.betaln(0.5 * df, fnp.full_like(df, 0.5))
        - 0.5 * fnp.log(df)
        - 0.5 * (df + 1) * fnp.log1p(y * y / df)
    ),
    cdf=lambda y, df: fnp.where(y < 0, _t_tail(y, df), 1 - _t_tail(y, df)),
    sf=lambda y, df: fnp.where(y > 0, _t_tail(y, df), 1 - _t_tail(y, df)),
)
pareto = continuous(
    "pareto",
    "b",
    logpdf=lambda y, b: _within(y >= 1, y, 2.0, lambda y: fnp.log(b) - (b + 1) * fnp.log(y)),
    cdf=lambda y, b: -fnp.expm1(-b * fnp.log(fnp.maximum(y, 1.0))),
    logsf=lambda y, b: -b * fnp.log(fnp.maximum(y, 1.0)),
    ppf=lambda q, b: _quantile(q, lambda q: fnp.exp(-fnp.log1p(-q) / b)),
)
gennorm = continuous(
    "gennorm",
    "beta",
    logpdf=lambda y, beta: fnp.log(0.5 * beta) - special.gammaln(1 / beta) - fnp.abs(y) ** beta,
    cdf=lambda y, beta: 0.5 * (1 + fnp.sign(y) * special.gammainc(1 / beta, fnp.abs(y) ** beta)),
    sf=lambda y, beta: 0.5 * (1 - fnp.sign(y) * special.gammainc(1 / beta, fnp.abs(y) ** beta)),
)
vonmises = continuous(
    "vonmises",
    "kappa",
    logpdf=lambda y, kappa: _within(
        kappa > 0,
        kappa,
        1.0,
        lambda kappa: kappa * (fnp.cos(y) - 1) - fnp.log(2 * math.pi * special.i0e(kappa)),
        np.nan,
    ),
)


def _wrapped(y: Array, c: Array) -> Array:
    density = fnp.log1p(-c * c) - math.log(2 * math.pi) - fnp.log1p(c * c - 2 * c * fnp.cos(y))
    return fnp.where((y >= 0) & (y <= 2 * math.pi), density, -np.inf)


wrapcauchy = continuous(
    "wrapcauchy",
    "c",
    logpdf=lambda y, c: _within((c > 0) & (c < 1), c, 0.5, lambda c: _wrapped(y, c), np.nan),
)


def _log_less(x: Array, y: Array) -> Array:
    """log(e**x - e**y) for x >= y."""
    apart = x > y
    gap = fnp.where(apart, x - y, 1.0)
    return fnp.where(apart, x + fnp.log(-fnp.expm1(-gap)), -np.inf)


def _log_mass(a: Array, b: Array) -> Array:
    """The logarithm of the standard normal probability of [a, b]; in the right tail that of [-b, -a]."""
    left, right = b <= 0, a > 0
    low, high = fnp.where(right, -b, a), fnp.where(right, -a, b)
    tail = left | right
    outer = _log_less(
        special.log_ndtr(fnp.where(tail, high, -1.0)), special.log_ndtr(fnp.where(tail, low, -2.0))
    )
    inner = fnp.log1p(-special.ndtr(fnp.where(tail, -1.0, a)) - special.ndtr(fnp.where(tail, -1.0, -b)))
    return fnp.where(tail, outer, inner)


def _truncated(y: Array, a: Array, b: Array) -> Array:
    inside = (y >= a) & (y <= b)
    density = -0.5 * y * y - _LOG_ROOT - _log_mass(a, b)
    return fnp.where(a >= b, np.nan, fnp.where(inside, density, -np.inf))


def _log_cdf(y: Array, a: Array, b: Array) -> Array:
    whole, at = _log_mass(a, b), fnp.clip(y, a, b)
    below, above = _log_mass(a, at) - whole, _log_mass(at, b) - whole
    near = below > -0.1  # there it is exact from the other side
    out = fnp.where(near, fnp.log1p(-fnp.exp(fnp.where(near, above, -1.0))), below)
    out = fnp.where(y >= b, 0.0, fnp.where(y <= a, -np.inf, out))
    return fnp.where(a >= b, np.nan, out)


truncnorm = continuous(
    "truncnorm", "a b", logpdf=_truncated, logcdf=_log_cdf, logsf=lambda y, a, b: _log_cdf(-y, -b, -a)
)
