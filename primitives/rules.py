"""Factories: families of primitives get their rules from one short table.

`elementwise` needs one partial derivative per operand, `linear` a transposition, `bilinear` one for each
side; the rules for forward mode, reverse mode and batching follow. The factories themselves need a handful of
primitives that they make (a sum, a broadcast); those are reached through the package, so that every
primitive stands in its own family, and a family is loaded when it is used.

>>> from fnn.primitives.arithmetic import mul
>>> out, pull = mul.vjp((True, False), (3.0, 4.0), {})
>>> float(out.value), [c if c is None else float(c.value) for c in pull(1.0)]
(12.0, [4.0, None])
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.array import ConcreteArray
from fnn.core.aval import Aval
from fnn.core.lowering import Elementwise, Lowering
from fnn.core.primitive import Primitive, Samples, Unsupported, not_differentiable, registry
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import DtypeError, ShapeError
from fnn.primitives.pairs import bilinear_rule, elementwise_rule, linear_rule

Partial = Callable[..., Any] | int | None
KINDS = {
    "b": "bool",
    "i": "signed integer",
    "u": "unsigned integer",
    "f": "floating-point",
    "c": "complex",
    "k": "key",
}
HALVES = (dtypes.bfloat16, dtypes.float16)


# -- values --------------------------------------------------------------------------------------------------


def zeros(aval: Aval) -> Any:
    """Zeros of a type, as a broadcast scalar: no memory, and no constant array in a graph."""
    zero = _zero(aval.dtype)
    return P.broadcast(zero, shape=aval.shape, axes=()) if aval.shape else zero


def _zero(dtype: np.dtype) -> ConcreteArray:
    found = _ZEROS.get(dtype)
    if found is None:
        found = _ZEROS[dtype] = ConcreteArray(np.zeros((), dtype), Aval((), dtype))
    return found


_ZEROS: dict[np.dtype, ConcreteArray] = {}


def rest(rank: int, *used: Sequence[int]) -> tuple[int, ...]:
    """The axes below rank that are in none of `used`."""
    gone = {d for axes in used for d in axes}
    return tuple([d for d in range(rank) if d not in gone])


def shifted(axes: Sequence[int]) -> tuple[int, ...]:
    """Axes as they are numbered below a batch axis in front."""
    return tuple([a + 1 for a in axes])


def lift(size: int, x: Any, flag: bool) -> Any:
    """x with the batch on axis 0, repeated along it if x is not batched."""
    if flag:
        return x
    shape = shape_of(x)
    return P.broadcast(x, shape=(size, *shape), axes=tuple(range(1, len(shape) + 1)))


def moveaxis(x: Any, source: int, target: int) -> Any:
    """x with one axis moved; x itself if there is nothing to do."""
    if source == target:
        return x
    perm = [d for d in range(len(shape_of(x))) if d != source]
    perm.insert(target, source)
    return P.transpose(x, perm=tuple(perm))


def spread(size: int, flags: Sequence[bool], args: Sequence[Any]) -> list[Any]:
    """Batched operands of an elementwise operation, brought to one shape; unbatched scalars may stay
    scalars."""
    shapes = [shape_of(a) for a in args]
    ranks = [len(s) - f for s, f in zip(shapes, flags)]
    rank = max(ranks)
    full = next((size, *s[f:]) for s, f, r in zip(shapes, flags, ranks) if r == rank)
    out = []
    for a, f, r in zip(args, flags, ranks):
        if f and r < rank:
            a = P.broadcast(a, shape=full, axes=(0,))
        elif not f and r:
            a = P.broadcast(a, shape=full, axes=tuple(range(1, rank + 1)))
        out.append(a)
    return out


def of_dtype(x: Any, dtype: np.dtype) -> Any:
    """x converted, if it has another dtype."""
    have = (x.aval if type(x) is ConcreteArray else aval_of(x)).dtype
    return x if have is dtype or have == dtype else P.convert(x, dtype=dtype)


def _tangent_of(t: Any, out: np.dtype) -> Any:
    """A tangent in the dtype operands meet in. That is the result's, unless the result is the real modulus of
    complex operands."""
    dtype = aval_of(t).dtype
    return t if dtypes.is_complex(dtype) and not dtypes.is_complex(out) else of_dtype(t, out)


def together(args: Sequence[Any]) -> list[Any]:
    """The operands of an elementwise evaluation in one dtype: scalars that differ are weak, and yield."""
    have = {a.dtype for a in args if isinstance(a, (np.ndarray, np.generic))}
    if len(have) < 2:
        return list(args)
    ranked = [a.dtype for a in args if np.ndim(a)]
    if not ranked:
        return list(args)  # all scalars: NumPy computes in the wider one, and the result is converted
    return [a.astype(ranked[0]) if isinstance(a, (np.ndarray, np.generic)) else a for a in args]


def _directly(evaluate: Callable[..., Any], careful: Callable[..., Any]) -> Callable[..., Any]:
    """evaluate_for of an elementwise operation: NumPy's function itself where operands need no care."""

    def choose(types: Sequence[Aval | type], params: dict[str, Any]) -> Callable[..., Any]:
        have = {t.dtype for t in types if isinstance(t, Aval)}
        chosen = careful if len(have) > 1 or any(d in HALVES for d in have) else evaluate
        return functools.partial(chosen, **params) if params else chosen

    return choose


