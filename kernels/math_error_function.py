"""erf, erfc and erf_inv, with minimax polynomials made for them.

erf near 0 is a polynomial; further out it is, for f8, 1 - e**p(x) with p near log erfc and, for f4, another
one. erfc is e**(-x**2) q(t) / (x + c) with t = (x - c) / (x + c), which maps all x >= 0 to one short interval
(after M. M. Shepherd and J. G. Laframboise, Math. Comp. 36, 1981). erf_inv(x) / x is a polynomial in w =
-log(1 - x**2) or, for larger w, in sqrt(w) (after M. Giles, "Approximating the erfinv function", 2010).
"""

from __future__ import annotations

import itertools

from fnn.kernels.loops import Value
from fnn.kernels.math_arithmetic import Arithmetic
from fnn.kernels.math_exponential import LOG2_E, reduced_expm1, split_exp, split_exp_pair
from fnn.kernels.math_logarithm import positive_log_pair
from fnn.kernels.math_short import narrow_of, short_log, wide_of

_INFINITY, _NAN = float("inf"), float("nan")
# f8: erf(x) / x - 1, in x**2
_ERF = (
    0.12837916709551256, -0.37612638903183543, 0.11283791670945006, -0.02686617064323777,
    0.0052239776071164225, -0.0008548325975389692, 0.00012055294904839707, -1.492473690741966e-05,
    1.6447424703317362e-06, -1.6208483801871705e-07, 1.3720064546777686e-08, -7.795898827002142e-10,
)  # fmt: skip
# f8: log(erfc(x)), in x - 1, as far as 1 - erfc(x) differs from 1
_LOG_ERFC = (
    -1.8496055099332482, -2.638967514234785, -0.8431072563586806, -0.041561098043224026,
    0.010033825387519847, -0.0019779025654126374, 0.00023732192043953698, 2.6281397506078585e-05,
    -2.717062917850303e-05, 9.632853815614375e-06, -2.093889351947712e-06, 1.7733905303295064e-07,
    7.246510557852312e-08, -3.885612892039397e-08, 9.961667681510947e-09, -1.5710840531427186e-09,
    1.4542740043570039e-10, -6.077095631682558e-12,
)  # fmt: skip
# f4: erf(x) / x - 1, in x**2 - 1.7, for x < 1.7; and -erfc(x), in x - 2.8125, as far as 1 - erfc(x) differs from 1
_ERF_MIDDLE, _ERF_SHIFTS = 1.7, (1.7, 2.8125)
_ERF_SHORT = (
    (
        -0.28303838, -0.150242746, 0.0359694026, -0.00752734159, 0.00134818454, -0.000208509591, 2.82303147e-05,
        -3.38800531e-06, 3.6147031e-07, -3.61532244e-08, 4.07692191e-09,
    ),
    (
        -6.9644906e-05, 0.000413858244, -0.00116499059, 0.00205008453, -0.00248613744, 0.00216510822, -0.00139300805,
        0.000635044358, -0.000110967085, -7.94397129e-05, 4.00302306e-05,
    ),
)  # fmt: skip
# c, and e**(x**2) erfc(x) (x + c) in t = (x - c) / (x + c); for f8 from x = 1 on
_ERFC_SHIFT = {"f4": 2.0, "f8": 3.078125}
_ERFC = {
    "f4": (
        1.021582708683979, -0.6871606970891345, 0.27947177076321716, -0.03644178332257887,
        -0.021505721926623336, 0.006475877051426583, 0.0030626042763933596, -0.0008320595294866867,
        -0.0005925591889945983, 4.693723926922693e-05, 6.94786343350845e-05,
    ),
    "f8": (
        1.0764090930655679, -0.8932262614540848, 0.6083993762186738, -0.33114534193407913,
        0.13566612346253223, -0.035418269305382784, 0.00145592143120685, 0.0029929454444749654,
        -0.0008967249267057714, -0.00017987637438247338, 0.00014193465179879088, 9.804810615395793e-06,
        -2.1390080391862533e-05, -9.205199864415606e-07, 3.4811013273720925e-06, 2.8612689817891015e-07,
        -6.404734672582322e-07, -6.818707211317186e-08, 1.3562011513676214e-07, -2.5119895137641443e-08,
    ),
}  # fmt: skip
# of f4's: what its format leaves out of the first coefficient, and roughly the derivative
_ERFC_SHORT_LOW = -1.39799e-08
_ERFC_SHORT_SLOPE = (-0.687, 0.559, -0.11, -0.086)
# the derivative of f8's, roughly
_ERFC_SLOPE = (-0.8909, 1.2348, -1.0444, 0.4517)
# what f8 leaves out of the first coefficients: of erf's first two, of erfc's, of erf_inv's by intervals
_ERF_LOW = (7.97536e-18, 2.42154e-17)
_ERFC_LOW = -1.77156e-18
_ERF_INV_LOW = (1.05856e-17, -1.34074e-16, -1.21111e-16)
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
            1.6536545626831027, 0.2401581824255883, -0.00603367087142785, -0.000740702534154477,
            0.00018673420802464837, -1.3882523394405316e-05, -1.3654691850603575e-06, 4.234788173782339e-07,
            -2.9070382262927266e-08, -4.11266082002324e-09, 1.0512181539804126e-09, -5.414287198084716e-11,
            -1.2976885526532075e-11, 2.6304834740560442e-12, -8.118399443074353e-14, -4.001237735091896e-14,
            6.596407712420834e-15, -4.0282154327661744e-17, -1.3016928016796445e-16, 1.557432024623325e-17,
            1.150022252066253e-18, -3.4996044354754177e-19, -1.113483769832702e-21, 3.240704459379902e-21,
        )),
        (6.25, 3.25, (
            3.0838856104922208, 1.0052589676941652, 0.00537091455357168, -0.003751208508215561,
            0.0024914420969817607, -0.0016882755357337071, 0.0009532893637435638, -0.00035503780975963814,
            2.4031257015092525e-05, 6.828708654753377e-05, -4.731898412011245e-05, 1.2465167157087251e-05,
            2.9257291901789823e-06, -3.986084395214756e-06, 1.4987130784186127e-06, -2.7004219280868947e-08,
            -2.713451105439456e-07, 1.3104351499972014e-07, 6.969241977629694e-10, -1.5102695423335065e-08,
        )),
        (16.0, 5.0, (
            4.849906401408584, 1.0103004648645455, -0.000138719318373517, -0.00021503011983024694,
            7.59952779202494e-05, -1.9681770676949253e-05, 4.526054328559671e-06, -9.930294774982885e-07,
            2.2904362741369038e-07, -6.75560303537366e-08, 2.9044909320789473e-08, -1.525516018129263e-08,
            7.777428539826634e-09, -3.471437933896719e-09, 1.3589365341577093e-09, -4.373889663734069e-10,
            4.6977303445962824e-11, 4.280243303730942e-11, -1.543927819720834e-11,
        )),
    ),
}  # fmt: skip


