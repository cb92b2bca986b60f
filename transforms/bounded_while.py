"""A while_loop of at most so many steps, which has a reverse derivative: what its steps leave for it is kept in arrays
of that length, and a second loop walks them backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn.core.aval import Aval
from fnn.core.ir import Graph, Var
from fnn.core.lowering import Decompose
from fnn.core.primitive import Primitive, Sample
from fnn.core.trace import aval_of, closed_stage
from fnn.transforms import while_loop as plain
from fnn.transforms.autodiff import fill
from fnn.transforms.calls import graph_floor
from fnn.transforms.rewrite import pick, reach_float, spread_out, vjp_graphs
from fnn.transforms.while_loop import fixpoint, split, while_p

INT32 = np.dtype("int32")
ONE, ZERO = np.int32(1), np.int32(0)
_COUNT = Aval((), INT32)


def _unbounded(
    *args: Any, test: Graph, body: Graph, cond_consts: int, body_consts: int, max_steps: int
) -> list[Any]:
    """The same with a counter among the carry."""

    def tested(*xs: Any) -> list[Any]:
        return [P.and_(test(*xs[:-1])[0], P.lt(xs[-1], np.int32(max_steps)))]

    def step(*xs: Any) -> list[Any]:
        return [*body(*xs[:-1]), P.add(xs[-1], ONE)]

    counted = test.cached(("counted", max_steps), lambda: closed_stage(tested, [*test.in_avals, _COUNT]))
    counting = body.cached("counting", lambda: closed_stage(step, [*body.in_avals, _COUNT]))
    outs = while_p(*args, ZERO, test=counted, body=counting, cond_consts=cond_consts, body_consts=body_consts)
    return outs[:-1]


def _vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    test, body, most = p["test"], p["body"], p["max_steps"]
    left, right, carry = split(args, p["cond_consts"], p["body_consts"])
    _, aconsts, acarry = map(tuple, split(needs, p["cond_consts"], p["body_consts"]))
    acarry = fixpoint(acarry, lambda c: reach_float(body, aconsts + c))
    active = aconsts + acarry
    if not any(acarry):
        return bounded_while_p(*args, **p), None, acarry
    n, size = len(right), len(carry)
    forward, backward, forwarded = vjp_graphs(body, active, acarry, (True,) * n + (False,) * size)
    kept = [a.aval.strong() for a in forward.outputs[size:]]
    stacks = [a.update(shape=(most, *a.shape)) for a in kept]

    def saving(*xs: Any) -> list[Any]:  # the constants, the carry, the number of the step, what was saved
        mine, (at, *rows) = xs[: n + size], xs[n + size :]
        new, saved = split(forward(*mine), size)
        return [*new, P.add(at, ONE), *[_written(r, s, at) for r, s in zip(rows, saved, strict=True)]]

    steps = body.cached(
        ("saving", active, acarry, most), lambda: closed_stage(saving, [*body.in_avals, _COUNT, *stacks])
    )
    watched = Graph([*test.inputs, Var(_COUNT), *map(Var, stacks)], test.outputs, test.equations)
    found = bounded_while_p(
        *args, ZERO, *map(P.zeros, stacks), **{**p, "test": watched, "body": steps, "max_steps": most}
    )
    outs, (count, *rows) = split(found, size)
    fixed = [right[i] for i in forwarded]
    sums = [a.strong() for a in pick(body.in_avals[:n], aconsts)]
    states = [a.strong() for a in pick(body.in_avals[n:], acarry)]

    def back(
        *xs: Any,
    ) -> list[Any]:  # constants and saved values; the step, sums of cotangents, cotangents of the carry
        known, stacked, (at, *cts) = split(xs, len(fixed), len(stacks))
        given = [_read(r, at) for r in stacked]
        totals, ends = split(cts, len(sums))
        new = backward(*known, *given, *ends)
        return [P.sub(at, ONE), *map(P.add, totals, new), *new[len(sums) :]]

    def pull(cts: Sequence[Any]) -> list[Any]:
        ends = [fill(c, a) for c, a in pick(zip(cts, body.out_avals, strict=True), acarry)]
        consts = [aval_of(x).strong() for x in fixed] + stacks
        avals = [*consts, _COUNT, *sums, *states]
        key = ("walking back", active, acarry, most, tuple(consts))
        walk = body.cached(key, lambda: closed_stage(back, avals))
        more = body.cached(
            (*key, "test"), lambda: closed_stage(lambda at, *_: [P.ge(at, ZERO)], avals[len(consts) :])
        )
        start = [P.sub(count, ONE), *map(P.zeros, sums), *ends]
        found = bounded_while_p(
            *fixed,
            *rows,
            *start,
            test=more,
            body=walk,
            cond_consts=0,
            body_consts=len(consts),
            max_steps=most,
        )
        return [*[None] * len(left), *spread_out(found[1:], active)]

    return outs, pull, acarry


def _written(stack: Any, row: Any, at: Any) -> Any:
    shape = aval_of(stack).shape
    return P.dynamic_update_slice(
        stack, P.reshape(row, shape=(1, *shape[1:])), at, *[ZERO] * (len(shape) - 1)
    )


def _read(stack: Any, at: Any) -> Any:
    shape = aval_of(stack).shape
    row = P.dynamic_slice(stack, at, *[ZERO] * (len(shape) - 1), sizes=(1, *shape[1:]))
    return P.reshape(row, shape=shape[1:])


def _shape(*avals: Aval, body: Graph, **_: Any) -> tuple[Aval, ...]:
    return tuple([a.strong() for a in body.out_avals])


def _samples() -> list[Sample]:
    return [Sample(s.args, {**s.params, "max_steps": most}) for s in while_p.samples for most in (6, 2)]


bounded_while_p = Primitive(
    "bounded_while",
    multiple=True,
    floor=graph_floor,
    shape=_shape,
    evaluate=_unbounded,
    jvp=plain.loop_jvp,
    vjp=_vjp,
    batch=plain.loop_batch,
    lower=Decompose(_unbounded),
    samples=_samples,
)
