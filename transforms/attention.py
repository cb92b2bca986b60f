"""attention: softmax(query key^T) value without the matrix of scores, and its gradient, also blocked.

What is asked for rarely, forward mode and derivatives of the gradient, is that of the same formulas written with
ordinary primitives, which keep all scores. See `fnn.primitives.attention_kernels` for the sources.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn.core.aval import Aval
from fnn.core.lowering import Kernel
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import DtypeError, ShapeError
from fnn.primitives import attention_kernels as kernels
from fnn.primitives.attention_kernels import MASKED, Pattern
from fnn.primitives.rules import check_kinds, lift, of_dtype
from fnn.transforms.autodiff import jvp_flat, vjp_flat

ROWS = 256  # queries whose scores are in memory at once when it is evaluated without a kernel


def wide(dtype: np.dtype) -> np.dtype:
    """In what attention of a dtype is computed."""
    return np.dtype("f8") if dtype == np.dtype("f8") else np.dtype("f4")


# -- types ---------------------------------------------------------------------------------------------------


def _check(name: str, q: Aval, k: Aval, v: Aval, extra: Sequence[Aval], pattern: Pattern) -> None:
    def no(why: str) -> ShapeError:
        return ShapeError(f"{name}: query {q}, key {k} and value {v} {why}, at {describe(here())}")

    check_kinds(name, (q, k, v), "f")
    if not q.dtype == k.dtype == v.dtype:
        raise DtypeError(f"{name}: query {q}, key {k} and value {v} differ in dtype, at {describe(here())}")
    if not q.ndim == k.ndim == v.ndim == 4:
        raise no("are not (batch, length, heads, features)")
    batch, queries, heads, features = q.shape
    _, keys, groups, _ = k.shape
    if k.shape[0] != batch or k.shape[:3] != v.shape[:3] or k.shape[3] != features:
        raise no("do not fit")
    if heads % groups if groups else heads:
        raise no(f"have {heads} heads for {groups}: not a multiple")
    if not keys and queries:
        raise no("have no keys to attend to")
    whole = (batch, heads, queries, keys)
    have = [n for n, has in (("bias", pattern.bias), ("mask", pattern.mask)) if has]
    for what, x in zip(have, extra):
        check_kinds(f"{name} ({what})", (x,), "f" if what == "bias" else "b")
        if x.ndim != 4 or any(n not in (1, m) for n, m in zip(x.shape, whole)):
            raise ShapeError(f"{name}: the {what} {x} does not broadcast to {whole}, at {describe(here())}")
    if pattern.lengths:
        lengths = extra[len(have)]
        check_kinds(f"{name} (lengths)", (lengths,), "iu")
        if lengths.shape != (batch,):
            raise ShapeError(f"{name}: the lengths {lengths} are not [{batch}], at {describe(here())}")


def _count(pattern: Pattern) -> int:
    """Of the operands after query, key and value that `pattern` names."""
    return pattern.bias + pattern.mask + pattern.lengths


def _shape(q: Aval, k: Aval, v: Aval, *extra: Aval, pattern: Pattern) -> list[Aval]:
    _check("attention", q, k, v, extra, pattern)
    batch, queries, heads, _ = q.shape
    return [Aval((batch, queries, heads, v.shape[3]), q.dtype), Aval((batch, heads, queries), wide(q.dtype))]


def _gradient_shape(q: Aval, k: Aval, v: Aval, *rest: Aval, pattern: Pattern) -> list[Aval]:
    n = _count(pattern)
    _check("attention_gradient", q, k, v, rest[:n], pattern)
    lse, delta, ct = rest[n:]
    (batch, queries, heads, _), dtype = q.shape, wide(q.dtype)
    rows, out = (batch, heads, queries), (batch, queries, heads, v.shape[3])
    check_kinds("attention_gradient", (lse, delta, ct), "f")
    if (lse.shape, delta.shape, ct.shape) != (rows, rows, out):
        raise ShapeError(f"attention_gradient: {lse}, {delta} and {ct} do not fit, at {describe(here())}")
    return [Aval(x.shape, dtype) for x in (q, k, v)]


# -- in NumPy ------------------------------------------------------------------------------------------------


def _blocks(
    q: np.ndarray, k: np.ndarray, extra: Sequence[np.ndarray], pattern: Pattern, dtype: np.dtype
) -> Iterator[tuple[tuple, tuple, np.ndarray, np.ndarray]]:
    """(place of some queries of a head, place of its keys, their scores, which pairs count)."""
    batch, queries, heads, _ = q.shape
    keys, groups = k.shape[1:3]
    given = iter(extra)
    bias = next(given) if pattern.bias else None
    mask = next(given) if pattern.mask else None
    lengths = next(given) if pattern.lengths else None
    whole = (batch, heads, queries, keys)
    for b, n, first in np.ndindex(batch, heads, -(-queries // ROWS)):
        rows = np.arange(first * ROWS, min(queries, (first + 1) * ROWS))[:, None]
        columns = np.arange(keys)
        mine, its = (b, slice(rows[0, 0], rows[-1, 0] + 1), n), (b, slice(None), n // (heads // groups))
        scores = q[mine].astype(dtype) @ k[its].astype(dtype).T * dtype.type(pattern.scale)
        at = (b, n, mine[1])
        if bias is not None:
            scores = scores + np.broadcast_to(bias, whole)[at].astype(dtype)
        counts = np.ones(scores.shape, bool)
        if mask is not None:
            counts &= np.broadcast_to(mask, whole)[at]
        if lengths is not None:
            counts &= columns < lengths[b]
        if pattern.right is not None:
            counts &= columns <= rows + pattern.right
        if pattern.left is not None:
            counts &= columns >= rows - pattern.left
        if pattern.masks:
            scores = np.where(counts, scores, dtype.type(MASKED))
        yield mine, its, scores, counts


def _evaluate(q: Any, k: Any, v: Any, *extra: Any, pattern: Pattern) -> list[np.ndarray]:
    dtype = wide(q.dtype)
    out = np.zeros((*q.shape[:3], v.shape[3]), dtype)
    lse = np.zeros((q.shape[0], q.shape[2], q.shape[1]), dtype)
    for (b, rows, n), its, scores, _ in _blocks(q, k, extra, pattern, dtype):
        top = scores.max(1, keepdims=True)
        weights = np.exp(scores - top)
        total = weights.sum(1, keepdims=True)
        out[b, rows, n] = weights / total @ v[its].astype(dtype)
        lse[b, n, rows] = (top + np.log(total))[:, 0]
    return [out.astype(q.dtype), lse]


def _evaluate_gradient(q: Any, k: Any, v: Any, *rest: Any, pattern: Pattern) -> list[np.ndarray]:
    n, dtype = _count(pattern), wide(q.dtype)
    lse, delta, ct = (x.astype(dtype) for x in rest[n:])
    dq, dk, dv = (np.zeros(x.shape, dtype) for x in (q, k, v))
    for mine, its, scores, counts in _blocks(q, k, rest[:n], pattern, dtype):
        b, rows, head = mine
        logs, means = lse[b, head, rows, None], delta[b, head, rows, None]
        weights = np.exp(scores - logs)
        if pattern.masks:
            weights = np.where(logs <= MASKED / 2, weights / dtype.type(k.shape[1]), weights)
        to = ct[mine].astype(dtype)
        slopes = np.where(counts, weights * (to @ v[its].astype(dtype).T - means), 0)
        dq[mine] = slopes @ k[its].astype(dtype) * dtype.type(pattern.scale)
        dk[its] += slopes.T @ q[mine].astype(dtype) * dtype.type(pattern.scale)
        dv[its] += weights.T @ to
    return [dq, dk, dv]


# -- with all scores, in ordinary primitives; they lie as (batch, group, query, member, key) -----------------------


def _grouped(x: Any, groups: int) -> Any:
    """(batch, length, heads, features) as (batch, length, groups, members, features)."""
    batch, length, heads, features = shape_of(x)
    return P.reshape(x, shape=(batch, length, groups, heads // groups, features))


def _merged(x: Any) -> Any:
    """(batch, group, query, member, features) as (batch, query, head, features)."""
    batch, groups, queries, members, features = shape_of(x)
    x = P.transpose(x, perm=(0, 2, 1, 3, 4))
    return P.reshape(x, shape=(batch, queries, groups * members, features))


def _of_rows(x: Any, groups: int, keys: int) -> Any:
    """(batch, head, query) as scores lie, the same for all keys."""
    batch, heads, queries = shape_of(x)
    x = P.reshape(x, shape=(batch, groups, heads // groups, queries))
    x = P.transpose(x, perm=(0, 1, 3, 2))
    return P.broadcast(x, shape=(*shape_of(x), keys), axes=(0, 1, 2, 3))


def _of_pairs(x: Any, shape: tuple[int, ...]) -> Any:
    """Broadcast to (batch, head, query, key), as scores of that shape lie."""
    batch, groups, queries, members, keys = shape
    kept = [d for d, n in enumerate(shape_of(x)) if n != 1]
    x = P.reshape(x, shape=tuple([shape_of(x)[d] for d in kept]))
    x = P.broadcast(x, shape=(batch, groups * members, queries, keys), axes=tuple(kept))
    x = P.reshape(x, shape=(batch, groups, members, queries, keys))
    return P.transpose(x, perm=(0, 1, 3, 2, 4))


def _scores(q: Any, k: Any, extra: Sequence[Any], pattern: Pattern) -> tuple[Any, Any]:
    """(scores, which pairs count or None), of operands in the dtype it is computed in."""
    given = iter(extra)
    groups = shape_of(k)[2]
    scores = P.dot_general(
        _grouped(q, groups), k, contract=((4,), (3,)), batch=((0, 2), (0, 2)), out_dtype=None
    )
    shape, dtype = shape_of(scores), aval_of(scores).dtype
    scores = P.mul(scores, np.asarray(pattern.scale, dtype))
    if pattern.bias:
        scores = P.add(scores, _of_pairs(of_dtype(next(given), dtype), shape))
    conditions = [_of_pairs(next(given), shape)] if pattern.mask else []
    mine, its = [P.iota(dtype=np.dtype("i4"), shape=shape, dimension=d) for d in (2, 4)]
    if pattern.lengths:
        conditions.append(
            P.lt(its, P.broadcast(of_dtype(next(given), np.dtype("i4")), shape=shape, axes=(0,)))
        )
    if pattern.right is not None:
        conditions.append(P.le(its, P.add(mine, np.asarray(pattern.right, "i4"))))
    if pattern.left is not None:
        conditions.append(P.ge(P.add(its, np.asarray(pattern.left, "i4")), mine))
    if not conditions:
        return scores, None
    counts = conditions[0]
    for other in conditions[1:]:
        counts = P.and_(counts, other)
    return P.select(counts, scores, np.asarray(MASKED, dtype)), counts


def _dense(q: Any, k: Any, v: Any, *extra: Any, pattern: Pattern) -> list[Any]:
    """attention."""
    narrow, dtype = aval_of(q).dtype, wide(aval_of(q).dtype)
    q, k, v = (of_dtype(x, dtype) for x in (q, k, v))
    scores, _ = _scores(q, k, extra, pattern)
    shape = shape_of(scores)

    def all_keys(x: Any) -> Any:
        return P.broadcast(x, shape=shape, axes=(0, 1, 2, 3))

    top = P.stop_gradient(P.reduce_max(scores, axes=(4,)))
    weights = P.exp(P.sub(scores, all_keys(top)))
    total = P.reduce_sum(weights, axes=(4,))
    weights = P.div(weights, all_keys(total))
    out = P.dot_general(weights, v, contract=((4,), (1,)), batch=((0, 1), (0, 2)), out_dtype=None)
    lse = P.transpose(P.add(top, P.log(total)), perm=(0, 1, 3, 2))
    return [of_dtype(_merged(out), narrow), P.reshape(lse, shape=(shape[0], shape[1] * shape[3], shape[2]))]


def _dense_slopes(
    q: Any, k: Any, v: Any, extra: Sequence[Any], lse: Any, delta: Any, ct: Any, pattern: Pattern
) -> tuple[Any, Any]:
    """(weights, the cotangents of the scores), of operands in the dtype it is computed in."""
    scores, counts = _scores(q, k, extra, pattern)
    groups, keys, dtype = shape_of(k)[2], shape_of(k)[1], aval_of(q).dtype
    logs = _of_rows(lse, groups, keys)
    weights = P.exp(P.sub(scores, logs))
    if pattern.masks:
        blind = P.le(logs, P.broadcast(np.asarray(MASKED / 2, dtype), shape=shape_of(logs), axes=()))
        weights = P.select(blind, P.div(weights, np.asarray(keys, dtype)), weights)
    to = P.dot_general(_grouped(ct, groups), v, contract=((4,), (3,)), batch=((0, 2), (0, 2)), out_dtype=None)
    slopes = P.mul(weights, P.sub(to, _of_rows(delta, groups, keys)))
    return weights, slopes if counts is None else P.select(counts, slopes, np.zeros((), dtype))


def _dense_gradient(q: Any, k: Any, v: Any, *rest: Any, pattern: Pattern) -> list[Any]:
    """attention_gradient."""
    n, dtype = _count(pattern), wide(aval_of(q).dtype)
    lse, delta, ct = rest[n:]
    q, k, v, lse, delta, ct = (of_dtype(x, dtype) for x in (q, k, v, lse, delta, ct))
    weights, slopes = _dense_slopes(q, k, v, rest[:n], lse, delta, ct, pattern)
    groups, scale = shape_of(k)[2], np.asarray(pattern.scale, dtype)
    over_rows = {"contract": ((2, 3), (1, 3)), "batch": ((0, 1), (0, 2)), "out_dtype": None}
    dq = P.dot_general(slopes, k, contract=((4,), (1,)), batch=((0, 1), (0, 2)), out_dtype=None)
    dk, dv = (P.dot_general(w, _grouped(x, groups), **over_rows) for w, x in ((slopes, q), (weights, ct)))
    return [
        P.mul(_merged(dq), scale),
        P.mul(P.transpose(dk, perm=(0, 2, 1, 3)), scale),
        P.transpose(dv, perm=(0, 2, 1, 3)),
    ]


def _of_bias(slopes: Any, bias: Aval) -> Any:
    """The cotangent of a bias: the scores', summed where it is broadcast."""
    batch, groups, queries, members, keys = shape_of(slopes)
    slopes = P.transpose(slopes, perm=(0, 1, 3, 2, 4))
    slopes = P.reshape(slopes, shape=(batch, groups * members, queries, keys))
    axes = tuple([d for d, (n, m) in enumerate(zip(bias.shape, shape_of(slopes))) if n != m])
    slopes = P.reduce_sum(slopes, axes=axes) if axes else slopes
    return of_dtype(P.reshape(slopes, shape=bias.shape), bias.dtype)


