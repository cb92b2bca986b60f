"""What must hold of every primitive, on every sample: the checks that tests/test_primitives.py applies to the
registry.

A check returns None when it was made, or the reason why it says nothing about that case; it raises where
the case fails."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.array import Array, ConcreteArray, as_array, from_numpy
from fnn.core.ir import subgraphs
from fnn.core.primitive import Primitive, Sample, Unsupported, registry
from fnn.core.trace import aval_of
from fnn.errors import DifferentiationError
from fnn.transforms.autodiff import jvp_flat, vjp_flat
from fnn.transforms.batching import vmap_flat
from tests.tolerances import DIFFERENCES, assert_close, narrowest

F8, C16 = np.dtype("float64"), np.dtype("complex128")
SIZE = 3  # of batches


@dataclass(frozen=True)
class Case:
    """One primitive on one of its samples."""

    primitive: Primitive
    sample: Sample
    number: int

    def __str__(self) -> str:
        return f"{self.primitive.name}-{self.number}"

    def rng(self, salt: str = "") -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{self}{salt}".encode()))

    def values(self, salt: str = "") -> list[Any]:
        """The operands: NumPy arrays and Python numbers."""
        return self.sample.arrays(self.rng(salt))

    def call(self, *args: Any) -> list[Any]:
        """The primitive's results, a list whether it has one or several."""
        out = self.primitive(*args, **self.sample.params)
        return list(out) if self.primitive.multiple else [out]


def cases() -> list[Case]:
    """Every primitive of the registry with every sample of it."""
    return [Case(p, s, k) for _, p in sorted(registry.items()) for k, s in enumerate(p.samples)]


def wrap(x: Any) -> Any:
    """An operand as the user's arrays are; a Python number stays."""
    return from_numpy(x, x.dtype) if isinstance(x, (np.ndarray, np.generic)) else x


def numpy(x: Any) -> np.ndarray:
    assert isinstance(x, ConcreteArray), f"{x!r} is not a concrete array"
    return x.value


def is_float(x: Any) -> bool:
    """Real or complex."""
    return aval_of(x).is_inexact


def wide(dtype: np.dtype) -> np.dtype:
    """The floating dtype of 64 bits, real or complex."""
    return C16 if dtypes.is_complex(dtype) else F8


def in_float64(x: Any) -> Any:
    """A floating array with 64 bits; anything else as it is."""
    known = isinstance(x, (np.ndarray, np.generic))
    return x.astype(wide(x.dtype)) if known and dtypes.is_inexact(x.dtype) else x


# -- types ---------------------------------------------------------------------------------------------------


def check_type(case: Case) -> str | None:
    """`evaluate` gives the shape and dtype that the shape rule says; a weak type comes of weak operands
    alone."""
    primitive, values = case.primitive, case.values()
    avals = tuple([aval_of(wrap(v)) for v in values])
    out = primitive.out_aval(avals, case.sample.params)
    with np.errstate(all="ignore"):  # as Primitive.run does
        results = primitive.evaluate(*values, **case.sample.params)
    if not primitive.multiple:
        out, results = [out], [results]
    assert len(out) == len(results)
    for aval, result in zip(out, results, strict=True):
        value = result.value if isinstance(result, ConcreteArray) else np.asarray(result)
        assert value.shape == aval.shape, f"evaluate gives shape {value.shape}, the rule says {aval}"
        # Of Python numbers alone NumPy computes with 64 bits, and `run` rounds the result.
        assert (
            value.dtype == aval.dtype
            or aval.weak_type
            or all(type(v) in (int, float, bool, complex) for v in values)
        ), f"evaluate gives dtype {value.dtype}, the rule says {aval}"
        assert not (aval.weak_type and aval.dtype == np.bool_)
        if aval.weak_type and not case.sample.params.get("weak"):
            assert all(a.weak_type or a.dtype == np.bool_ for a in avals), (
                f"{aval} is weak, the operands are {avals}"
            )
    for aval, result in zip(out, case.call(*map(wrap, values)), strict=True):
        assert (
            aval_of(result) is aval
            and numpy(result).dtype == aval.dtype
            and numpy(result).shape == aval.shape
        )
    return None


# -- derivatives ---------------------------------------------------------------------------------------------


@dataclass
class Smooth:
    """A case as a function of those operands that have derivatives, in float64 where its parameters allow
    that."""

    case: Case
    args: list[Any]
    places: list[int]  # of those operands among args
    kept: list[int] = field(default_factory=list)  # results that are floats
    precision: np.dtype = F8

    @property
    def point(self) -> list[Any]:
        return [self.args[i] for i in self.places]

    def __call__(self, *xs: Any) -> list[Any]:
        args = list(self.args)
        for i, x in zip(self.places, xs, strict=True):
            args[i] = x
        outs = self.case.call(*args)
        return [outs[k] for k in self.kept]


