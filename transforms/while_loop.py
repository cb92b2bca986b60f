"""while_loop: a loop whose number of steps is known only when it ends."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes, tree
from fnn import primitives as P
from fnn.config import config
from fnn.core.array import ConcreteArray
from fnn.core.aval import Aval
from fnn.core.ir import Graph, Literal, Var
from fnn.core.lowering import Loop
from fnn.core.primitive import Primitive, Sample, registry
from fnn.core.source import describe, function_place, here
from fnn.core.trace import Stage, Tracer, aval_of, closed_stage, stage
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError, DifferentiationError, TreeError
from fnn.primitives.rules import lift
from fnn.transforms.autodiff import fill
from fnn.transforms.calls import graph_floor, staged
from fnn.transforms.compiled import run_equation
from fnn.transforms.control import same_types, spread_right
from fnn.transforms.flattening import argument_name, flatten_arguments
from fnn.transforms.key_reuse import every_round
from fnn.transforms.rewrite import Flags, batch_graph, jvp_graph, pick, reach_float, spread_out


def split(items: Sequence[Any], *sizes: int) -> list[list[Any]]:
    """Consecutive sublists of the given sizes, then the rest."""
    rest, out = list(items), []
    for size in sizes:
        out.append(rest[:size])
        rest = rest[size:]
    return [*out, rest]


def fixpoint(carry: Flags, step: Callable[[Flags], Sequence[bool]]) -> Flags:
    """Grow flags until a step adds none."""
    while True:
        grown = tuple(a or b for a, b in zip(carry, step(carry), strict=True))
        if grown == carry:
            return carry
        carry = grown


def _parts(items: Sequence[Any], p: dict[str, Any]) -> list[list[Any]]:
    """(constants of the test, constants of the body, carry)."""
    return split(items, p["cond_consts"], p["body_consts"])


def _evaluate(*args: Any, **p: Any) -> list[Any]:
    if config.disable_jit:
        left, right, carry = _parts(args, p)
        while bool(np.asarray(p["test"](*left, *carry)[0])):
            carry = p["body"](*right, *carry)
        return carry
    return run_equation(while_p, args, p, p["body"])


def _again(p: dict[str, Any]) -> Callable[..., list[Any]]:
    """The loop of the same kind with other graphs: bounded as this one is."""
    return (
        functools.partial(registry["bounded_while"], max_steps=p["max_steps"])
        if "max_steps" in p
        else while_p
    )


def loop_jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> Any:
    test, body = p["test"], p["body"]
    (left, right, carry), (_, tright, tcarry) = _parts(primals, p), _parts(tangents, p)
    consts = tuple(t is not None for t in tright)
    active = fixpoint(tuple(t is not None for t in tcarry), lambda c: reach_float(body, consts + c))
    tcarry = [fill(t, aval_of(x)) for t, x in pick(zip(tcarry, carry, strict=True), active)]
    joint, size, n = jvp_graph(body, consts + active, active), len(carry), len(right)

    def make() -> Graph:
        def step(
            *xs: Any,
        ) -> list[Any]:  # (consts, their tangents, carry, tangents) in the order of the joint graph
            k = n + sum(consts)
            return joint(*xs[:n], *xs[k : k + size], *xs[n:k], *xs[k + size :])

        avals = joint.in_avals
        cut = n + size
        order = [*avals[:n], *avals[cut : cut + sum(consts)], *avals[n:cut], *avals[cut + sum(consts) :]]
        return closed_stage(step, order)

    step = body.cached(("while jvp", consts, active), make)
    wide = Graph([*test.inputs, *(Var(aval_of(t)) for t in tcarry)], test.outputs, test.equations)
    outs = _again(p)(
        *left,
        *right,
        *pick(tright, consts),
        *carry,
        *tcarry,
        test=wide,
        body=step,
        cond_consts=len(left),
        body_consts=n + sum(consts),
    )
    return outs[:size], spread_out(outs[size:], active)


def _vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    _, right, carry = _parts(needs, p)
    active = fixpoint(tuple(carry), lambda c: reach_float(p["body"], tuple(right) + c))
    if not any(active):
        return while_p(*args, **p), None, active
    steps = trip_count(args, p)
    if steps is not None:
        return _as_scan(needs, args, p, steps)
    place = describe(here())

    def pull(cts: Sequence[Any]) -> Any:
        raise DifferentiationError(
            f"the while_loop at {place} has no reverse-mode derivative: its number of steps, and so the size of what must be "
            "saved, is not known. Say how many at most: while_loop(..., max_steps=1000). "
            "Or use fori_loop with bounds that are Python numbers, or scan, with a cond inside where steps "
            "are to be skipped; or use forward mode (jvp, jacfwd); or make the counter the condition: "
            "while_loop(lambda c: c[0] < 100, ...) with c[0] increased by a constant has a known number of steps."
        )

    return while_p(*args, **p), pull, active


def trip_count(args: Sequence[Any], p: dict[str, Any]) -> int | None:
    """The number of steps of a loop that counts: the test compares one carry with a constant, the body
    adds a constant to it, and it starts at a known number. None otherwise."""
    test, body, start = p["test"], p["body"], p["cond_consts"] + p["body_consts"]
    if len(test.equations) != 1 or test.equations[0].outputs[0] is not test.outputs[0]:
        return None
    eqn = test.equations[0]
    swap = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}
    name, (x, y) = eqn.primitive.name, (eqn.inputs if len(eqn.inputs) == 2 else (None, None))
    if name not in swap:
        return None
    if type(x) is Literal:
        name, x, y = swap[name], y, x
    bound = _known(y, test, args[: p["cond_consts"]])
    if bound is None or x not in test.inputs[p["cond_consts"] :]:
        return None
    k = test.inputs.index(x) - p["cond_consts"]
    first, out = known_integer(args[start + k]), body.outputs[k]
    maker = next((e for e in body.equations if e.outputs[0] is out), None)
    if first is None or maker is None or maker.primitive.name not in ("add", "sub"):
        return None
    counter, other = body.inputs[p["body_consts"] + k], [a for a in maker.inputs if type(a) is Literal]
    if (
        counter not in maker.inputs
        or len(other) != 1
        or (maker.primitive.name == "sub" and maker.inputs[0] is not counter)
    ):
        return None
    step = int(np.asarray(other[0].value)) * (1 if maker.primitive.name == "add" else -1)
    far = {"lt": bound - first, "le": bound - first + 1, "gt": first - bound, "ge": first - bound + 1}[name]
    stride = step if name in ("lt", "le") else -step
    return None if stride <= 0 else max(0, -(-far // stride))


def known_integer(x: Any) -> int | None:
    """A scalar integer whose value is known while tracing: a number, or one that a stage has only converted."""
    while type(x) is Tracer:
        if type(x.trace) is not Stage or x.aval.shape or x.aval.dtype.kind not in "iu":
            return None
        maker = next((e for e in reversed(x.trace.equations) if e.outputs[0] is x.note), None)
        if maker is None or maker.primitive.name not in ("convert", "broadcast", "reshape", "copy"):
            return None
        if type(maker.inputs[0]) is not Literal:
            return None
        x = maker.inputs[0].value
    value = x.value if type(x) is ConcreteArray else np.asarray(x)
    return int(value) if value.ndim == 0 and value.dtype.kind in "iu" else None


def _known(atom: Any, graph: Graph, consts: Sequence[Any]) -> int | None:
    """A bound that is a constant of the test, or a constant passed to it."""
    if type(atom) is not Var:
        return known_integer(atom.value)
    given = [x for v, x in zip(graph.inputs, consts, strict=False) if v is atom]
    return known_integer(given[0]) if given else None


def _as_scan(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any], steps: int) -> Any:
    from fnn.transforms.scan import scan_p  # scan is built on this module

    cut = p["cond_consts"]
    params = {
        "graph": p["body"],
        "consts": p["body_consts"],
        "carry": len(args) - cut - p["body_consts"],
        "length": steps,
        "reverse": False,
    }
    outs, pull, active = scan_p.vjp(tuple(needs[cut:]), list(args[cut:]), params)  # type: ignore[misc]
    return outs, (None if pull is None else lambda cts: [None] * cut + list(pull(cts))), active


def loop_batch(frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    test, body = p["test"], p["body"]
    left, right, carry = map(tuple, _parts(flags, p))
    cut = len(left) + len(right)

    def tested(c: Flags) -> bool:
        return batch_graph(test, frame.size, frame.name, left + c)[1][0]

    def step(c: Flags) -> Sequence[bool]:
        return (True,) * len(c) if tested(c) else batch_graph(body, frame.size, frame.name, right + c)[1]

    inner = fixpoint(carry, step)
    values = [lift(frame.size, x, f) if b else x for x, f, b in zip(args[cut:], carry, inner, strict=True)]
    new_test = batch_graph(test, frame.size, frame.name, left + inner)[0]
    new_body = batch_graph(body, frame.size, frame.name, right + inner, inner)[0]
    consts, n = list(args[len(left) : cut]), len(right)
    if tested(inner):  # runs while any instance runs; the others keep their carry
        lanes, lc = new_test, len(left)

        def masked(*xs: Any) -> list[Any]:
            left_consts, xs = xs[:lc], xs[lc:]
            running, new = lanes(*left_consts, *xs[n:])[0], new_body(*xs)
            pairs = zip(new, xs[n:], strict=True)
            return [P.select(spread_right(running, new_x), new_x, old) for new_x, old in pairs]

        avals = [*lanes.in_avals[:lc], *new_body.in_avals]
        new_body = body.cached(("while masked", lanes, new_body), lambda: closed_stage(masked, avals))
        new_test = test.cached(
            ("while any", lanes),
            lambda: closed_stage(lambda *xs: [P.reduce_or(lanes(*xs)[0], axes=(0,))], lanes.in_avals),
        )
        consts = [*args[:lc], *consts]
    outs = _again(p)(
        *args[: len(left)],
        *consts,
        *values,
        test=new_test,
        body=new_body,
        cond_consts=len(left),
        body_consts=len(consts),
    )
    return outs, inner


def _shape(*avals: Aval, test: Graph, body: Graph, cond_consts: int, body_consts: int) -> tuple[Aval, ...]:
    return tuple([a.strong() for a in body.out_avals])


def _sample(size: int, steps: int) -> Sample:
    i, x = Aval((), np.dtype("int32")), Aval((size,), np.dtype("float32"))
    test = stage(lambda i, x: [P.lt(i, np.int32(steps))], [i, x])[0]
    body = stage(lambda w, i, x: [P.add(i, np.int32(1)), P.sin(P.mul(x, w))], [x, i, x])[0]
    params = {"test": test, "body": body, "cond_consts": 0, "body_consts": 1}
    return Sample((f"f4[{size}]", np.int32(0), f"f4[{size}]"), params)


while_p = Primitive(
    "while",
    multiple=True,
    floor=graph_floor,
    shape=_shape,
    evaluate=_evaluate,
    jvp=loop_jvp,
    vjp=_vjp,
    batch=loop_batch,
    lower=Loop("while"),
    samples=lambda: [_sample(3, 4), _sample(3, 0), _sample(0, 2)],
)


# -- what people call ----------------------------------------------------------------------------------------


def consts_first(graph: Graph, count: int) -> Graph:
    """The last `count` inputs, which stand for captured values, moved to the front."""
    size = len(graph.inputs) - count
    return Graph([*graph.inputs[size:], *graph.inputs[:size]], graph.outputs, graph.equations)


def settle(
    what: str,
    trace: Callable[[list[Aval]], tuple[Graph, list[Any], Any]],
    carry: list[Any],
    structure: Any,
    result: Callable[[Any], Any],
    f: Callable[..., Any],
    name: Callable[[int], str],
) -> tuple[Graph, list[Any], Any, list]:
    """Trace a loop's body until its carry keeps its type: a weakly typed start takes the type the body gives
    it.

    Returns (graph, captured, out structure, carry)."""
    settled = False
    while True:  # weak types first, so that they yield; every round but the last makes one of them strong
        settled = settled or not any(aval_of(x).weak_type for x in carry)
        avals = [aval_of(x).strong() if settled else aval_of(x) for x in carry]
        graph, captured, out = trace(avals)
        if result(out) != structure:
            raise TreeError(
                f"{what} at {describe(here())}: the carry has structure {structure}, but {function_place(f)} returns "
                f"{result(out)}; they must be the same"
            )
        found = graph.out_avals[: len(avals)]
        if settled:
            same_types(f"{what} at {describe(here())}, body {function_place(f)}", found, avals, name)
            return graph, captured, out, carry
        changed = [
            a.weak_type and a.dtype != b.dtype and a.shape == b.shape and dtypes.result([a, b])[0] == b.dtype
            for a, b in zip(avals, found, strict=True)
        ]
        settled = not any(changed)
        carry = [
            P.convert(x, dtype=b.dtype if c else a.dtype) if c or (settled and a.weak_type) else x
            for x, a, b, c in zip(carry, avals, found, changed, strict=True)
        ]


@filtered
def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    *,
    max_steps: int | None = None,
) -> Any:
    """carry = body_fun(carry) while cond_fun(carry), starting from init_val, a pytree whose types stay the
    same.

    max_steps: the loop ends after so many steps in any case. Reverse mode needs it, as it keeps something of every step
    (memory for max_steps of them), unless the loop counts in a way that is known when it is traced; forward mode
    always works. Under vmap the loop runs until every element is done.

    >>> import fnn
    >>> print(fnn.lax.while_loop(lambda x: x < 100.0, lambda x: 2.0 * x, 3.0))
    192.0
    """
    carry, structure = flatten_arguments("while_loop", init_val)
    if config.disable_jit and not any(type(x) is Tracer for x in carry):
        value, steps = init_val, 0
        while bool(cond_fun(value)) and steps != max_steps:
            value, steps = body_fun(value), steps + 1
        return value
    one = tree.structure((init_val,))

    def name(i: int) -> str:
        return argument_name((init_val,), i).replace("args[0]", "carry")

    trace = lambda avals: staged(body_fun, one, avals, name)
    with every_round(max_steps is None or max_steps > 1):
        body_graph, body_more, _, carry = settle(
            "while_loop", trace, carry, structure, lambda out: out, body_fun, name
        )
    avals = [aval_of(x).strong() for x in carry]
    test_graph, test_more, _ = staged(cond_fun, one, avals, name)
    if (
        len(test_graph.outputs) != 1
        or test_graph.out_avals[0].shape
        or test_graph.out_avals[0].dtype.kind != "b"
    ):
        raise ArgumentError(
            f"while_loop at {describe(here())}: {function_place(cond_fun)} must return one bool, not "
            f"{', '.join(map(str, test_graph.out_avals))}"
        )
    if max_steps is not None:
        if operator.index(max_steps) <= 0:
            return tree.unflatten(structure, carry)
        from fnn.transforms import bounded_while  # noqa: F401  # which makes use of this module
    outs = _again({} if max_steps is None else {"max_steps": operator.index(max_steps)})(
        *test_more,
        *body_more,
        *carry,
        test=consts_first(test_graph, len(test_more)),
        body=consts_first(body_graph, len(body_more)),
        cond_consts=len(test_more),
        body_consts=len(body_more),
    )
    return tree.unflatten(structure, outs)
