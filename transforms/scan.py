"""scan: a loop with a fixed number of steps that stacks results; differentiable both ways. fori_loop on
top."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn import tree
from fnn.config import config
from fnn.core.array import as_array
from fnn.core.aval import Aval
from fnn.core.ir import Graph
from fnn.core.lowering import Loop
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, function_place, here
from fnn.core.trace import Tracer, aval_of, closed_stage, stage
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError, ShapeError
from fnn.primitives.rules import lift, moveaxis
from fnn.transforms.autodiff import fill
from fnn.transforms.calls import graph_floor, staged
from fnn.transforms.compiled import run_equation
from fnn.transforms.flattening import argument_name, flatten_arguments
from fnn.transforms.key_reuse import every_round
from fnn.transforms.rewrite import Flags, batch_graph, jvp_graph, pick, reach_float, spread_out, vjp_graphs
from fnn.transforms.while_loop import consts_first, fixpoint, settle, split, while_loop


def _parts(items: Sequence[Any], p: dict[str, Any]) -> list[list[Any]]:
    """(constants, carry, xs) of the body's inputs."""
    return split(items, p["consts"], p["carry"])


def _stacked(aval: Aval, length: int) -> Aval:
    return aval.update(shape=(length, *aval.shape), weak_type=False)


def _shape(
    *avals: Aval, graph: Graph, consts: int, carry: int, length: int, reverse: bool
) -> tuple[Aval, ...]:
    outs = graph.out_avals
    return (*(a.strong() for a in outs[:carry]), *(_stacked(a, length) for a in outs[carry:]))


def _evaluate(*args: Any, **p: Any) -> list[Any]:
    if not config.disable_jit:
        return run_equation(scan_p, args, p, p["graph"])
    graph, n, length = p["graph"], p["carry"], p["length"]
    fixed, carry, xs = _parts([as_array(a) for a in args], p)
    ys = [np.zeros((length, *a.shape), a.dtype) for a in graph.out_avals[n:]]
    for i in reversed(range(length)) if p["reverse"] else range(length):
        out = graph(
            *fixed, *carry, *[as_array(np.asarray(x)[i]) if not x.dtype.names else _row(x, i) for x in xs]
        )
        carry = out[:n]
        for stack, y in zip(ys, out[n:], strict=True):
            stack[i] = np.asarray(y.value if hasattr(y, "value") else y)
    return [*carry, *ys]


def _row(x: Any, i: int) -> Any:
    shape = x.shape
    piece = P.slice(
        x, start=(i,) + (0,) * (len(shape) - 1), limit=(i + 1, *shape[1:]), step=(1,) * len(shape)
    )
    return P.reshape(piece, shape=shape[1:])


def _active(flags: Sequence[bool], graph: Graph, p: dict[str, Any]) -> tuple[Flags, Flags]:
    """Flags of the body's inputs and outputs, once the carry's have stopped growing."""
    consts, carry, xs = map(tuple, _parts(flags, p))
    carry = fixpoint(carry, lambda c: reach_float(graph, consts + c + xs)[: p["carry"]])
    active = consts + carry + xs
    return active, carry + reach_float(graph, active)[p["carry"] :]


def _bind(
    key: tuple,
    owner: Graph,
    body: Callable[..., Any],
    avals: list[list[Aval]],
    args: list[list[Any]],
    p: dict[str, Any],
) -> list[Any]:
    """Bind a scan over a Python body: args and avals are (constants, carry, xs) lists. The body's graph is
    kept on `owner`."""
    flat = tuple([a.strong() for part in avals for a in part])
    graph = owner.cached((*key, flat), lambda: closed_stage(body, flat))
    return scan_p(
        *[x for part in args for x in part],
        graph=graph,
        consts=len(args[0]),
        carry=len(args[1]),
        length=p["length"],
        reverse=p["reverse"],
    )


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> Any:
    graph, n = p["graph"], p["carry"]
    active, out_active = _active([t is not None for t in tangents], graph, p)
    tangents = [fill(t, aval_of(x)) if f else None for t, x, f in zip(tangents, primals, active, strict=True)]
    joint, flags = jvp_graph(graph, active, out_active), _parts(active, p)
    parts = _parts(primals, p)
    tparts = [pick(t, f) for t, f in zip(_parts(tangents, p), flags, strict=True)]
    sizes = [len(x) for pair in zip(parts, tparts, strict=True) for x in pair]
    ys, m = len(graph.outputs) - n, sum(out_active[:n])

    def body(*xs: Any) -> list[Any]:  # (constants, carry, xs), each followed by its tangents
        c, tc, s, ts, x, tx, _ = split(xs, *sizes)
        carry, stacked, tcarry, tstacked = split(joint(*c, *s, *x, *tc, *ts, *tx), n, ys, m)
        return [*carry, *tcarry, *stacked, *tstacked]

    in_avals = [a + pick(a, f) for a, f in zip(_parts(graph.in_avals, p), flags, strict=True)]
    args = [x + t for x, t in zip(parts, tparts, strict=True)]
    outs = _bind(("scan jvp", active, out_active), graph, body, in_avals, args, p)
    carry, tcarry, stacked, tstacked = split(outs, n, m, ys)
    return carry + stacked, spread_out(tcarry + tstacked, out_active)