# -- rules ---------------------------------------------------------------------------------------------------


def _vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any, Any]:
    out, lse = attention(*args, **params)
    pattern: Pattern = params["pattern"]
    if not any(needs):
        return [out, lse], None, [False, False]
    q, k, v, *extra = args
    dtype = wide(aval_of(q).dtype)

    def pull(cts: Sequence[Any]) -> list[Any]:
        ct, ct_lse = cts
        ct = P.zeros(aval_of(out)) if ct is None else ct
        delta = P.reduce_sum(P.mul(of_dtype(ct, dtype), of_dtype(out, dtype)), axes=(3,))
        delta = P.transpose(delta, perm=(0, 2, 1))
        if ct_lse is not None:
            delta = P.sub(delta, ct_lse)
        back: list[Any] = [None] * len(args)
        if any(needs[:3]):
            found = attention_gradient(q, k, v, *extra, lse, delta, ct, pattern=pattern)
            for i, x in enumerate((q, k, v)):
                back[i] = of_dtype(found[i], aval_of(x).dtype) if needs[i] else None
        if pattern.bias and needs[3]:
            query, key, value, to = [of_dtype(x, dtype) for x in (q, k, v, ct)]
            _, slopes = _dense_slopes(query, key, value, extra, lse, delta, to, pattern)
            back[3] = _of_bias(slopes, aval_of(extra[0]))
        return back

    return [out, lse], pull, [True, True]


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    out = attention(*primals, **params)
    return out, jvp_flat(lambda *xs: _dense(*xs, **params), primals, tangents)[1]


