"""Complex numbers as pairs of real ones: what compiled programs compute with.

A rule `pairs(args, params)` of a primitive says what it does when complex operands are `Pair`s; others come as they
are. The pass `fnn.transforms.passes.pairs` applies it to every equation that meets a complex number. Families have
rules of their own (what is linear treats both parts alike); `arithmetic` is here, the functions of analysis are in
`fnn.primitives.complex_functions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.aval import Aval
from fnn.core.primitive import Primitive, registry
from fnn.core.trace import aval_of, shape_of

Rule = Callable[[Sequence[Any], dict[str, Any]], Any]


class Pair:
    """re + i im, real values of one shape or scalars. im None: a real number among complex ones, whose products
    have half as many terms. whole: both along a last axis of 2, if they lie so in memory."""

    __slots__ = ("re", "im", "whole")

    def __init__(self, re: Any, im: Any = None, whole: Any = None):
        self.re, self.im, self.whole = re, im, whole

    @property
    def imag(self) -> Any:
        """im, made real if it is None."""
        return zeros_like(self.re) if self.im is None else self.im


def _named(name: str) -> Callable[..., Any]:
    return lambda *xs, **params: getattr(P, name)(*xs, **params)


add, sub, mul, div, neg, abs, sqrt = map(_named, ("add", "sub", "mul", "div", "neg", "abs", "sqrt"))
eq, ne, ge, select = map(_named, ("eq", "ne", "ge", "select"))
and_, or_ = map(_named, ("and_", "or_"))
larger, smaller, reshape, slice_of = map(_named, ("max", "min", "reshape", "slice"))
broadcast, concatenate = map(_named, ("broadcast", "concatenate"))


def as_pair(x: Any) -> Pair:
    """A pair of any operand: numbers that are not complex have no imaginary part."""
    if isinstance(x, Pair):
        return x
    return Pair(x.real, x.imag) if type(x) is complex else Pair(x)


def zeros_like(x: Any) -> Any:
    aval = aval_of(x)
    zero = np.zeros((), aval.dtype)
    return broadcast(zero, shape=aval.shape, axes=()) if aval.shape else zero


def elementwise_rule(f: Callable[..., Any]) -> Rule:
    """The rule of an elementwise primitive: f(*pairs, **params)."""
    return lambda args, params: f(*map(as_pair, args), **params)


def of_pairs(name: str) -> Callable[..., Any]:
    """A function of fnn.primitives.complex_functions, which is imported when a program needs it."""

    def function(*xs: Pair) -> Any:
        from fnn.primitives import complex_functions  # it is written with the primitives that name it

        return getattr(complex_functions, name)(*xs)

    return function


def linear_rule(name: str, positions: tuple[int, ...] | None = (0,)) -> Rule:
    """The rule of what treats both parts alike; the operands at `positions` (None: all) are the complex ones."""

    def rule(args: Sequence[Any], params: dict[str, Any]) -> Pair:
        prim = registry[name]
        members = range(len(args)) if positions is None else positions
        pairs = {i: as_pair(args[i]) for i in members}
        re = prim(*[pairs[i].re if i in pairs else x for i, x in enumerate(args)], **params)
        if all(p.im is None for p in pairs.values()):
            return Pair(re)
        return Pair(re, prim(*[pairs[i].imag if i in pairs else x for i, x in enumerate(args)], **params))

    return rule


def interleaved(x: Pair) -> Any:
    """Both parts along a last axis of 2."""
    if x.whole is None:
        shape = shape_of(x.re)
        parts = [reshape(p, shape=(*shape, 1)) for p in (x.re, x.imag)]
        x.whole = concatenate(*parts, axis=len(shape))
    return x.whole


def separated(whole: Any) -> Pair:
    """The pair whose parts lie along a last axis of 2."""
    *shape, _ = shape_of(whole)
    rank = len(shape)

    def part(k: int) -> Any:
        one = slice_of(whole, start=(0,) * rank + (k,), limit=(*shape, k + 1), step=(1,) * (rank + 1))
        return reshape(one, shape=tuple(shape))

    return Pair(part(0), part(1), whole)


def settled(x: Any, aval: Aval) -> Any:
    """A result as its type says: a number becomes an array, a scalar is spread, another precision is converted."""
    if isinstance(x, Pair):
        part = aval.update(dtype=dtypes.real_of(aval.dtype))
        im = None if x.im is None else settled(x.im, part)
        return Pair(settled(x.re, part), im, x.whole if x.im is not None else None)
    have = aval_of(x)
    if have.dtype != aval.dtype or (have.weak_type and not aval.weak_type):
        x = P.convert(x, dtype=aval.dtype, weak=aval.weak_type)
    return x if have.shape == aval.shape else broadcast(x, shape=aval.shape, axes=())


# -- arithmetic ----------------------------------------------------------------------------------------------


def plus(x: Pair, y: Pair) -> Pair:
    im = y.im if x.im is None else x.im if y.im is None else add(x.im, y.im)
    return Pair(add(x.re, y.re), im)


def negative(x: Pair) -> Pair:
    return Pair(neg(x.re), None if x.im is None else neg(x.im))


def minus(x: Pair, y: Pair) -> Pair:
    im = x.im if y.im is None else neg(y.im) if x.im is None else sub(x.im, y.im)
    return Pair(sub(x.re, y.re), im)


def times(x: Pair, y: Pair) -> Pair:
    if x.im is None:
        return Pair(mul(x.re, y.re), None if y.im is None else mul(x.re, y.im))
    if y.im is None:
        return Pair(mul(x.re, y.re), mul(x.im, y.re))
    return Pair(sub(mul(x.re, y.re), mul(x.im, y.im)), add(mul(x.re, y.im), mul(x.im, y.re)))


def squared(x: Pair) -> Pair:
    if x.im is None:
        return times(x, x)
    both = mul(x.re, x.im)
    return Pair(sub(mul(x.re, x.re), mul(x.im, x.im)), add(both, both))


def over(x: Pair, y: Pair) -> Pair:
    """The quotient without overflow on the way: the divisor's larger part is taken out (R. L. Smith, "Algorithm 116:
    complex division", 1962), as NumPy does."""
    if y.im is None:
        return Pair(div(x.re, y.re), None if x.im is None else div(x.im, y.re))
    first = ge(abs(y.re), abs(y.im))
    high, low = select(first, y.re, y.im), select(first, y.im, y.re)
    nothing = eq(high, 0.0)
    ratio = div(low, select(nothing, 1.0, high))
    scale = div(1.0, add(high, mul(low, ratio)))
    if x.im is None:
        part = mul(x.re, ratio)
        re, im = select(first, x.re, part), neg(select(first, part, x.re))
    else:
        re = add(mul(x.re, select(first, 1.0, ratio)), mul(x.im, select(first, ratio, 1.0)))
        im = sub(mul(x.im, select(first, 1.0, ratio)), mul(x.re, select(first, ratio, 1.0)))
    return Pair(mul(re, scale), mul(im, scale))