def _vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    graph, n, k = p["graph"], p["carry"], p["consts"]
    active, out_active = _active(needs, graph, p)
    if not any(out_active):
        return scan_p(*args, **p), None, out_active
    forwardable = tuple(not k <= i < k + n for i in range(len(args)))
    forward, backward, forwarded = vjp_graphs(graph, active, out_active, forwardable)
    size = len(graph.outputs)
    outs, saved = split(scan_p(*args, **{**p, "graph": forward}), size)
    out_avals = [aval_of(o) for o in outs]
    fixed, sliced = [i for i in forwarded if i < k], [i for i in forwarded if i >= k]
    in_avals, aconsts, acarry = graph.in_avals, active[:k], active[k : k + n]
    sums = [
        a.strong() for a in pick(in_avals[:k], aconsts)
    ]  # cotangents of the constants add up over the steps
    states = [a.strong() for a in pick(in_avals[k : k + n], acarry)]
    steps = [
        *(in_avals[i] for i in sliced),
        *(a.aval for a in forward.outputs[size:]),
        *pick(graph.out_avals[n:], out_active[n:]),
    ]

    def body(
        *xs: Any,
    ) -> list[
        Any
    ]:  # constants; running sums and carry cotangents; inputs, saved values, cotangents of a step
        consts, totals, cts, step = split(xs, len(fixed), len(sums), len(states))
        known, step_cts = split(step, len(sliced) + len(saved))
        carry_cts = pick(spread_out(cts, acarry), out_active[:n])
        found = backward(*consts, *known, *carry_cts, *step_cts)
        return [*map(P.add, totals, found), *found[len(sums) :]]

    def pull(cts: Sequence[Any]) -> list[Any]:
        cts = [fill(c, a) for c, a in zip(cts, out_avals, strict=True)]
        carry = [*map(P.zeros, sums), *pick(cts[:n], acarry)]
        xs = [*(args[i] for i in sliced), *saved, *pick(cts[n:], out_active[n:])]
        back = _bind(
            ("scan vjp", active, out_active),
            graph,
            body,
            [[in_avals[i] for i in fixed], sums + states, steps],
            [[args[i] for i in fixed], carry, xs],
            {**p, "reverse": not p["reverse"]},
        )
        return spread_out(back, active)

    return outs, pull, out_active