def _in_float32(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """An evaluation whose 16-bit floats are computed with 32 bits."""

    def run(*args: Any, **params: Any) -> Any:
        if len(args) > 1:
            args = tuple(together(args))
        half = next((a.dtype for a in args if getattr(a, "dtype", None) in HALVES), None)
        if half is None:
            return evaluate(*args, **params)
        wide = [a.astype(np.float32) if getattr(a, "dtype", None) == half else a for a in args]
        out = np.asarray(evaluate(*wide, **params))
        return out.astype(half) if out.dtype.kind == "f" else out

    return run


# -- types ---------------------------------------------------------------------------------------------------


def check_kinds(name: str, avals: Sequence[Aval], kinds: str) -> None:
    """Raises DtypeError where an operand's dtype is not of the kinds (letters of fnn.dtypes.kind) an
    operation takes."""
    for a in avals:
        kind = dtypes.kind(a.dtype)
        if kind not in kinds:
            hint = {
                "b": "use fnn.numpy.logical_and, logical_or, logical_xor, logical_not, where, or convert it",
                "k": "fnn.random.key_data gives a key's bits",
                "c": "complex numbers have none; take x.real, x.imag or abs(x)",
            }.get(kind, "convert it first, x.astype(dtype)")
            raise DtypeError(
                f"{name} takes {', '.join(KINDS[k] for k in kinds)} operands, not {a}, at "
                f"{describe(here())}; {hint}"
            )


def meet(name: str, avals: Sequence[Aval]) -> Aval:
    """The type in which operands of equal shapes (or scalars) and equal dtypes (or weak scalars) meet."""
    first = avals[0]
    if all(a is first for a in avals):
        return first
    shapes = list(dict.fromkeys([a.shape for a in avals if a.shape]))
    if len(shapes) > 1:
        raise ShapeError(
            f"{name}: the operands {_listed(avals)} have different shapes, at {describe(here())}; "
            "primitives take equal shapes or scalars, the functions of fnn.numpy broadcast"
        )
    strong = list(dict.fromkeys([a.dtype for a in avals if not a.weak_type]))
    dtype, weak = dtypes.result(avals)
    if len(strong) > 1 or (strong and dtype != strong[0]):
        raise DtypeError(
            f"{name}: the operands {_listed(avals)} have different dtypes, at {describe(here())}; "
            "convert one with x.astype(dtype), the functions of fnn.numpy promote"
        )
    for a in avals:
        if a.weak_type and a.shape and a.dtype != dtype:
            raise DtypeError(
                f"{name}: the weakly typed array {a} meets {dtype}, at {describe(here())}; convert it with "
                "x.astype(dtype): only weak scalars yield in primitives"
            )
    return Aval(shapes[0] if shapes else (), dtype, weak and not strong)


def _listed(avals: Sequence[Aval]) -> str:
    return ", ".join(map(str, avals))


def check_axes(name: str, x: Aval, axes: Sequence[int]) -> None:
    """Raises ShapeError unless axes are distinct axes of x, counted from 0."""
    if len(set(axes)) != len(axes) or any(not 0 <= a < x.ndim for a in axes):
        raise ShapeError(
            f"{name}: {tuple(axes)} are not distinct axes of {x}, which has axes 0 to {x.ndim - 1}, at "
            f"{describe(here())}"
            if x.ndim
            else f"{name}: {x} has no axes, so it has none of {tuple(axes)}, at {describe(here())}"
        )


def element_code(dtype: np.dtype) -> str:
    """The code by which loop programs know the values of a dtype: "f4" also for 16-bit floats, which
    compute in it."""
    if dtypes.is_float(dtype):
        return "f8" if dtype.itemsize == 8 else "f4"
    return "b1" if dtype.kind == "b" else "u8" if dtypes.is_key(dtype) else f"{dtype.kind}{dtype.itemsize}"


# -- families ------------------------------------------------------------------------------------------------


def elementwise(
    name: str,
    evaluate: Callable[..., Any],
    expr: Callable[..., Any] | Lowering,
    *partials: Partial,
    kinds: str = "f",
    dtype: np.dtype | None = None,
    shape: Callable[..., Aval] | None = None,
    samples: Samples = (),
    refuse: str | None = None,
    raw: bool = False,
    pairs: Callable[..., Any] | None = None,
) -> Primitive:
    """An elementwise primitive.

    evaluate(*arrays, **params) in NumPy (16-bit floats arrive as float32, unless raw); expr(b, *operands,
    **params) is the loop expression, or another lowering. partials[i](t, out, *args, **params) = t * d out /
    d args[i]; 1 and -1 stand for t and -t, None (or no entry) for zero. A parameter of a partial whose name
    begins with an underscore is not used: it is not kept for the backward pass, and is None there.

    The derivative of an elementwise operation is diagonal, so one table serves forward mode (t is a tangent)
    and reverse mode (t is a cotangent). kinds: the dtypes it takes, letters of `fnn.dtypes.kind`; dtype: that
    of the result, where it is not the operands'. pairs(*pairs, **params): the same of complex operands as pairs of
    real ones. refuse: why the operation has no derivative, for those that
    raise instead of giving zero.
    """
    uses = [_used(p) if callable(p) else frozenset() for p in partials]

    def out_shape(*avals: Aval, **params: Any) -> Aval:
        check_kinds(name, avals, kinds)
        out = meet(name, avals)
        return out if dtype is None else Aval(out.shape, dtype)

    def term_of(partial: Any, t: Any, out: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        if partial == 1:
            return t
        return P.neg(t) if partial == -1 else partial(t, out, *args, **params)

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
        out = prim(*primals, **params)
        aval, total = aval_of(out), None
        for t, partial in zip(tangents, partials):
            if t is not None and partial is not None:
                term = term_of(partial, _tangent_of(t, aval.dtype), out, primals, params)
                if shape_of(term) != aval.shape:
                    term = P.broadcast(term, shape=aval.shape, axes=())
                total = term if total is None else P.add(total, term)
        return out, total

    @functools.lru_cache(None)
    def backward(needs: tuple[bool, ...]) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
        """The operands with a cotangent, those that it does not take to compute them, and whether the result."""
        wanted = tuple([i for i, p in enumerate(partials) if needs[i] and p is not None])
        used = frozenset().union(*[uses[i] for i in wanted])
        return wanted, tuple([k for k in range(len(needs)) if k + 1 not in used]), 0 in used

    def vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
        out = prim(*args, **params)
        wanted, unused, using_out = backward(tuple(needs))
        if not wanted:
            return out, None
        kept = [*args]
        for k in unused:
            kept[k] = None
        result, rank, count = out if using_out else None, len(out.aval.shape), len(args)

        def cotangent(ct: Any, partial: Any, aval: Aval) -> Any:
            if partial == 1:
                term = ct
            elif partial == -1:
                term = P.neg(ct)
            else:
                term = partial(ct, result, *kept, **params)
            if len(aval.shape) < rank:
                term = P.reduce_sum(term, axes=tuple(range(rank)))
            return of_dtype(term, aval.dtype)

        if len(wanted) == 1:
            (i,) = wanted
            only, aval = partials[i], aval_of(args[i])

            def pull(ct: Any) -> list[Any]:
                cts = [None] * count
                cts[i] = cotangent(ct, only, aval)
                return cts
        else:
            avals = [aval_of(args[i]) for i in wanted]

            def pull(ct: Any) -> list[Any]:
                cts = [None] * count
                for i, aval in zip(wanted, avals):
                    cts[i] = cotangent(ct, partials[i], aval)
                return cts

        return out, pull

    if refuse is not None:
        jvp, vjp = not_differentiable(refuse)
    careful = evaluate if raw else _in_float32(evaluate)
    prim = Primitive(
        name,
        shape=shape or out_shape,
        evaluate=careful,
        evaluate_for=_directly(evaluate, careful),
        jvp=jvp,
        vjp=vjp,
        batch=lambda frame, flags, args, params: (
            prim(*spread(frame.size, flags, _strong(args)), **params),
            True,
        ),
        lower=expr if isinstance(expr, Lowering) else Elementwise(expr),
        samples=samples,
        pairs=None if pairs is None else elementwise_rule(pairs),
    )
    return prim


def _used(partial: Callable[..., Any]) -> frozenset[int]:
    """Which of (out, *args) a partial uses: 0 for out, 1 for the first operand."""
    names = [
        p.name for p in inspect.signature(partial).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    return frozenset([k for k, n in enumerate(names[1:]) if not n.startswith("_")])


def _strong(args: Sequence[Any]) -> Sequence[Any]:
    """Operands for batching: a weak scalar of another dtype may become an array, which must have the
    common dtype."""
    if len(args) < 2:
        return args
    avals = [aval_of(a) for a in args]
    strong = [a.dtype for a in avals if not a.weak_type and a.dtype.kind != "b"]
    if not strong:
        return args
    return [of_dtype(x, strong[0]) if a.weak_type and a.shape else x for x, a in zip(args, avals)]


def linear(
    name: str,
    *,
    shape: Callable[..., Aval],
    evaluate: Callable[..., Any],
    transpose: Callable[..., Any],
    batch: Callable[..., Any],
    lower: Lowering | Unsupported,
    positions: tuple[int, ...] | None = (0,),
    samples: Samples = (),
    evaluate_for: Callable[..., Any] | None = None,
) -> Primitive:
    """A primitive that is linear in the arguments at `positions` taken together (None: in all of them).

    transpose(ct, index, avals, args, params) -> the cotangent of argument `index`; args holds None at
    `positions`.
    """

    def among(n: int) -> Sequence[int]:
        return range(n) if positions is None else positions

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
        out = prim(*primals, **params)
        active = among(len(primals))
        if all(tangents[i] is None for i in active):
            return out, None
        operands, dtype = list(primals), aval_of(out).dtype
        for i in active:
            aval = aval_of(primals[i])
            aval = (
                aval.update(dtype=dtype) if aval.weak_type else aval
            )  # a weak scalar yields, its tangent is none
            operands[i] = zeros(aval) if tangents[i] is None else of_dtype(tangents[i], aval.dtype)
        return out, prim(*operands, **params)

    def vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
        out = prim(*args, **params)
        members = among(len(args))
        active = [i for i in members if needs[i]]
        if not active:
            return out, None
        avals = [aval_of(a) for a in args]
        others = [None if i in members else a for i, a in enumerate(args)]  # only these are kept alive

        def pull(ct: Any) -> list[Any]:
            cts: list[Any] = [None] * len(avals)
            for i in active:
                cts[i] = transpose(ct, i, avals, others, params)
            return cts

        return out, pull

    prim = Primitive(
        name, shape=shape, evaluate=evaluate, jvp=jvp, vjp=vjp, batch=batch, lower=lower, samples=samples,
        evaluate_for=evaluate_for, pairs=linear_rule(name, positions),
    )  # fmt: skip
    return prim


def bilinear(
    name: str,
    *,
    shape: Callable[..., Aval],
    evaluate: Callable[..., Any],
    transposes: tuple[Callable[..., Any], Callable[..., Any]],
    batch: Callable[..., Any],
    lower: Lowering | Unsupported,
    samples: Samples = (),
    evaluate_for: Callable[..., Any] | None = None,
    pairs: Callable[..., Any] | None = None,
) -> Primitive:
    """A primitive of two arguments, linear in each. transposes[i](ct, other, avals, params) -> the
    cotangent of argument i, `other` being the other argument."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
        (x, y), (tx, ty) = primals, tangents
        out = prim(x, y, **params)
        left = None if tx is None else prim(tx, y, **params)
        right = None if ty is None else prim(x, ty, **params)
        if left is None or right is None:
            return out, right if left is None else left
        return out, P.add(left, right)

    def vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
        out = prim(*args, **params)
        if not any(needs):
            return out, None
        avals = [aval_of(a) for a in args]
        others = [args[1] if needs[0] else None, args[0] if needs[1] else None]
        wanted = tuple(needs)

        def pull(ct: Any) -> list[Any]:
            return [transposes[i](ct, others[i], avals, params) if wanted[i] else None for i in (0, 1)]

        return out, pull

    prim = Primitive(
        name, shape=shape, evaluate=evaluate, jvp=jvp, vjp=vjp, batch=batch, lower=lower, samples=samples,
        evaluate_for=evaluate_for, pairs=pairs or bilinear_rule(name),
    )  # fmt: skip
    return prim


def same_batch(prim_name: str, **adjust: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """The batch rule of a one-operand primitive that only needs its parameters renumbered.

    adjust[name](value, size) -> the parameter for the batched operand."""

    def batch(
        frame: Any, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
    ) -> tuple[Any, bool]:
        moved = {k: adjust[k](v, frame.size) if k in adjust else v for k, v in params.items()}
        return registry[prim_name](*args, **moved), True

    return batch