def _gradient_vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any, Any]:
    out = attention_gradient(*args, **params)
    if not any(needs):
        return out, None, [False] * 3

    def pull(cts: Sequence[Any]) -> list[Any]:
        return vjp_flat(lambda *xs: _dense_gradient(*xs, **params), args, needs)[1](cts, once=True)

    return out, pull, [True] * 3


def _gradient_jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    out = attention_gradient(*primals, **params)
    return out, jvp_flat(lambda *xs: _dense_gradient(*xs, **params), primals, tangents)[1]


def _batched(
    primitive: str, frame: Any, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> Any:
    """The batch becomes part of the operands' own."""
    pattern: Pattern = params["pattern"]
    size, batch = frame.size, shape_of(args[0])[flags[0]]
    spread = range(3, 3 + pattern.bias + pattern.mask)  # operands that may be the same for all elements
    merged = []
    for i, (x, flag) in enumerate(zip(args, flags)):
        shape = shape_of(x)[flag:]
        if not flag and i in spread and shape[0] == 1:
            merged.append(x)
            continue
        x = lift(size, x, flag)
        if i in spread and shape[0] != batch:
            x = P.reshape(x, shape=(size, *shape[1:]))
            x = P.broadcast(x, shape=(size, batch, *shape[1:]), axes=(0, 2, 3, 4))
            shape = (batch, *shape[1:])
        merged.append(P.reshape(x, shape=(size * batch, *shape[1:])))
    outs = (attention if primitive == "attention" else attention_gradient)(*merged, **params)
    # of queries, keys and values alike, the first axis is the batch
    return [P.reshape(o, shape=(size, batch, *shape_of(o)[1:])) for o in outs], [True] * len(outs)


def _forward_cost(ins: Sequence[Aval], outs: Sequence[Aval], p: dict[str, Any]) -> float:
    return _cost(ins, p, 2)


def _cost(ins: Sequence[Aval], p: dict[str, Any], products: int) -> float:
    """Nanoseconds of one thread, roughly."""
    (batch, queries, heads, features), (_, keys, _, _) = ins[0].shape, ins[1].shape
    return (
        batch * heads * kernels.pairs(p["pattern"], queries, keys) * 2 * features * products / kernels.FLOPS
    )


def _writer(write: Any) -> Any:
    def run(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], p: dict[str, Any]) -> None:
        if math.prod(outputs[0].shape):
            write(b, inputs, outputs, p["pattern"], "f8" if inputs[0].dtype == "f8" else "f4")

    return run