def modulus(x: Pair) -> Any:
    """|x| without overflow on the way."""
    a = abs(x.re)
    if x.im is None:
        return a
    b = abs(x.im)
    high, low = larger(a, b), smaller(a, b)
    ratio = div(low, select(eq(high, 0.0), 1.0, high))
    size = mul(high, sqrt(add(mul(ratio, ratio), 1.0)))
    return select(or_(eq(a, np.inf), eq(b, np.inf)), np.inf, size)  # beside NaN, too


def equal(x: Pair, y: Pair) -> Any:
    if x.im is None and y.im is None:
        return eq(x.re, y.re)
    im = (
        eq(x.imag, y.imag)
        if x.im is not None and y.im is not None
        else eq(x.im if y.im is None else y.im, 0.0)
    )
    return and_(eq(x.re, y.re), im)


def unequal(x: Pair, y: Pair) -> Any:
    return P.not_(equal(x, y))


def chosen(predicate: Pair, x: Pair, y: Pair) -> Pair:
    im = None
    if x.im is not None or y.im is not None:
        im = select(predicate.re, 0.0 if x.im is None else x.im, 0.0 if y.im is None else y.im)
    return Pair(select(predicate.re, x.re, y.re), im)


def conjugated(x: Pair) -> Pair:
    return Pair(x.re, None if x.im is None else neg(x.im))


