"""Special functions: gamma and its relatives, error functions, entropies, Bessel functions.

Arguments are promoted to floating point and broadcast. Everything is computed element by element, inside fused kernels,
and has derivatives unless its docstring says otherwise.

>>> from fnn.scipy import special
>>> print(special.gammainc(2.0, 1.0))
0.26424113
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes, lax
from fnn import numpy as fnp
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, DtypeError, UnsupportedError
from fnn.operations.exponentials import log_softmax, logsumexp, softmax


def promoted(*xs: Any) -> list[Array]:
    """Operands as floating-point arrays of one dtype and one shape. Python numbers stay weak where all are."""
    arrays = [as_array(x) for x in xs]
    found, weak = dtypes.result([a.aval for a in arrays])
    if found.kind == "c":
        raise UnsupportedError(
            f"fnn.scipy: {', '.join(str(a.aval) for a in arrays)}, at {describe(here())}; these functions take real numbers"
        )
    target = found if dtypes.is_float(found) else dtypes.default_float()
    arrays = [a if a.dtype == target and a.weak_type == weak else P.convert(a, dtype=target) for a in arrays]
    return list(fnp.broadcast_arrays(*arrays)) if len({a.shape for a in arrays}) > 1 else arrays


def _elementwise(primitive: Any, name: str, text: str) -> Callable[..., Array]:
    def function(*xs: Any) -> Array:
        return primitive(*promoted(*xs))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


# -- the gamma function and its relatives --------------------------------------------------------------------

gammaln = _elementwise(P.lgamma, "gammaln", "log |gamma(x)|.")
loggamma = gammaln
digamma = _elementwise(P.digamma, "digamma", "The derivative of gammaln.")
psi = digamma
gammainc = _elementwise(P.igamma, "gammainc", "(a, x) -> the regularised lower incomplete gamma function.")
gammaincc = _elementwise(P.igammac, "gammaincc", "(a, x) -> 1 - gammainc(a, x), exact where it is small.")
betaln = _elementwise(P.lbeta, "betaln", "(a, b) -> log |B(a, b)|.")
betainc = _elementwise(P.betainc, "betainc", "(a, b, x) -> the regularised incomplete beta function.")
_zeta = _elementwise(P.zeta, "zeta", "")


def gammasgn(x: Any) -> Array:
    """The sign of gamma(x); NaN at negative integers."""
    (x,) = promoted(x)
    down = fnp.floor(x)
    odd = (x < 0) & (down % 2 != 0) | (x == 0) & fnp.signbit(x)
    return fnp.where((x < 0) & (x == down) | fnp.isnan(x), np.nan, fnp.where(odd, -1.0, 1.0)).astype(x.dtype)


def gamma(x: Any) -> Array:
    """The gamma function.

    >>> print(gamma(5.0))
    24.0
    """
    (x,) = promoted(x)
    return gammasgn(x) * fnp.exp(P.lgamma(x))


def beta(a: Any, b: Any) -> Array:
    """gamma(a) gamma(b) / gamma(a + b)."""
    a, b = promoted(a, b)
    return gammasgn(a) * gammasgn(b) * gammasgn(a + b) * fnp.exp(P.lbeta(a, b))


def factorial(n: Any, exact: bool = False) -> Array:
    """gamma(n + 1), 0 for negative n. exact=True is not supported."""
    if exact:
        raise ArgumentError(
            f"special.factorial: exact=True is not supported, at {describe(here())}; use math.factorial"
        )
    (n,) = promoted(n)
    return fnp.where(n < 0, 0.0, fnp.exp(P.lgamma(n + 1)))


def comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Array:
    """The number of ways to choose k out of N, with repetition if asked for; 0 where there are none."""
    if exact:
        raise ArgumentError(
            f"special.comb: exact=True is not supported, at {describe(here())}; use math.comb"
        )
    N, k = promoted(N, k)
    if repetition:
        return fnp.where((k == 0) & (N >= 0), 1.0, comb(N + k - 1, k))
    fits = (k <= N) & (N >= 0) & (k >= 0)
    N, k = fnp.where(fits, N, 0.0), fnp.where(fits, k, 0.0)
    inner = P.lgamma(N + 1) - P.lgamma(k + 1) - P.lgamma(N + 1 - k)
    return fnp.where(fits, fnp.exp(inner), 0.0)


def poch(z: Any, m: Any) -> Array:
    """gamma(z + m) / gamma(z)."""
    z, m = promoted(z, m)
    sign = gammasgn(z + m) * gammasgn(z)
    return fnp.where(m == 0, 1.0, sign * fnp.exp(P.lgamma(z + m) - P.lgamma(z)))


def multigammaln(a: Any, d: int) -> Array:
    """The logarithm of the multivariate gamma function of dimension d."""
    (a,) = promoted(a)
    d = operator.index(d)
    steps = fnp.arange(d, dtype=a.dtype) / 2
    return fnp.sum(P.lgamma(a[..., None] - steps), axis=-1) + 0.25 * d * (d - 1) * math.log(math.pi)


def polygamma(n: Any, x: Any) -> Array:
    """The n-th derivative of digamma, for integers n >= 0."""
    if dtypes.kind(as_array(n).dtype) not in "iu":
        raise DtypeError(f"special.polygamma: n is an integer, not {as_array(n).aval}, at {describe(here())}")
    n, x = promoted(n, x)
    return fnp.where(n == 0, P.digamma(x), lax.polygamma(fnp.maximum(n, 1), x))


def zeta(x: Any, q: Any = None) -> Array:
    """The Hurwitz zeta function: the sum of (q + k)^-x over k >= 0. Riemann's is that of q = 1, the default."""
    return _zeta(x, 1.0 if q is None else q)