def erf(m: Arithmetic, x: Value) -> Value:
    if m.single:
        return _erf_short(m, x)
    a = m.at_most(m.abs(x), 5.95)
    inner = m.fma(a, m.polynomial(a * a, _ERF), a)
    p, k = split_exp(m, m.polynomial(a - 1.0, _LOG_ERFC))
    power = m.power_of_two(k)
    return m.copysign(m.select(a < 1.0, inner, m.fma(-power, p, 1.0 - power)), x)


def _erf_short(m: Arithmetic, x: Value) -> Value:
    """For f4 one polynomial p, of which each lane chooses the coefficients: erf = s + s p(u), where s is |x| or,
    further out, 1."""
    a = m.at_most(m.abs(x), 3.925)
    near = a < _ERF_MIDDLE
    s = m.select(near, a, 1.0)
    u = m.fma(s, a, m.select(near, *[m.const(-shift) for shift in _ERF_SHIFTS]))
    p = m.horner(u, [m.select(near, *pair) for pair in zip(*_ERF_SHORT, strict=True)])
    return m.copysign(m.fma(s, p, s), x)


def erfc(m: Arithmetic, x: Value) -> Value:
    """2 - erfc(|x|) for negative x; and, for f8, 1 - erf(x) for |x| < 1."""
    a = m.abs(x)
    tail = (_tail_short if m.single else _tail)(m, m.at_most(a, 10.1 if m.single else 27.3))
    result = m.select(x < 0.0, 2.0 - tail, tail)
    if m.single:
        return result
    return m.select(a < 1.0, _inner_erfc(m, x), result)


def _inner_erfc(m: Arithmetic, x: Value) -> Value:
    """1 - x - x p(x**2) for |x| < 1. Near 1 the terms cancel, so what the rounding of the larger ones left
    out is put back."""
    first, *rest = _ERF
    square, square_low = m.exact_product(x, x)
    high, low = m.polynomial_pair(square, rest, _ERF_LOW[1])
    cube, cube_low = m.exact_product(square, x)
    cube_low = m.fma(square_low, x, cube_low)
    one_less = 1.0 - x
    near = m.fma(-x, first, one_less)
    lost = m.fma(-x, first, one_less - near) + ((1.0 - one_less) - x)
    lost = lost - m.fma(x, _ERF_LOW[0], m.fma(cube, low, cube_low * high))
    return m.fma(-cube, high, near + lost)