def refuses_derivatives(primitive: Primitive) -> bool:
    """Whether asking for a derivative raises, with a reason."""
    return isinstance(primitive.vjp, Unsupported) or getattr(primitive.vjp, "__name__", "") == "refuse"


def is_typed(case: Case) -> bool:
    """Whether the parameters say in which dtypes the operands are: those of graphs do, and those of
    bitcast."""
    return case.primitive.name == "bitcast" or any(True for _ in subgraphs(case.sample.params))


def smooth(case: Case) -> Smooth | str:
    """The case for its derivatives; a reason if it has none to check."""
    values = [v if is_typed(case) else in_float64(v) for v in case.values()]
    args = [wrap(v) for v in values]
    places = [i for i, a in enumerate(args) if isinstance(a, Array) and is_float(a)]
    if not places:
        return "no operand is a floating array"
    if refuses_derivatives(case.primitive):
        return "derivatives are refused, with a reason"
    f = Smooth(case, args, places)
    outs = case.call(*args)
    f.kept = [k for k, o in enumerate(outs) if is_float(o)]
    if not f.kept:
        return "no result is floating"
    f.precision = narrowest([aval_of(x).dtype for x in (*f.point, *(outs[k] for k in f.kept))])
    return f


def refuses_here(f: Smooth) -> bool:
    """Whether a sample that says it has no derivative to compare refuses to give one."""
    if f.case.sample.differentiate:
        return False
    try:
        vjp_flat(f, f.point, [True] * len(f.point))
    except DifferentiationError as error:
        assert len(str(error)) > 20, "the error gives no reason"
        return True
    return False


def directions(rng: np.random.Generator, xs: Sequence[Any]) -> list[Any]:
    return [wrap(_direction(rng, aval_of(x).shape, aval_of(x).dtype)) for x in xs]