def bernoulli(n: int) -> Array:
    """The Bernoulli numbers B_0, ..., B_n."""
    from scipy import special as reference

    n = operator.index(n)
    if n < 0:
        raise ArgumentError(f"special.bernoulli: n is at least 0, not {n}, at {describe(here())}")
    return fnp.asarray(reference.bernoulli(max(n, 2))[: n + 1], dtypes.default_float())


# -- error functions and the normal distribution -------------------------------------------------------------

erf = _elementwise(P.erf, "erf", "The error function.")
erfc = _elementwise(P.erfc, "erfc", "1 - erf(x), exact where it is small.")
erfinv = _elementwise(P.erf_inv, "erfinv", "The inverse of erf.")
erfcx = _elementwise(P.erfcx, "erfcx", "exp(x^2) erfc(x), without overflow.")
dawsn = _elementwise(
    P.dawsn, "dawsn", "Dawson's function: exp(-x^2) times the integral of exp(t^2) from 0 to x."
)
ndtri = _elementwise(
    P.ndtri, "ndtri", "The quantiles of the standard normal distribution: the inverse of ndtr."
)


def ndtr(x: Any) -> Array:
    """The cumulative distribution function of the standard normal distribution.

    >>> print(ndtr(0.0))
    0.5
    """
    (x,) = promoted(x)
    return 0.5 * P.erfc(-math.sqrt(0.5) * x)


def log_ndtr(x: Any, series_order: int = 3) -> Array:
    """log(ndtr(x)), exact where ndtr is near 0 or 1. series_order is accepted and ignored."""
    (x,) = promoted(x)
    low = x < -1
    under, over = fnp.where(low, x, -1.0), fnp.where(low, 0.0, x)
    tail = fnp.log(0.5 * P.erfcx(-math.sqrt(0.5) * under)) - 0.5 * under * under
    return fnp.where(low, tail, fnp.log1p(-0.5 * P.erfc(math.sqrt(0.5) * over)))


def expit(x: Any) -> Array:
    """1 / (1 + exp(-x))."""
    return P.logistic(*promoted(x))


def logit(x: Any) -> Array:
    """log(x / (1 - x)), the inverse of expit."""
    (x,) = promoted(x)
    return fnp.log(x) - fnp.log1p(-x)


# -- entropies -----------------------------------------------------------------------------------------------


def xlogy(x: Any, y: Any) -> Array:
    """x log(y), 0 where x is 0 (unless y is NaN)."""
    x, y = promoted(x, y)
    none = (x == 0) & ~fnp.isnan(y)
    return fnp.where(none, 0.0, x * fnp.log(fnp.where(none, 1.0, y)))


def xlog1py(x: Any, y: Any) -> Array:
    """x log(1 + y), 0 where x is 0 (unless y is NaN)."""
    x, y = promoted(x, y)
    none = (x == 0) & ~fnp.isnan(y)
    return fnp.where(none, 0.0, x * fnp.log1p(fnp.where(none, 0.0, y)))


def entr(x: Any) -> Array:
    """-x log(x), 0 at 0, -inf below."""
    (x,) = promoted(x)
    return fnp.where(x < 0, -np.inf, -xlogy(fnp.where(x < 0, 0.0, x), x))


