"""Modified Bessel functions of the first kind, of order 0 and 1, times e**-|x|.

Chebyshev series made for this: of e**-x I(x) (over x, for order 1) in x up to 8, and of e**-x I(x) sqrt(x) in 1 / x beyond.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.primitive import Sample
from fnn.core.trace import aval_of
from fnn.primitives.arithmetic import abs, add, div, mul, sign, sub
from fnn.primitives.comparison import lt, select
from fnn.primitives.rules import elementwise, zeros
from fnn.primitives.sampling import unary
from fnn.primitives.scalar_code import Code, chebyshev, expression, scipy_function

_I0_NEAR = (
    0.33839763720473803, -0.3046826723431984, 0.17162090152220877, -0.09490109704804764,
    0.04930528423967071, -0.02373741480589947, 0.010546460394594998, -0.004324309995050576,
    0.0016394756169413357, -0.0005763755745385824, 0.00018850288509584165, -5.754195010082104e-05,
    1.6448448070728896e-05, -4.4167383584587505e-06, 1.1173875391201037e-06, -2.670793853940612e-07,
    6.046995022541919e-08, -1.300025009986248e-08, 2.6598237246823866e-09, -5.189795601635263e-10,
    9.675809035373237e-11, -1.726826291441556e-11, 2.95505266312964e-12, -4.856446783111929e-13,
    7.676185498604936e-14, -1.1685332877993451e-14, 1.715391285555133e-15, -2.431279846547955e-16,
    3.3307945188222384e-17, -4.4153416464793395e-18,
)  # fmt: skip
_I0_FAR = (
    0.4022452055070544, 0.0033691164782556943, 6.889758346916825e-05, 2.8913705208347567e-06,
    2.0489185894690638e-07, 2.266668990498178e-08, 3.3962320257083865e-09, 4.94060238822497e-10,
    1.1889147107846439e-11, -3.1499165279632416e-11, -1.3215811840447713e-11, -1.7941785315068062e-12,
    7.180124451383666e-13, 3.8527783827421426e-13, 1.54008621752141e-14, -4.150569347287222e-14,
    -9.554846698828307e-15, 3.8116806693526224e-15, 1.7725601330565263e-15, -3.425485619677219e-16,
    -2.827623980516583e-16, 3.4612228676974575e-17, 4.465621420296758e-17, -4.830504485944022e-18,
    -7.23318048787497e-18, 9.921475412171813e-19, 1.1936508908470843e-18,
)  # fmt: skip
_I1_NEAR = (
    0.12629359322181682, -0.17641651835783406, 0.1026436586898471, -0.05294598120809499,
    0.024726449030626516, -0.010564084894626197, 0.004156422944312888, -0.0015135724506312532,
    0.0005122859561685758, -0.00016176081582589674, 4.781565107550054e-05, -1.3273163656039436e-05,
    3.4702513081376785e-06, -8.568720264695455e-07, 2.0032947535521353e-07, -4.445059128796328e-08,
    9.381537386495773e-09, -1.8872497517228294e-09, 3.625590281552117e-10, -6.663489723502027e-11,
    1.1736186298890901e-11, -1.9839743977649436e-12, 3.223793365945575e-13, -5.042185504727912e-14,
    7.600684294735408e-15, -1.1055969477353862e-15, 1.5536319577362005e-16, -2.111421214358166e-17,
    2.7779141127610464e-18, -3.541581772542136e-19,
)  # fmt: skip
_I1_FAR = (
    0.38928811750914005, -0.009761097491361469, -0.00011058893876262371, -3.882564808877691e-06,
    -2.512236237870209e-07, -2.6314688468895196e-08, -3.835380385964237e-09, -5.589743462196584e-10,
    -1.8974958123505413e-11, 3.2526035830154884e-11, 1.4125807436613782e-11, 2.0356285441470896e-12,
    -7.198551776245908e-13, -4.0835511110921974e-13, -2.1015418427726643e-14, 4.272440016711951e-14,
    1.0420276984128802e-14, -3.8144030724370075e-15, -1.8803547755107825e-15, 3.3082023109209285e-16,
    2.96262899764595e-16, -3.20952592199342e-17, -4.650305368489357e-17, 4.414348323071546e-18,
    7.517296310842329e-18, -9.314178867325076e-19, -1.2421932751960055e-18,
)  # fmt: skip


def _scaled(c: Code, x: Any, near: tuple[float, ...], far: tuple[float, ...]) -> Any:
    """Up to 8 the series in x, then the one in 1 / x over the root."""
    beyond = x > 8.0
    inner = chebyshev(c.select(beyond, 0.0, x * 0.25 - 1.0), near, c.precision)
    inverse = 1.0 / c.select(beyond, x, 8.0)
    outer = chebyshev(16.0 * inverse - 1.0, far, c.precision) * c.math("sqrt", inverse)
    return c.select(beyond, outer, inner)


def _i0e(c: Code, x: Any) -> Any:
    x = c.math("abs", x)
    return c.select(c.equal(x, x), _scaled(c, x, _I0_NEAR, _I0_FAR), x)


def _i1e(c: Code, x: Any) -> Any:
    size = c.math("abs", x)
    out = _scaled(c, size, _I1_NEAR, _I1_FAR) * c.select(size > 8.0, 1.0, size)
    out = c.select(x < 0.0, -out, out)
    return c.select(c.equal(x, x), c.select(c.equal(x, 0.0), x, out), x)


def _i1e_slope(t: Any, out: Any, x: Any) -> Any:
    """i0e(x) - i1e(x) (sign(x) + 1 / x), which is 1/2 at 0."""
    one = add(zeros(Aval((), aval_of(out).dtype)), 1.0)
    tiny = lt(abs(x), 1e-4)
    safe = select(tiny, one, x)
    whole = sub(bessel_i0e(safe), mul(out, add(sign(safe), div(1.0, safe))))
    near = sub(mul(one, 0.5), abs(x))
    return mul(t, select(tiny, near, whole))


def _samples() -> list[Sample]:
    edges = np.array([0.0, -0.0, 8.0, -8.0, 30.0, 1e30, np.inf, -np.inf, np.nan], np.float32)
    return [*unary(0.5, 20.0), *unary(-6.0, -1.0), Sample((edges,), differentiate=False)]


bessel_i0e = elementwise(
    "bessel_i0e",
    scipy_function("i0e"),
    expression(_i0e),
    lambda t, out, x: mul(t, sub(bessel_i1e(x), mul(sign(x), out))),
    samples=_samples,
)
bessel_i1e = elementwise("bessel_i1e", scipy_function("i1e"), expression(_i1e), _i1e_slope, samples=_samples)