def power(x: Pair, n: int) -> Pair:
    """To an integer, by squaring."""
    if n == 0:
        return Pair(add(zeros_like(x.re), 1.0))
    result, left, square = None, n if n > 0 else -n, x
    while True:
        if left & 1:
            result = square if result is None else times(result, square)
        left >>= 1
        if not left:
            break
        square = squared(square)
    assert result is not None
    return over(Pair(1.0), result) if n < 0 else result


def product(x: Pair, axes: Sequence[int]) -> Pair:
    """The product along axes: the halves of what is left are multiplied until one is left."""
    shape = shape_of(x.re)
    kept = [d for d in range(len(shape)) if d not in axes]
    count = 1
    for d in axes:
        count *= shape[d]
    lead = tuple([shape[d] for d in kept])

    def flat(part: Any) -> Any:
        turned = P.transpose(part, perm=(*axes, *kept))
        return reshape(turned, shape=(count, *lead))

    if count == 0:
        return Pair(broadcast(np.ones((), aval_of(x.re).dtype), shape=lead, axes=()))
    x = Pair(flat(x.re), flat(x.imag))

    def cut(start: int, limit: int) -> Pair:
        ends = {"start": (start, *[0] * len(lead)), "limit": (limit, *lead), "step": (1,) * (len(lead) + 1)}
        return Pair(slice_of(x.re, **ends), slice_of(x.im, **ends))

    while count > 1:
        half = count // 2
        pairs = times(cut(0, half), cut(half, 2 * half))
        if count % 2:
            rest = cut(2 * half, count)
            pairs = Pair(concatenate(pairs.re, rest.re, axis=0), concatenate(pairs.im, rest.im, axis=0))
        x, count = pairs, half + count % 2
    return Pair(reshape(x.re, shape=lead), reshape(x.im, shape=lead))


def running_product(x: Pair, axis: int, reverse: bool) -> Pair:
    """Products of the first elements along an axis (with reverse: the last), by doubling."""
    n, distance, rank = shape_of(x.re)[axis], 1, len(shape_of(x.re))

    def cut(part: Any, start: int, limit: int) -> Any:
        low, high = [0] * rank, list(shape_of(part))
        low[axis], high[axis] = start, limit
        return slice_of(part, start=tuple(low), limit=tuple(high), step=(1,) * rank)

    x = Pair(x.re, x.imag)
    while distance < n:
        here, there = ((0, n - distance), (distance, n)) if reverse else ((distance, n), (0, n - distance))
        rest = (n - distance, n) if reverse else (0, distance)
        moved = times(*[Pair(cut(x.re, *at), cut(x.im, *at)) for at in (here, there)])
        order = (lambda old, new: (new, old)) if reverse else (lambda old, new: (old, new))
        x = Pair(
            concatenate(*order(cut(x.re, *rest), moved.re), axis=axis),
            concatenate(*order(cut(x.im, *rest), moved.im), axis=axis),
        )
        distance *= 2
    return x


def bilinear_rule(name: str) -> Rule:
    """The rule of a product of two operands: four real ones, or two where one operand is real."""

    def rule(args: Sequence[Any], params: dict[str, Any]) -> Pair:
        x, y = map(as_pair, args)
        prim: Primitive = registry[name]
        if params.get("out_dtype") is not None:
            params = {**params, "out_dtype": dtypes.real_of(np.dtype(params["out_dtype"]))}

        def of(a: Any, b: Any) -> Any:
            return prim(a, b, **params)

        if x.im is None:
            return Pair(of(x.re, y.re), None if y.im is None else of(x.re, y.im))
        if y.im is None:
            return Pair(of(x.re, y.re), of(x.im, y.re))
        return Pair(sub(of(x.re, y.re), of(x.im, y.im)), add(of(x.re, y.im), of(x.im, y.re)))

    return rule
