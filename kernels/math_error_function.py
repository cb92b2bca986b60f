"""erf, erfc and erf_inv, with minimax polynomials made for them.

erf near 0 is a polynomial; further out it is 1 - e**p(x) with p near log erfc. erfc is e**(-x**2) q(t) / (x +
c) with t = (x - c) / (x + c), which maps all x >= 0 to one short interval (after M. M. Shepherd and J. G.
Laframboise, Math. Comp. 36, 1981). erf_inv(x) / x is a polynomial in w = -log(1 - x**2) or, for larger w, in
sqrt(w) (after M. Giles, "Approximating the erfinv function", 2010).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from fnn.kernels.loops import Value
from fnn.kernels.math_arithmetic import Arithmetic
from fnn.kernels.math_exponential import split_exp
from fnn.kernels.math_logarithm import positive_log
from fnn.kernels.math_short import narrow_of, short_exp, short_log, wide_of

_INFINITY, _NAN = float("inf"), float("nan")
# erf(x) / x - 1, in x**2
_ERF = {
    "f4": (
        0.128379166, -0.376126289, 0.112836182, -0.026855126, 0.00519073382, -0.000803076138, 7.92036881e-05,
    ),
    "f8": (
        0.12837916709551256, -0.3761263890318334, 0.11283791670936533, -0.026866170641867283,
        0.005223977595812195, -0.0008548325434094303, 0.00012055278814397544, -1.4924430870969029e-05,
        1.6443697624122265e-06, -1.6180379077635172e-07, 1.3600599911599465e-08, -7.577096980620582e-10,
    ),
}  # fmt: skip
# log(erfc(x)), in x - 1, as far as 1 - erfc(x) differs from 1
_LOG_ERFC = {
    "f4": (
        -1.84960556, -2.63895178, -0.843344748, -0.0404594131, 0.00794650428, -0.00028629828, -0.000240612077,
    ),
    "f8": (
        -1.8496055099332482, -2.638967514234785, -0.8431072563586806, -0.041561098043224026,
        0.010033825387519847, -0.0019779025654126374, 0.00023732192043953698, 2.6281397506078585e-05,
        -2.717062917850303e-05, 9.632853815614375e-06, -2.093889351947712e-06, 1.7733905303295064e-07,
        7.246510557852312e-08, -3.885612892039397e-08, 9.961667681510947e-09, -1.5710840531427186e-09,
        1.4542740043570039e-10, -6.077095631682558e-12,
    ),
}  # fmt: skip
# c, and e**(x**2) erfc(x) (x + c) in t = (x - c) / (x + c); for f8 from x = 1 on
_ERFC_SHIFT = {"f4": 2.0, "f8": 3.078125}
_ERFC = {
    "f4": (
        1.021582708683979, -0.6871606970891345, 0.27947177076321716, -0.03644178332257887,
        -0.021505721926623336, 0.006475877051426583, 0.0030626042763933596, -0.0008320595294866867,
        -0.0005925591889945983, 4.693723926922693e-05, 6.94786343350845e-05,
    ),
    "f8": (
        1.0764090930655679, -0.8932262614540848, 0.6083993762186729, -0.3311453419340761, 0.13566612346259277,
        -0.03541826930555721, 0.0014559214296704975, 0.0029929454489002107, -0.0008967249084784531,
        -0.0001798764326926235, 0.00014193454752269035, 9.805235012745636e-06, -2.138986961679362e-05,
        -9.222177580708324e-07, 3.4816125621751197e-06, 2.8949740316743294e-07, -6.434925500437675e-07,
        -7.025907156091386e-08, 1.3941505841273822e-07, -2.6503034798287856e-08,
    ),
}  # fmt: skip
# erf_inv(x) / x by intervals of w: their start, what is subtracted from w (in the first) or sqrt(w), coefficients
_ERF_INV = {
    "f4": (
        (0.0, 2.5, (
            1.5014093592789366, 0.24664028615076344, -0.004177386762499207, -0.001252741882803539,
            0.0002183444270010007, -4.963347453507631e-06, -3.4627017709800812e-06, 4.6617121094729994e-07,
            2.3232405684656565e-08, -8.79113757702553e-09,
        )),
        (5.0, 3.0, (
            2.8329768010106493, 1.0016749646333187, 0.009445301684771253, -0.007637254473264159,
            0.005686823615227335, -0.0035974945223946194, 0.0014855637302553372, -5.684463304374779e-05,
            -0.00031003372767690715, 0.00011595316201973173,
        )),
    ),
    "f8": (
        (0.0, 3.125, (
            1.6536545626831027, 0.24015818242558826, -0.006033670871427575, -0.0007407025341538266,
            0.0001867342080234691, -1.3882523396253496e-05, -1.3654691831037334e-06, 4.2347881979626977e-07,
            -2.9070383915784158e-08, -4.112662572897575e-09, 1.0512189628487372e-09, -5.4142098126507707e-11,
            -1.297713064067047e-11, 2.6302648514348697e-12, -8.113660032798503e-14, -3.9972046662327543e-14,
            6.59055693786808e-15, -4.5113664348025944e-17, -1.2972336187753313e-16, 1.5936290149139672e-17,
            1.1309190467615943e-18, -3.6535683384218347e-19, -7.618400436273857e-22, 3.524348939559975e-21,
        )),
        (6.25, 3.25, (
            3.0838856104922208, 1.0052589676941825, 0.005370914553532836, -0.0037512085100483354,
            0.0024914420988360626, -0.0016882754786298286, 0.0009532893296694298, -0.00035503861833571034,
            2.403157057924892e-05, 6.82932873185318e-05, -4.732060461461923e-05, 1.24372375322399e-05,
            2.930647513995091e-06, -3.910057397398769e-06, 1.4900149082671985e-06, -1.499846305610125e-07,
            -2.6305124084501506e-07, 2.398283286656547e-07, -2.597665745989657e-09, -5.561788049040323e-08,
        )),
        (16.0, 5.0, (
            4.849906401408584, 1.0103004648645493, -0.00013871931839096722, -0.00021503012001429633,
            7.599527834461593e-05, -1.968176813409038e-05, 4.526050261517823e-06, -9.93045185390538e-07,
            2.2906356289015197e-07, -6.750471172670272e-08, 2.8989048604581487e-08, -1.5350120363040945e-08,
            7.870670845363577e-09, -3.3714396959856242e-09, 1.2672531347930495e-09, -4.932551574252417e-10,
            9.597288300058123e-11, 5.5657391569978047e-11, -2.6408488149123354e-11,
        )),
    ),
}  # fmt: skip


def erf(m: Arithmetic, x: Value) -> Value:
    a = m.at_most(m.abs(x), 3.95 if m.single else 5.95)
    inner = m.fma(a, m.polynomial(a * a, _ERF[m.dtype]), a)
    p, k = split_exp(m, m.polynomial(a - 1.0, _LOG_ERFC[m.dtype]))
    power = m.power_of_two(k)
    return m.copysign(m.select(a < 1.0, inner, m.fma(-power, p, 1.0 - power)), x)


def erfc(m: Arithmetic, x: Value) -> Value:
    """2 - erfc(|x|) for negative x; and, for f8, 1 - erf(x) for |x| < 1."""
    a = m.abs(x)
    tail = (_tail_short if m.single else _tail)(m, m.at_most(a, 10.1 if m.single else 27.3))
    result = m.select(x < 0.0, 2.0 - tail, tail)
    if m.single:
        return result
    inner = m.fma(-x, m.polynomial(x * x, _ERF["f8"]), 1.0 - x)
    return m.select(a < 1.0, inner, result)


def _tail(m: Arithmetic, a: Value) -> Value:
    """erfc for positive arguments. a**2 and 1 / (a + c) carry what their rounding left out."""
    shift = _ERFC_SHIFT[m.dtype]
    square, square_low = m.exact_product(a, a)
    p, k = split_exp(m, -square, -square_low)
    below, below_low = m.unordered_sum(a, shift)
    inverse = 1.0 / below
    lost = m.fma(-inverse, below_low, m.fma(-inverse, below, 1.0))
    q = m.horner(m.fma(inverse, -2.0 * shift, 1.0), _ERFC[m.dtype])
    r, r_low = m.exact_product(q, inverse)
    return m.scale(r + m.fma(r, p + lost, r_low), k)


def _tail_short(m: Arithmetic, a: Value) -> Value:
    """The same for f4 through f8, which needs no such care."""
    shift = _ERFC_SHIFT[m.dtype]
    wide, a = wide_of(m, a)
    inverse = 1.0 / (a + shift)
    q = wide.polynomial(wide.fma(inverse, -2.0 * shift, 1.0), _ERFC[m.dtype])
    return narrow_of(m, short_exp(wide, -(a * a)) * (q * inverse))


def erf_inv(m: Arithmetic, x: Value) -> Value:
    size = m.abs(x)
    inside = m.select(size < 1.0, x, 0.0)
    if m.single:
        wide, inside = wide_of(m, inside)
        result = narrow_of(m, _inner_erf_inv(wide, inside, short_log, _ERF_INV["f4"]))
    else:
        result = _inner_erf_inv(m, inside, positive_log, _ERF_INV["f8"])
    result = m.select(size < 1.0, result, m.copysign(_INFINITY, x))
    return m.select(size > 1.0, _NAN, m.select(m.is_nan(x), x, result))


def _inner_erf_inv(m: Arithmetic, x: Value, log: Callable[[Arithmetic, Value], Value], table: tuple) -> Value:
    """erf_inv for |x| < 1."""
    w = -log(m, m.fma(-x, x, 1.0))
    root = m.sqrt(w)
    (_, origin, coefficients), *further = table
    u: Value = w - origin
    chosen: list[float | Value] = list(coefficients)
    for start, origin, coefficients in further:
        beyond = w >= start
        u = m.select(beyond, root - origin, u)
        pairs = itertools.zip_longest(coefficients, chosen, fillvalue=0.0)
        chosen = [m.select(beyond, new, old) for new, old in pairs]
    return x * m.polynomial(u, chosen)