# -- the primitives ------------------------------------------------------------------------------------------


def _case(
    *args: str, scale: float = 0.5, left: int | None = None, right: int | None = None, **has: bool
) -> Sample:
    flags = {name: has.get(name, False) for name in ("bias", "mask", "lengths")}
    return Sample(args, {"pattern": Pattern(scale, left, right, **flags)}, tolerance=8.0)


_QUERY = "f4[2,5,4,3]"
_SAMPLES = [
    ((_QUERY, "f4[2,6,4,3]", "f4[2,6,4,2]"), {}),
    ((_QUERY, "f4[2,5,2,3]", "f4[2,5,2,3]"), {"right": 0, "scale": 1.0}),
    ((_QUERY, "f4[2,6,1,3]", "f4[2,6,1,3]", "f4[1,4,5,6]"), {"bias": True}),
    ((_QUERY, "f4[2,6,4,3]", "f4[2,6,4,3]", "b1[2,1,5,6]"), {"mask": True}),
    ((_QUERY, "f4[2,6,4,3]", "f4[2,6,4,3]", "i4[2]"), {"lengths": True}),
    (
        (_QUERY, "f4[2,4,4,3]", "f4[2,4,4,3]", "f4[2,4,1,4]", "b1[1,1,1,4]", "i4[2]"),
        {"bias": True, "mask": True, "lengths": True, "left": 2, "right": 1},
    ),
    (("f4[1,70,1,9]", "f4[1,67,1,9]", "f4[1,67,1,20]"), {"right": 3, "left": 5}),
    (("f4[0,5,4,3]", "f4[0,6,4,3]", "f4[0,6,4,3]"), {}),
]