def _direction(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    out = rng.uniform(-1, 1, shape)
    return np.asarray(out + 1j * rng.uniform(-1, 1, shape) if dtypes.is_complex(dtype) else out).astype(dtype)


def differences(
    f: Callable[..., list[Any]], xs: Sequence[Any], ts: Sequence[Any], precision: np.dtype
) -> list[np.ndarray]:
    """The derivative of f at xs along ts (None: zero) by central differences."""
    step = DIFFERENCES[precision][0]

    def moved(sign: int) -> list[Any]:
        there = []
        for x, t in zip(xs, ts, strict=True):
            value = numpy(x)
            shift = 0 if t is None else sign * step * in_float64(numpy(t))
            there.append(wrap((in_float64(value) + shift).astype(value.dtype)))
        return [in_float64(numpy(o)) for o in f(*there)]

    return [(high - low) / (2 * step) for high, low in zip(moved(1), moved(-1), strict=True)]


def close_to_differences(got: Sequence[Any], want: Sequence[np.ndarray], f: Smooth, what: str) -> None:
    tolerance = DIFFERENCES[f.precision][1] * f.case.sample.tolerance
    for g, w in zip(got, want, strict=True):
        value = np.zeros_like(w) if g is None else in_float64(numpy(g))
        assert value.shape == w.shape, f"{what}: shape {value.shape}, the result's is {w.shape}"
        np.testing.assert_allclose(value, w, tolerance, tolerance, err_msg=what)


def subsets(places: Sequence[int]) -> list[tuple[bool, ...]]:
    """Which operands vary: all of them, and each alone."""
    n = len(places)
    alone = [tuple(i == k for i in range(n)) for k in range(n)] if n > 1 else []
    return [(True,) * n, *alone]


def product(xs: Sequence[Any], ys: Sequence[Any]) -> float:
    """The pairing of lists of arrays, the real part of the sum of products; None is zero."""
    pairs = [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
    with np.errstate(invalid="ignore"):  # infinities may cancel
        return float(sum(np.sum(in_float64(numpy(x)) * in_float64(numpy(y))).real for x, y in pairs))


def check_jvp(case: Case) -> str | None:
    """Forward mode against central differences; the tangent has the result's type."""
    f = smooth(case)
    if isinstance(f, str):
        return f
    if not case.sample.differentiate:
        return "the sample says that differences see nothing there"
    for vary in subsets(f.places):
        ts = [t if v else None for t, v in zip(directions(case.rng("t"), f.point), vary, strict=True)]
        outs, tangents = jvp_flat(f, f.point, ts)
        for o, t in zip(outs, tangents, strict=True):
            assert t is None or (aval_of(t).shape, aval_of(t).dtype) == (aval_of(o).shape, aval_of(o).dtype)
        close_to_differences(tangents, differences(f, f.point, ts, f.precision), f, f"jvp, varying {vary}")
    return None


def check_vjp(case: Case) -> str | None:
    """Reverse mode is the transpose of forward mode, <ct, J t> = <J' ct, t>; cotangents have the operands'
    types."""
    f = smooth(case)
    if isinstance(f, str):
        return f
    if refuses_here(f):
        return "derivatives are refused for these parameters, with a reason"
    for vary in subsets(f.places):
        outs, pull = vjp_flat(f, f.point, vary)
        cts, ts = directions(case.rng("ct"), outs), directions(case.rng("t"), f.point)
        back = pull(cts)
        for x, c, v in zip(f.point, back, vary, strict=True):
            assert v or c is None
            assert c is None or (aval_of(c).shape, aval_of(c).dtype) == (aval_of(x).shape, aval_of(x).dtype)
        same, tangents = jvp_flat(f, f.point, [t if v else None for t, v in zip(ts, vary, strict=True)])
        for a, b in zip(outs, same, strict=True):
            assert_close(numpy(a), numpy(b), what="the results of vjp and jvp")
        tolerance = 1e-9 if f.precision == F8 else DIFFERENCES[f.precision][1]
        np.testing.assert_allclose(
            product(back, ts), product(cts, tangents), tolerance, tolerance, err_msg=f"varying {vary}"
        )
    return None


def check_weak_operands(case: Case) -> str | None:
    """A weak scalar that takes part in derivatives gets a cotangent of its own type."""
    values = [wrap(v) for v in case.values()]
    weak = [i for i, v in enumerate(values) if type(v) is float]
    if not weak or refuses_derivatives(case.primitive):
        return "no operand is a Python float"
    args = [as_array(v) if i in weak else v for i, v in enumerate(values)]
    point = [args[i] for i in weak]

    def f(*xs: Any) -> list[Any]:
        full = list(args)
        for i, x in zip(weak, xs, strict=True):
            full[i] = x
        return [o for o in case.call(*full) if is_float(o)]

    outs, pull = vjp_flat(f, point, [True] * len(point))
    if not outs:
        return "no result is floating"
    back = pull([wrap(np.ones(aval_of(o).shape, aval_of(o).dtype)) for o in outs])
    one = [wrap(np.ones((), aval_of(x).dtype)) for x in point]
    _, tangents = jvp_flat(f, point, one)
    for x, c in zip(point, back, strict=True):
        assert c is None or (aval_of(c).shape, aval_of(c).dtype) == ((), aval_of(x).dtype)
    for o, t in zip(outs, tangents, strict=True):
        assert t is None or (aval_of(t).shape, aval_of(t).dtype) == (aval_of(o).shape, aval_of(o).dtype)
    return None


def check_second_order(case: Case) -> str | None:
    """Forward over reverse against central differences of reverse, and reverse over reverse as its
    transpose."""
    f = smooth(case)
    if isinstance(f, str):
        return f
    if not case.sample.differentiate:
        return "the sample says that differences see nothing there"
    needs = [True] * len(f.places)
    outs, pull = vjp_flat(f, f.point, needs)
    cts = directions(case.rng("ct"), outs)
    moving = [i for i, c in enumerate(pull(cts)) if c is not None]
    if not moving:
        return "the derivative is zero everywhere"

    def gradient(*xs: Any) -> list[Any]:
        back = vjp_flat(f, xs, needs)[1](cts)
        return [back[i] for i in moving]

    ts = directions(case.rng("t"), f.point)
    values, tangents = jvp_flat(gradient, f.point, ts)
    close_to_differences(tangents, differences(gradient, f.point, ts, f.precision), f, "jvp of vjp")
    _, pull_twice = vjp_flat(gradient, f.point, needs)
    us = directions(case.rng("u"), values)
    tolerance = 1e-8 if f.precision == F8 else DIFFERENCES[f.precision][1]
    np.testing.assert_allclose(
        product(pull_twice(us), ts), product(us, tangents), tolerance, tolerance, err_msg="vjp of vjp"
    )
    return None


def check_refusal(case: Case) -> str | None:
    """What has no derivative says so."""
    if not refuses_derivatives(case.primitive):
        return "it has derivatives"
    args = [wrap(v) for v in case.values()]
    places = [i for i, a in enumerate(args) if isinstance(a, Array) and is_float(a)]
    if not places:
        return "no operand is a floating array"
    needs = [i in places for i in range(len(args))]
    for ask in (
        lambda: vjp_flat(case.call, args, needs),
        lambda: jvp_flat(case.call, args, [a if n else None for a, n in zip(args, needs, strict=True)]),
    ):
        try:
            ask()
        except (DifferentiationError, NotImplementedError) as error:
            assert len(str(error)) > 20, "the error gives no reason"
        else:
            raise AssertionError("no error was raised")
    return None


# -- batching ------------------------------------------------------------------------------------------------


def batched_flags(count: int) -> list[tuple[bool, ...]]:
    """Every choice of batched operands; of more than four, each alone, each left out, and all."""
    every = [f for f in itertools.product((False, True), repeat=count) if any(f)]
    return every if count <= 4 else [f for f in every if sum(f) in (1, count - 1, count)]


def check_batch(case: Case) -> str | None:
    """vmap against a loop, for every choice of batched operands."""
    several = [[wrap(v) for v in case.values(str(k))] for k in range(SIZE)]
    arrays = [i for i, v in enumerate(several[0]) if isinstance(v, Array)]
    if not arrays:
        return "no operand is an array"
    for chosen in batched_flags(len(arrays)):
        flags = [False] * len(several[0])
        for i, flag in zip(arrays, chosen, strict=True):
            flags[i] = flag
        given = [
            wrap(np.stack([numpy(row[i]) for row in several])) if flag else several[0][i]
            for i, flag in enumerate(flags)
        ]
        outs, mapped = vmap_flat(case.call, SIZE, flags)(*given)
        for k in range(SIZE):
            want = case.call(*[several[k if flag else 0][i] for i, flag in enumerate(flags)])
            assert len(want) == len(outs)
            for o, m, w in zip(outs, mapped, want, strict=True):
                got = numpy(o)[k] if m else numpy(o)
                assert_close(got, numpy(w), case.sample.tolerance, what=f"batched {flags}, element {k}")
                assert aval_of(o).weak_type <= aval_of(w).weak_type
    return None


def check_empty_batch(case: Case) -> str | None:
    """A batch of nothing has the right type."""
    values = [wrap(v) for v in case.values()]
    flags = [isinstance(v, Array) for v in values]
    if not any(flags):
        return "no operand is an array"
    given = [wrap(np.stack([numpy(v)])[:0]) if f else v for v, f in zip(values, flags, strict=True)]
    outs, mapped = vmap_flat(case.call, 0, flags)(*given)
    for o, m, w in zip(outs, mapped, case.call(*values), strict=True):
        assert (aval_of(o).shape, aval_of(o).dtype) == ((0,) * m + aval_of(w).shape, aval_of(w).dtype)
    return None


# -- compiling -----------------------------------------------------------------------------------------------


def compiled(f: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    from fnn.transforms.jit import jit

    return jit(lambda *xs: list(f(*xs)))


def check_jit(case: Case) -> str | None:
    """The compiled primitive gives what NumPy gives."""
    values = [wrap(v) for v in case.values()]
    places = [i for i, v in enumerate(values) if isinstance(v, Array)]

    def f(*xs: Any) -> list[Any]:
        args = list(values)
        for i, x in zip(places, xs, strict=True):
            args[i] = x
        return case.call(*args)

    point = [values[i] for i in places]
    for got, want in zip(compiled(f)(*point), f(*point), strict=True):
        assert aval_of(got) is aval_of(want)
        assert_close(numpy(got), numpy(want), case.sample.tolerance, what="jit")
    return None


def check_jit_of_derivatives(case: Case) -> str | None:
    """Both derivatives compiled, with their operands' own dtypes, give what they give uncompiled."""
    f = smooth(case)
    if isinstance(f, str):
        return f
    if refuses_here(f):
        return "derivatives are refused for these parameters, with a reason"
    f.args = [wrap(v) for v in case.values()]
    outs = f(*f.point)
    cts, ts = directions(case.rng("ct"), outs), directions(case.rng("t"), f.point)
    n, m = len(f.point), len(ts)

    def both(*xs: Any) -> list[Any]:
        point, along, back = xs[:n], xs[n : n + m], xs[n + m :]
        tangents = jvp_flat(f, point, along)[1]
        return [x for x in (*tangents, *vjp_flat(f, point, [True] * n)[1](back)) if x is not None]

    given = [*f.point, *ts, *cts]
    want = both(*given)
    if not want:
        return "the derivative is zero everywhere"
    precision = narrowest([aval_of(x).dtype for x in (*f.point, *outs)])
    for got, expected in zip(compiled(both)(*given), want, strict=True):
        assert_close(
            numpy(got),
            numpy(expected),
            4 * case.sample.tolerance,
            narrowest([precision, aval_of(got).dtype]),
            "jit",
        )
    return None