def _batch(frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    graph, n = p["graph"], p["carry"]
    consts, carry, xs = map(tuple, _parts(flags, p))

    def outs_batched(c: Flags) -> Flags:
        return batch_graph(graph, frame.size, frame.name, consts + c + xs)[1]

    inner = fixpoint(carry, lambda c: outs_batched(c)[:n])
    force = inner + outs_batched(inner)[n:]
    body = batch_graph(graph, frame.size, frame.name, consts + inner + xs, force)[0]
    parts = _parts(args, p)
    values = [
        *parts[0],
        *(lift(frame.size, x, f) if b else x for x, f, b in zip(parts[1], carry, inner, strict=True)),
        *(moveaxis(x, 0, 1) if f else x for x, f in zip(parts[2], xs, strict=True)),
    ]
    outs = scan_p(*values, **{**p, "graph": body})
    return [
        *outs[:n],
        *(moveaxis(y, 1, 0) if f else y for y, f in zip(outs[n:], force[n:], strict=True)),
    ], force


def _samples() -> list[Sample]:
    x = Aval((3,), np.dtype("float32"))
    graph = stage(lambda w, c, x: [P.sin(P.add(P.mul(c, w), x)), P.mul(c, x)], [x, x, x])[0]
    base = {"graph": graph, "consts": 1, "carry": 1, "reverse": False}
    return [
        Sample(("f4[3]", "f4[3]", "f4[4,3]"), {**base, "length": 4}),
        Sample(("f4[3]", "f4[3]", "f4[4,3]"), {**base, "length": 4, "reverse": True}),
        Sample(("f4[3]", "f4[3]", "f4[0,3]"), {**base, "length": 0}),
    ]


scan_p = Primitive(
    "scan",
    multiple=True,
    floor=graph_floor,
    shape=_shape,
    evaluate=_evaluate,
    jvp=_jvp,
    vjp=_vjp,
    batch=_batch,
    lower=Loop("scan"),
    samples=_samples,
)


# -- what people call ----------------------------------------------------------------------------------------


@filtered
def scan(
    f: Callable[[Any, Any], Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
) -> Any:
    """carry, y = f(carry, x) over the leading axis of xs: (last carry, ys stacked along a new leading axis).

    init, xs and y are pytrees (None for nothing); the carry keeps its structure, shapes and dtypes. length:
    needed where xs is None. reverse: from the last element to the first. unroll is accepted: the compiler
    unrolls where it pays.

    >>> import fnn, fnn.numpy as fnp
    >>> total, partial = fnn.lax.scan(lambda c, x: (c + x, c + x), 0.0, fnp.arange(4.0))
    >>> print(total, partial)
    6.0 [0. 1. 3. 6.]
    """
    if not callable(f):
        raise ArgumentError(
            f"scan is called as scan(f, init, xs), at {describe(here())}; f is a {type(f).__name__}"
        )
    carry, structure = flatten_arguments("scan", init)
    steps, step_structure = flatten_arguments("scan", xs)

    def step_name(i: int) -> str:
        return argument_name((xs,), i).replace("args[0]", "xs")

    for i, x in enumerate(steps):
        if not x.shape:
            raise ShapeError(
                f"scan at {describe(here())}: {step_name(i)} is a scalar, {x.aval}; xs needs a leading axis to scan over"
            )
    lengths = {x.shape[0] for x in steps} | ({int(length)} if length is not None else set())
    if len(lengths) != 1:
        have = ", ".join(f"{step_name(i)}: {x.aval}" for i, x in enumerate(steps)) or "no xs"
        raise ShapeError(
            f"scan at {describe(here())}: leading axes must all have one length ({have}; length={length}); pass "
            "length= where there is no xs"
        )
    n = lengths.pop()
    if config.disable_jit and not any(type(x) is Tracer for x in [*carry, *steps]):
        return _by_hand(f, init, steps, step_structure, n, reverse)
    inner = [x.aval.update(shape=x.aval.shape[1:]) for x in steps]
    body = tree.structure((init, xs))

    def name(i: int) -> str:
        k = len(carry)
        return argument_name((init,), i).replace("args[0]", "carry") if i < k else step_name(i - k)

    def result(out: Any) -> Any:
        pair = tree.treedef_children(out)
        if out.type is not tuple or len(pair) != 2:
            raise ArgumentError(
                f"scan at {describe(here())}: {function_place(f)} must return a pair (carry, y), not {out}; "
                "return (carry, None) where there is nothing to stack"
            )
        return pair[0]

    with every_round(n > 1):
        graph, captured, out, carry = settle(
            "scan", lambda avals: staged(f, body, avals + inner, name), carry, structure, result, f, name
        )
    outs = scan_p(
        *captured,
        *carry,
        *steps,
        graph=consts_first(graph, len(captured)),
        consts=len(captured),
        carry=len(carry),
        length=n,
        reverse=bool(reverse),
    )
    return tree.unflatten(out, outs)


def _by_hand(
    f: Callable[..., Any], init: Any, steps: list[Any], structure: Any, n: int, reverse: bool
) -> Any:
    """scan with compilation switched off: a Python loop over f itself."""
    if n == 0:
        raise ArgumentError("scan of length 0 needs jit: with disable_jit the type of its results is unknown")
    carry, ys = init, []
    for i in reversed(range(n)) if reverse else range(n):
        carry, y = f(carry, tree.unflatten(structure, [_row(x, i) for x in steps]))
        ys.append(y)
    ys = ys[::-1] if reverse else ys
    return carry, tree.map(
        lambda *rows: P.concatenate(
            *[P.reshape(as_array(r), shape=(1, *as_array(r).shape)) for r in rows], axis=0
        ),
        *ys,
    )


@filtered
def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: Any = None,
    max_steps: int | None = None,
) -> Any:
    """x = body_fun(i, x) for i from lower to upper - 1: differentiable both ways where the bounds are known
    numbers, or max_steps says how many steps there are at most (see `while_loop`).

    >>> import fnn
    >>> print(fnn.lax.fori_loop(0, 5, lambda i, x: x + i, 0))
    10
    """
    if type(lower) is not Tracer and type(upper) is not Tracer:
        lo, hi = int(lower), int(upper)
        dtype = as_array(lower).dtype if hasattr(lower, "dtype") else as_array(0).dtype
        indices = P.add(P.iota(dtype=dtype, shape=(max(hi - lo, 0),), dimension=0), np.asarray(lo, dtype))
        weak = type(lower) is int and type(upper) is int  # then the index yields to what it meets, as they do
        index = (lambda i: P.convert(i, dtype=dtype, weak=True)) if weak else lambda i: i
        return scan(named(lambda x, i: (body_fun(index(i), x), None), body_fun), init_val, indices)[0]
    a, b = as_array(lower), as_array(upper)
    dtype = a.dtype if not a.weak_type else b.dtype
    start = [P.convert(x, dtype=dtype) for x in (a, b)]
    return while_loop(
        lambda c: P.lt(c[0], c[1]),
        named(lambda c: (P.add(c[0], np.ones((), dtype)), c[1], body_fun(c[0], c[2])), body_fun),
        (*start, init_val),
        max_steps=max_steps,
    )[2]


def named(f: Callable[..., Any], user: Callable[..., Any]) -> Callable[..., Any]:
    """Errors about f should name the user's function."""
    f.__wrapped__ = user  # type: ignore[attr-defined]  # as functools.wraps does
    return f