def _gradient_samples() -> list[Sample]:
    out = []
    for (q, k, v, *extra), how in _SAMPLES:
        batch, queries, heads, _ = q[3:-1].split(",")
        rows, ct = f"f4[{batch},{heads},{queries}]", f"f4[{batch},{queries},{heads},{v[3:-1].split(',')[3]}]"
        out.append(_case(q, k, v, *extra, rows, rows, ct, **how))
    return out


# (query [batch, queries, heads, features], key [batch, keys, groups, features], value [batch, keys, groups,
# values], then what `pattern` says) -> (result [batch, queries, heads, values], log of the sum of exp(score)
# [batch, heads, queries], in the dtype it is computed in)
attention = Primitive(
    "attention",
    shape=_shape,
    evaluate=_evaluate,
    jvp=_jvp,
    vjp=_vjp,
    batch=lambda *a: _batched("attention", *a),
    lower=Kernel(
        _writer(kernels.write_forward),
        lambda ins, outs, p: kernels.forward_tiles(ins[0].shape),
        _forward_cost,
        strided=(0, 1, 2),
    ),
    multiple=True,
    samples=lambda: [_case(*args, **how) for args, how in _SAMPLES],
)

# (the operands of attention, its second result, the mean over keys of the scores' cotangents before the
# softmax [batch, heads, queries], the result's cotangent) -> the cotangents of query, key and value, in the
# dtype it is computed in
attention_gradient = Primitive(
    "attention_gradient",
    shape=_gradient_shape,
    evaluate=_evaluate_gradient,
    jvp=_gradient_jvp,
    vjp=_gradient_vjp,
    batch=lambda *a: _batched("attention_gradient", *a),
    lower=Kernel(
        _writer(kernels.write_backward),
        lambda ins, outs, p: kernels.backward_tiles(ins[1].shape),
        lambda ins, outs, p: _cost(ins, p, 5),
        strided=(0, 1, 2),
    ),
    multiple=True,
    samples=_gradient_samples,
)