def rel_entr(p: Any, q: Any) -> Array:
    """p log(p / q), 0 where p is 0, inf outside of the domain."""
    p, q = promoted(p, q)
    both = (p > 0) & (q > 0)
    safe_p, safe_q = fnp.where(both, p, 1.0), fnp.where(both, q, 1.0)
    value = safe_p * (fnp.log(safe_p) - fnp.log(safe_q))
    return fnp.where(both, value, fnp.where((p == 0) & (q >= 0), 0.0, np.inf))


def kl_div(p: Any, q: Any) -> Array:
    """p log(p / q) - p + q."""
    p, q = promoted(p, q)
    return rel_entr(p, q) - p + q


def boxcox(x: Any, lmbda: Any) -> Array:
    """(x^lmbda - 1) / lmbda, log(x) where lmbda is 0."""
    x, lmbda = promoted(x, lmbda)
    return _boxcox(fnp.log(x), lmbda)


def boxcox1p(x: Any, lmbda: Any) -> Array:
    """The same of 1 + x."""
    x, lmbda = promoted(x, lmbda)
    return _boxcox(fnp.log1p(x), lmbda)


def _boxcox(log_x: Array, power: Array) -> Array:
    safe = fnp.where(power == 0, 1.0, power)
    return fnp.where(power == 0, log_x, fnp.expm1(safe * log_x) / safe)


# -- Bessel functions, exponential integrals and others -------------------------------------------------------

i0e = _elementwise(P.bessel_i0e, "i0e", "exp(-|x|) i0(x).")
i1e = _elementwise(P.bessel_i1e, "i1e", "exp(-|x|) i1(x).")
expi = _elementwise(P.expi, "expi", "The exponential integral Ei.")
expn = _elementwise(
    P.expn, "expn", "(n, x) -> the exponential integral E_n, for n = 0, 1, 2, ...; constant in n to grad."
)
spence = _elementwise(P.spence, "spence", "The dilogarithm of 1 - x.")


def exp1(x: Any) -> Array:
    """The exponential integral E_1."""
    return expn(1.0, x)


def i0(x: Any) -> Array:
    """The modified Bessel function of the first kind of order 0."""
    (x,) = promoted(x)
    return fnp.exp(fnp.abs(x)) * P.bessel_i0e(x)


def i1(x: Any) -> Array:
    """The modified Bessel function of the first kind of order 1."""
    (x,) = promoted(x)
    return fnp.exp(fnp.abs(x)) * P.bessel_i1e(x)


def bessel_jn(z: Any, *, v: int, n_iter: int = 50) -> Array:
    """The Bessel functions of the first kind of orders 0 to v: an array of shape (v + 1, *z.shape).

    By Miller's backward recurrence from order n_iter, which must exceed v and |z|."""
    (z,) = promoted(z)
    v, n_iter = operator.index(v), operator.index(n_iter)
    zero = z == 0
    safe = fnp.where(zero, 1.0, z)
    after, value = fnp.zeros_like(z), fnp.full_like(z, 1e-16)
    found: list[Array] = []
    total = fnp.zeros_like(z)
    for order in range(n_iter, 0, -1):
        after, value = value, 2.0 * order / safe * value - after
        large = fnp.abs(value) > 1e10
        scale = fnp.where(large, 1e-10, 1.0)
        after, value, total = after * scale, value * scale, total * scale
        found = [x * scale for x in found]
        if (order - 1) % 2 == 0:
            total = total + (2.0 if order > 1 else 1.0) * value
        if order - 1 <= v:
            found.append(value)
    out = fnp.stack(found[::-1]) / total
    at_zero = (fnp.arange(v + 1) == 0).reshape((v + 1,) + (1,) * z.ndim)
    return fnp.where(zero, at_zero.astype(z.dtype), out)


__all__ = [
    "bernoulli", "bessel_jn", "beta", "betainc", "betaln", "boxcox", "boxcox1p", "comb", "dawsn", "digamma", "entr",
    "erf", "erfc", "erfcx", "erfinv", "exp1", "expi", "expit", "expn", "factorial", "gamma", "gammainc", "gammaincc",
    "gammaln", "gammasgn", "i0", "i0e", "i1", "i1e", "kl_div", "log_ndtr", "log_softmax", "loggamma", "logit",
    "logsumexp", "multigammaln", "ndtr", "ndtri", "poch", "polygamma", "psi", "rel_entr", "softmax", "spence",
    "xlog1py", "xlogy", "zeta",
]  # fmt: skip
