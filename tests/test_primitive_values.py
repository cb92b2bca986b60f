"""What single primitives mean where that is a convention: expected numbers, written out, and the errors of
shape rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fnn import primitives as P
from fnn.core.array import as_array
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, DtypeError, ShapeError
from fnn.transforms.autodiff import jvp_flat, vjp_flat
from tests.primitive_checks import numpy, wrap

F4, I4 = np.dtype("float32"), np.dtype("int32")


def f4(*xs: Any) -> Any:
    return wrap(np.array(xs, np.float32))


def i4(*xs: Any) -> Any:
    return wrap(np.array(xs, np.int32))


def same(got: Any, want: Any) -> None:
    np.testing.assert_array_equal(numpy(got), np.asarray(want))


def gradient(f: Callable[..., Any], *xs: Any) -> list[Any]:
    """The derivative of sum(f)."""
    (out,), pull = vjp_flat(lambda *ys: [f(*ys)], xs, [True] * len(xs))
    return [None if c is None else numpy(c) for c in pull([wrap(np.ones(out.shape, out.dtype))])]


# -- integers ------------------------------------------------------------------------------------------------


def test_integer_division_truncates_and_never_traps() -> None:
    x, y = i4(7, -7, 7, -7, 5, -(2**31)), i4(2, 2, -2, -2, 0, -1)
    same(P.div(x, y), [3, -3, -3, 3, -1, -(2**31)])
    same(P.rem(x, y), [1, -1, 1, -1, 5, 0])
    same(P.div(wrap(np.array([9], np.uint8)), wrap(np.array([0], np.uint8))), [255])


def test_float_remainder_has_the_sign_of_the_dividend() -> None:
    same(P.rem(f4(5.5, -5.5, 5.5, -5.5), f4(2, 2, -2, -2)), np.array([1.5, -1.5, 1.5, -1.5], np.float32))


def test_integer_powers() -> None:
    same(P.pow(i4(2, -3, -1, 1, 0, 5, -1), i4(10, 3, -3, -4, 2, -1, -2)), [1024, -27, -1, 1, 0, 0, 1])
    same(P.integer_pow(i4(-3, 2), n=3), [-27, 8])
    same(P.integer_pow(f4(2.0, 4.0), n=-2), [0.25, 0.0625])


def test_shifts_beyond_the_width() -> None:
    x, y = i4(-8, -8, 5, 5), i4(1, 40, -1, 32)
    same(P.shift_left(x, y), [-16, 0, 0, 0])
    same(P.shift_right_arithmetic(x, y), [-4, -1, 0, 0])
    same(P.shift_right_logical(x, y), [2**31 - 4, 0, 0, 0])


def test_bit_counts() -> None:
    same(P.population_count(i4(0, -1, 5)), [0, 32, 2])
    same(P.clz(i4(0, -1, 1, 2**30)), [32, 0, 31, 1])
    same(P.clz(wrap(np.array([1], np.uint8))), [7])


# -- conversion ----------------------------------------------------------------------------------------------


def test_floats_saturate_as_integers() -> None:
    x = f4(np.nan, np.inf, -np.inf, 3e10, -1.9, 1.9)
    same(P.convert(x, dtype=I4), [0, 2**31 - 1, -(2**31), 2**31 - 1, -1, 1])
    same(P.convert(x, dtype=np.dtype("uint8")), [0, 255, 0, 255, 0, 1])
    same(P.convert(x, dtype=np.dtype("int64")), [0, 2**63 - 1, -(2**63), int(np.float32(3e10)), -1, 1])


def test_bits_in_wider_and_narrower_words() -> None:
    x = wrap(np.array([0x01020304, 0xFFEEDDCC], np.uint32))
    narrow = P.bitcast(x, np.dtype("uint8"))
    same(narrow, [[4, 3, 2, 1], [0xCC, 0xDD, 0xEE, 0xFF]])
    same(P.bitcast(narrow, np.dtype("uint32")), numpy(x))
    same(P.bitcast(f4(1.0), np.dtype("uint32")), [0x3F800000])
    floats = np.array([1.5, -2.0], np.float64)
    same(P.bitcast(P.bitcast(wrap(floats), np.dtype("float32")), np.dtype("float64")), floats)
    with pytest.raises(ShapeError, match="bitcast"):
        P.bitcast(narrow, np.dtype("uint16"))


# -- rounding ------------------------------------------------------------------------------------------------


def test_where_halves_go() -> None:
    x = f4(-2.5, -0.5, 0.5, 1.5, 2.5, 0.49999997)
    same(P.round(x, method="nearest_even"), [-2, -0.0, 0, 2, 2, 0])
    same(P.round(x, method="away"), [-3, -1, 1, 2, 3, 0])


def test_sign_keeps_zeros_and_nan() -> None:
    got = numpy(P.sign(f4(-2, -0.0, 0.0, 3, np.nan)))
    np.testing.assert_array_equal(got, [-1, -0.0, 0, 1, np.nan])
    assert np.signbit(got[1]) and not np.signbit(got[2])


# -- structure -----------------------------------------------------------------------------------------------


def test_pad_cuts_and_spreads() -> None:
    pad = lambda x, low, high, interior: P.pad(x, 9.0, low=(low,), high=(high,), interior=(interior,))
    x = f4(1, 2, 3)
    same(pad(x, 1, 2, 0), [9, 1, 2, 3, 9, 9])
    same(pad(x, -1, 1, 0), [2, 3, 9])
    same(pad(x, 0, 0, 2), [1, 9, 9, 2, 9, 9, 3])
    same(pad(x, -1, -1, 1), [9, 2, 9])
    same(pad(x, -5, 9, 0), [9] * 7)


def test_reductions_of_nothing() -> None:
    none = wrap(np.zeros((2, 0), np.float32))
    same(P.reduce_sum(none, axes=(1,)), [0, 0])
    same(P.reduce_prod(none, axes=(1,)), [1, 1])
    same(P.reduce_max(none, axes=(1,)), [-np.inf, -np.inf])
    same(P.reduce_min(wrap(np.zeros((0,), np.int8)), axes=(0,)), 127)


def test_argmax_finds_the_first_and_nan() -> None:
    same(P.argmax(f4(1, 3, 3), axis=0, dtype=I4), 1)
    same(P.argmin(f4(2, 1, 1), axis=0, dtype=I4), 1)
    same(P.argmax(f4(1, np.nan, 3, np.nan), axis=0, dtype=I4), 1)
    same(P.argmin(f4(1, np.nan, 0), axis=0, dtype=I4), 1)


# -- derivatives at special points ---------------------------------------------------------------------------


def test_ties_share() -> None:
    assert [g.tolist() for g in gradient(P.max, f4(1, 2, 3), f4(2, 2, 2))] == [[0, 0.5, 1], [1, 0.5, 0]]
    assert [g.tolist() for g in gradient(P.min, f4(1, 2, 3), f4(2, 2, 2))] == [[1, 0.5, 0], [0, 0.5, 1]]
    (g,) = gradient(lambda x: P.reduce_max(x, axes=(0,)), f4(1, 4, 4, 0))
    assert g.tolist() == [0, 0.5, 0.5, 0]


def test_slopes_at_zero() -> None:
    assert gradient(P.abs, f4(-2, 0, 3))[0].tolist() == [-1, 0, 1]
    assert gradient(P.sqrt, f4(0, 4))[0].tolist() == [np.inf, 0.25]
    assert gradient(P.sign, f4(-1, 2))[0] is None
    at_zero = gradient(P.pow, f4(0, 0, 0, 2), f4(0, 1, 2, 0))
    assert at_zero[0].tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(at_zero[1], [0, 0, 0, np.log(2)], 1e-6)


def test_clamp_is_flat_outside_and_at_its_bounds() -> None:
    assert gradient(lambda x: P.clamp(0.0, x, 1.0), f4(-1, 0, 0.5, 1, 2))[0].tolist() == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("x", [(2, 0, 3), (0, 0, 3), (0, 0, 0), (1, 2, 4)])
def test_product_with_zeros(x: tuple[float, ...]) -> None:
    want = [np.prod([v for j, v in enumerate(x) if j != i]) for i in range(len(x))]
    (g,) = gradient(lambda v: P.reduce_prod(v, axes=(0,)), f4(*x))
    assert g.tolist() == want
    (running,) = gradient(lambda v: P.cumprod(v, axis=0, reverse=False), f4(*x))
    total = [
        sum(np.prod([v for j, v in enumerate(x[: k + 1]) if j != i]) for k in range(i, 3)) for i in range(3)
    ]
    np.testing.assert_allclose(running, np.array(total))


def test_running_extremes_at_ties_and_minus_infinity() -> None:
    assert gradient(lambda v: P.cummax(v, axis=0, reverse=False), f4(1, 3, 2, 3))[0].tolist() == [
        1,
        2.5,
        0,
        0.5,
    ]
    nothing = gradient(lambda v: P.cumlogsumexp(v, axis=0, reverse=False), f4(-np.inf, -np.inf, 0.0))[0]
    assert nothing.tolist() == [0, 0, 1]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_abs_to_any_order(order: int) -> None:
    """d^n/dx^n |x| x^2 = sign(x) times that of x^3."""

    def f(x: Any) -> Any:
        return P.mul(P.abs(x), P.mul(x, x))

    for _ in range(order):
        f = (lambda g: lambda x: jvp_flat(lambda y: [g(y)], [x], [f4(1.0, 1.0)])[1][0])(f)
    want = {1: [-3 * 4, 3 * 9], 2: [12, 18], 3: [-6, 6]}[order]
    np.testing.assert_allclose(numpy(f(f4(-2.0, 3.0))), want, 1e-6)


def test_trigamma_against_its_values() -> None:
    """The derivative of digamma: pi^2 / 6 at 1, pi^2 / 2 at 1/2, by recurrence and reflection elsewhere."""
    x = wrap(np.array([1.0, 0.5, 2.0, -0.5]))
    want = [np.pi**2 / 6, np.pi**2 / 2, np.pi**2 / 6 - 1, np.pi**2 / 2 + 4]
    np.testing.assert_allclose(gradient(P.digamma, x)[0], want, 1e-13)


# -- types ---------------------------------------------------------------------------------------------------


def test_weak_types() -> None:
    x = wrap(np.ones(2, np.float16))
    assert aval_of(P.mul(x, 2.0)).dtype == np.float16 and not aval_of(P.mul(x, 2.0)).weak_type
    assert aval_of(P.mul(2, 2.0)).weak_type and aval_of(P.mul(2, 2.0)).dtype == np.float32
    assert not aval_of(P.convert(2.0, dtype=F4)).weak_type
    assert aval_of(P.lt(1.0, 2.0)).dtype == np.bool_ and not aval_of(P.lt(1.0, 2.0)).weak_type
    assert aval_of(P.add(x, as_array(1.0))).dtype == np.float16


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: P.add(f4(1, 2), f4(1, 2, 3)), ShapeError, r"add: .*f32\[2\], f32\[3\].*fnn.numpy broadcast"),
    (lambda: P.add(f4(1), i4(1)), DtypeError, r"add: .*f32\[1\], i32\[1\].*astype"),
    (lambda: P.add(i4(1), 1.5), DtypeError, r"add: .*i32\[1\], f32\[\]\*"),
    (
        lambda: P.add(wrap(np.array([True])), wrap(np.array([True]))),
        DtypeError,
        "add takes .*bool.*logical_and",
    ),
    (lambda: P.sin(i4(1)), DtypeError, r"sin takes floating-point, complex operands, not i32\[1\].*astype"),
    (lambda: P.and_(f4(1), f4(1)), DtypeError, "and takes"),
    (lambda: P.select(i4(1), f4(1), f4(1)), DtypeError, "select: the predicate"),
    (lambda: P.select(wrap(np.array([True, False])), f4(1), f4(1)), ShapeError, "select: .*where"),
    (lambda: P.integer_pow(i4(2), n=-1), DtypeError, "integer_pow: .*float"),
    (lambda: P.integer_pow(f4(2), n=1.5), ArgumentError, "integer_pow: .*use pow"),
    (lambda: P.round(f4(1), method="up"), ArgumentError, "round: method"),
    (lambda: P.reshape(f4(1, 2, 3), shape=(2, 2)), ShapeError, "reshape: .*3 elements.*4"),
    (lambda: P.transpose(f4(1), perm=(0, 1)), ShapeError, "transpose"),
    (lambda: P.transpose(f4(1), perm=(1,)), ShapeError, r"transpose: \(1,\) are not distinct axes"),
    (lambda: P.broadcast(f4(1, 2), shape=(3, 3), axes=(1,)), ShapeError, "broadcast: .*does not fit"),
    (lambda: P.slice(f4(1, 2), start=(1,), limit=(3,), step=(1,)), ShapeError, "slice: start .*indexing"),
    (lambda: P.pad(f4(1), i4(0), low=(0,), high=(0,), interior=(0,)), ShapeError, "pad: the value"),
    (lambda: P.pad(f4(1), 0.0, low=(-2,), high=(0,), interior=(0,)), ShapeError, "pad: .*cut more"),
    (lambda: P.concatenate(f4(1), i4(1), axis=0), DtypeError, "concatenate: .*promotes"),
    (lambda: P.concatenate(axis=0), ShapeError, "nothing to concatenate"),
    (
        lambda: P.concatenate(f4(1), wrap(np.ones((1, 2), np.float32)), axis=0),
        ShapeError,
        "concatenate: .*differ",
    ),
    (lambda: P.reduce_sum(f4(1), axes=(1,)), ShapeError, r"reduce_sum: \(1,\) are not distinct axes"),
    (lambda: P.reduce_max(wrap(np.array([True])), axes=(0,)), DtypeError, "reduce_max takes"),
    (
        lambda: P.argmax(wrap(np.zeros((0,), np.float32)), axis=0, dtype=I4),
        ShapeError,
        "argmax: .*no element",
    ),
    (lambda: P.cumsum(f4(1), axis=3, reverse=False), ShapeError, "cumsum"),
    (lambda: P.iota(dtype=np.dtype("bool"), shape=(2,), dimension=0), DtypeError, "iota"),
    (
        lambda: P.dot_general(f4(1, 2), f4(1, 2, 3), contract=((0,), (0,)), batch=((), ())),
        ShapeError,
        r"dot_general: the contracted axes \(0,\) of f32\[2\] and \(0,\) of f32\[3\]",
    ),
    (
        lambda: P.dot_general(f4(1), i4(1), contract=((0,), (0,)), batch=((), ())),
        DtypeError,
        "dot_general: .*matmul",
    ),
    (lambda: P.bitcast(wrap(np.array([True])), np.dtype("int8")), DtypeError, "bitcast: bool"),
]


@pytest.mark.parametrize("call, error, text", ERRORS, ids=[str(k) for k in range(len(ERRORS))])
def test_errors_say_what_where_and_how(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        call()
    assert "test_primitive_values.py" in str(caught.value)