def _tail(m: Arithmetic, a: Value) -> Value:
    """erfc for positive arguments. All factors carry what their rounding left out."""
    shift = _ERFC_SHIFT[m.dtype]
    square, square_low = m.exact_product(a, a)
    e, e_low, k = split_exp_pair(m, -square, -square_low)
    below, below_low = m.unordered_sum(a, shift)
    inverse = 1.0 / below
    lost = m.fma(-inverse, below_low, m.fma(-inverse, below, 1.0))
    double = -2.0 * shift
    t = m.fma(inverse, double, 1.0)
    t_low = m.fma(inverse * lost, double, m.fma(inverse, double, 1.0 - t))
    q, q_low = m.polynomial_pair(t, _ERFC[m.dtype], _ERFC_LOW)
    q_low = m.fma(t_low, m.polynomial(t, _ERFC_SLOPE), q_low)
    r, r_low = m.exact_product(q, inverse)
    r_low = m.fma(q_low, inverse, m.fma(r, lost, r_low))
    s, s_low = m.exact_product(r, e)
    return m.scale(s + m.fma(r, e_low, m.fma(r_low, e, s_low)), k)


def _tail_short(m: Arithmetic, a: Value) -> Value:
    """The same for f4: only what counts there of what roundings left out."""
    shift = _ERFC_SHIFT["f4"]
    square, square_low = m.exact_product(a, a)
    (high, rest), (n, k) = m.format.ln2, m.nearest_integer(-square, LOG2_E)
    power, power_low = m.exact_sum(m.fma(n, -high, -square), m.fma(n, -rest, -square_low))
    p = reduced_expm1(m, power)
    below = a + shift
    inverse = 1.0 / below
    lost = m.fma(-inverse, a - (below - shift), m.fma(-inverse, below, 1.0))
    double = -2.0 * shift
    t = m.fma(inverse, double, 1.0)
    t_low = m.fma(inverse * lost, double, m.fma(inverse, double, 1.0 - t))
    q, q_low = m.polynomial_pair(t, _ERFC["f4"], _ERFC_SHORT_LOW)
    q_low = m.fma(t_low, m.polynomial(t, _ERFC_SHORT_SLOPE), q_low)
    r, r_low = m.exact_product(q, inverse)
    r_low = m.fma(r, power_low, m.fma(q_low, inverse, m.fma(r, lost, r_low)))
    return m.scale(r + m.fma(r, p, m.fma(r_low, p, r_low)), k)


def erf_inv(m: Arithmetic, x: Value) -> Value:
    size = m.abs(x)
    inside = m.select(size < 1.0, x, 0.0)
    if m.single:
        wide, inside = wide_of(m, inside)
        result = narrow_of(m, _inner_erf_inv_short(wide, inside))
    else:
        result = _inner_erf_inv(m, inside)
    result = m.select(size < 1.0, result, m.copysign(_INFINITY, x))
    return m.select(size > 1.0, _NAN, m.select(m.is_nan(x), x, result))


def _inner_erf_inv_short(m: Arithmetic, x: Value) -> Value:
    """erf_inv for |x| < 1, to the precision of f4."""
    w = -short_log(m, m.fma(-x, x, 1.0))
    u, coefficients = _chosen(m, w, m.sqrt(w), _ERF_INV["f4"])
    return x * m.polynomial(u, coefficients)


def _inner_erf_inv(m: Arithmetic, x: Value) -> Value:
    """The same, to the precision of f8: w, its root and the polynomial carry what their rounding left out."""
    log, log_low = positive_log_pair(m, m.fma(-x, x, 1.0))
    w, w_low = m.exact_sum(-log, -log_low)
    root = m.sqrt(w)
    lost = m.fma(-root, root, w) + w_low
    u, coefficients = _chosen(m, w, root, _ERF_INV["f8"])
    u_low = m.select(w >= _ERF_INV["f8"][1][0], lost / (root + root), w_low)
    first = m.const(_ERF_INV_LOW[0])
    for (start, _, _), value in zip(_ERF_INV["f8"][1:], _ERF_INV_LOW[1:], strict=True):
        first = m.select(w >= start, value, first)
    high, low = m.polynomial_pair(u, coefficients, first)
    low = m.fma(u_low, coefficients[1], low)  # the slope, near enough
    return m.fma(x, high, x * low)


def _chosen(m: Arithmetic, w: Value, root: Value, table: tuple) -> tuple[Value, list[float | Value]]:
    """The argument and the coefficients of erf_inv's polynomial on w's interval."""
    (_, origin, coefficients), *further = table
    u: Value = w - origin
    chosen: list[float | Value] = list(coefficients)
    for start, origin, coefficients in further:
        beyond = w >= start
        u = m.select(beyond, root - origin, u)
        pairs = itertools.zip_longest(coefficients, chosen, fillvalue=0.0)
        chosen = [m.select(beyond, new, old) for new, old in pairs]
    return u, chosen
