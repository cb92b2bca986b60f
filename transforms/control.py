"""cond and switch: one of several graphs, chosen by a number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn import tree
from fnn.config import config
from fnn.core.array import as_array
from fnn.core.aval import Aval, same_type
from fnn.core.ir import Graph, Var, effects_of
from fnn.core.lowering import Loop
from fnn.core.primitive import Primitive, Sample, registry
from fnn.core.source import describe, function_place, here
from fnn.core.trace import Tracer, aval_of, closed_stage, shape_of, stage
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError, ShapeError, TreeError
from fnn.transforms.autodiff import fill
from fnn.transforms.calls import free_axes, graph_floor, staged
from fnn.transforms.compiled import run
from fnn.transforms.costs import nanoseconds
from fnn.transforms.flattening import argument_name, flatten_arguments
from fnn.transforms.rewrite import Flags, batch_graph, jvp_graph, pick, reach_float, spread_out, vjp_graphs


def either(rows: Iterable[Sequence[bool]]) -> Flags:
    return tuple(any(column) for column in zip(*rows, strict=True))


def _shape(index: Aval, *avals: Aval, branches: tuple[Graph, ...]) -> tuple[Aval, ...]:
    return tuple([a.strong() for a in branches[0].out_avals])


def _evaluate(index: Any, *args: Any, branches: tuple[Graph, ...]) -> list[Any]:
    return run(branches[min(max(int(np.asarray(index)), 0), len(branches) - 1)], args)


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> Any:
    active = tuple(t is not None for t in tangents[1:])
    branches, size = params["branches"], len(params["branches"][0].outputs)
    out_active = either(reach_float(g, active) for g in branches)
    outs = cond_p(
        *primals,
        *pick(tangents[1:], active),
        branches=tuple(jvp_graph(g, active, out_active) for g in branches),
    )
    return outs[:size], spread_out(outs[size:], out_active)


def _vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> Any:
    branches, active, size = params["branches"], tuple(needs[1:]), len(params["branches"][0].outputs)
    out_active = either(reach_float(g, active) for g in branches)
    if not any(out_active):
        return cond_p(*args, **params), None, out_active
    nothing = (False,) * len(active)
    cuts = [vjp_graphs(g, active, out_active, nothing) for g in branches]
    saved = [[a.aval.strong() for a in forward.outputs[size:]] for forward, _, _ in cuts]
    key = ("cond", active, out_active, branches)

    def padded(i: int) -> Graph:  # every branch gives the saved values of all; those of the others are zeros
        forward = cuts[i][0]

        def f(*xs: Any) -> list[Any]:
            outs = forward(*xs)
            rest = (
                x for j, avals in enumerate(saved) for x in (outs[size:] if i == j else map(P.zeros, avals))
            )
            return [*outs[:size], *rest]

        return branches[i].cached(("padded", i, *key), lambda: closed_stage(f, forward.in_avals))

    def chosen(i: int) -> Graph:
        start, backward = sum(map(len, saved[:i])), cuts[i][1]
        total, count = sum(map(len, saved)), len(saved[i])
        avals = [
            *(a for part in saved for a in part),
            *(a.strong() for a in pick(branches[0].out_avals, out_active)),
        ]
        return branches[i].cached(
            ("chosen", i, *key),
            lambda: closed_stage(lambda *xs: backward(*xs[start : start + count], *xs[total:]), avals),
        )

    outs = cond_p(*args, branches=tuple(map(padded, range(len(branches)))))

    def pull(cts: Sequence[Any]) -> list[Any]:
        cts = [fill(c, a) for c, a in zip(cts, branches[0].out_avals, strict=True)]
        back = cond_p(
            args[0], *outs[size:], *pick(cts, out_active), branches=tuple(map(chosen, range(len(branches))))
        )
        return [None, *spread_out(back, active)]

    return outs[:size], pull, out_active


def spread_right(flags: Any, like: Any) -> Any:
    """A batch of scalars, repeated over the trailing axes of `like`."""
    shape = tuple(shape_of(like))
    return flags if len(shape) == 1 else P.broadcast(flags, shape=shape, axes=(0,))


def _batch(frame: Any, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> Any:
    branches, inner = params["branches"], tuple(flags[1:])
    if not flags[0]:
        force = either(batch_graph(g, frame.size, frame.name, inner)[1] for g in branches)
        mapped = tuple(batch_graph(g, frame.size, frame.name, inner, force)[0] for g in branches)
        return cond_p(*args, branches=mapped), force
    every = (True,) * len(branches[0].outputs)
    if _one_by_one(branches, frame):
        return _element_by_element(branches, inner, args), every
    # elements may go different ways: all branches run, each picks its own
    results = [batch_graph(g, frame.size, frame.name, inner, every)[0](*args[1:]) for g in branches]
    outs = results[-1]
    for i in range(len(branches) - 2, -1, -1):
        mine = P.le(args[0], np.int32(i))
        outs = [P.select(spread_right(mine, x), x, y) for x, y in zip(results[i], outs, strict=True)]
    return outs, every


COSTLY = 20_000.0  # nanoseconds of a branch that is worth a loop over the elements


def _one_by_one(branches: tuple[Graph, ...], frame: Any) -> bool:
    """Whether elements of a batch that go different ways are better computed one after another, each in its branch, than
    all in all branches: where a branch is costly and does not get much faster by working on many elements at once (if
    they share out evenly); and where a branch has an effect, which only those that take it may have."""
    if any(frame.name in free_axes(g) for g in branches if frame.name is not None):
        return False  # it exchanges values with the other elements
    if any(map(effects_of, branches)):
        return True
    alone = [nanoseconds(g) for g in branches]
    together = sum(nanoseconds(g, frame.size) for g in branches)
    return max(alone) >= COSTLY and frame.size * sum(alone) / len(alone) <= 0.75 * together


def _element_by_element(branches: tuple[Graph, ...], inner: Flags, args: Sequence[Any]) -> list[Any]:
    """A loop over the batch: every element takes its branch."""
    fixed = [x for x, f in zip(args[1:], inner, strict=True) if not f]

    def body(*xs: Any) -> list[Any]:
        shared, (index, *own) = iter(xs[: len(fixed)]), xs[len(fixed) :]
        rest = iter(own)
        return cond_p(index, *[next(rest) if f else next(shared) for f in inner], branches=branches)

    avals = branches[0].in_avals
    types = [a.strong() for a, f in zip(avals, inner, strict=True) if not f]
    types += [Aval((), np.dtype("int32")), *(a.strong() for a in pick(avals, inner))]
    graph = branches[0].cached(("one by one", branches, inner), lambda: closed_stage(body, types))
    return registry["scan"](
        *fixed,
        args[0],
        *pick(args[1:], inner),
        graph=graph,
        consts=len(fixed),
        carry=0,
        length=shape_of(args[0])[0],
        reverse=False,
    )


def _samples() -> list[Sample]:
    def branches(size: int) -> tuple[Graph, ...]:
        x = Aval((size,), np.dtype("float32"))
        return stage(lambda a, b: [P.mul(a, b)], [x, x])[0], stage(lambda a, b: [P.sin(a)], [x, x])[0]

    cases = [(0, 3), (1, 3), (7, 3), (-1, 0)]
    return [Sample((np.int32(i), f"f4[{n}]", f"f4[{n}]"), {"branches": branches(n)}) for i, n in cases]


cond_p = Primitive(
    "cond",
    multiple=True,
    floor=graph_floor,
    shape=_shape,
    evaluate=_evaluate,
    jvp=_jvp,
    vjp=_vjp,
    batch=_batch,
    lower=Loop("cond"),
    samples=_samples,
)


# -- what people call ----------------------------------------------------------------------------------------


def widened(graph: Graph, count: int, captured: Sequence[Tracer], everything: Sequence[Tracer]) -> Graph:
    """A graph whose inputs after the first `count` stand for `everything` captured by it or its siblings."""
    mine = {id(t): v for t, v in zip(captured, graph.inputs[count:], strict=True)}
    return Graph(
        [*graph.inputs[:count], *(mine.get(id(t)) or Var(t.aval) for t in everything)],
        graph.outputs,
        graph.equations,
    )


def union(captured: Iterable[Sequence[Tracer]]) -> list[Tracer]:
    return list({id(t): t for part in captured for t in part}.values())


def converted(graph: Graph, avals: Sequence[Aval]) -> Graph:
    """The graph with its outputs converted to these dtypes."""
    if all(a.dtype == b.dtype for a, b in zip(graph.out_avals, avals, strict=True)):
        return graph

    def f(*xs: Any) -> list[Any]:
        outs = graph(*xs)
        return [
            o if aval_of(o).dtype == a.dtype else P.convert(o, dtype=a.dtype)
            for o, a in zip(outs, avals, strict=True)
        ]

    return closed_stage(f, graph.in_avals)


_ABSENT: Any = object()  # None is an operand


@filtered
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any, operand: Any = _ABSENT) -> Any:
    """branches[index](*operands); the index is clamped into range. All branches are traced, one runs.

    Branches take the same operands and return the same structure, shapes and dtypes (else TreeError or
    ShapeError).

    >>> import fnn
    >>> print(fnn.lax.switch(1, [lambda x: x + 1.0, lambda x: x * 10.0], 3.0))
    30.0
    """
    if operand is not _ABSENT:
        operands = (operand,)
    if not branches or not all(map(callable, branches)):
        raise ArgumentError(f"switch takes a non-empty list of functions, at {describe(here())}")
    which = as_array(index)
    if which.shape != () or which.dtype.kind not in "iu":
        raise ArgumentError(f"switch needs a scalar integer index, not {which.aval}, at {describe(here())}")
    return _branch("switch", P.convert(which, dtype=np.dtype("int32")), list(branches), operands)


@filtered
def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
    operand: Any = _ABSENT,
) -> Any:
    """true_fun(*operands) if pred else false_fun(*operands); both are traced, one runs.

    pred is a scalar bool or number. The functions return the same structure, shapes and dtypes (else
    TreeError or ShapeError). Under vmap with a pred that differs over the batch both run and each element
    takes its own; where a branch is costly, or has an effect, the elements go one after another instead, each through
    its branch alone.

    >>> import fnn
    >>> print(fnn.grad(lambda x: fnn.lax.cond(x > 0, lambda x: x * x, lambda x: -x, x))(3.0))
    6.0
    """
    if operand is not _ABSENT:
        operands = (operand,)
    if not callable(true_fun) or not callable(false_fun):
        if (
            len(operands) == 2 and callable(false_fun) and callable(operands[1])
        ):  # cond(pred, x, f, y, g), the older form
            return cond(pred, lambda x, y: false_fun(x), lambda x, y: operands[1](y), true_fun, operands[0])
        raise ArgumentError(
            f"cond is called as cond(pred, true_fun, false_fun, *operands), at {describe(here())}; "
            f"got a {type(true_fun).__name__} and a {type(false_fun).__name__} for the functions"
        )
    which = as_array(pred)
    if which.shape != ():
        raise ArgumentError(
            f"cond needs a scalar predicate, not {which.aval}, at {describe(here())}; for a choice element by "
            "element use fnn.numpy.where"
        )
    if which.dtype.kind != "b":
        which = P.ne(which, np.zeros((), which.dtype))
    return _branch("cond", P.convert(which, dtype=np.dtype("int32")), [false_fun, true_fun], operands)


def _branch(what: str, index: Any, functions: list[Callable[..., Any]], operands: tuple) -> Any:
    if config.disable_jit and type(index) is not Tracer:
        return functions[min(max(int(np.asarray(index)), 0), len(functions) - 1)](*operands)
    leaves, structure = flatten_arguments(what, operands)
    avals = [x.aval for x in leaves]
    traced = [staged(f, structure, avals, lambda i: argument_name(operands, i)) for f in functions]
    first = traced[-1]
    for f, (_, _, out) in zip(functions, traced, strict=True):
        if out != first[2]:
            raise TreeError(
                f"{what} at {describe(here())}: the branches return different structures: "
                f"{function_place(functions[-1])} returns {first[2]}, {function_place(f)} returns {out}"
            )
    targets = []
    for k, column in enumerate(zip(*(g.out_avals for g, _, _ in traced), strict=True)):
        strong = [a for a in column if not a.weak_type] or list(column)
        target = strong[0].strong()
        first_strong = functions[column.index(strong[0])]
        for f, a in zip(functions, column, strict=True):
            fits = a.shape == target.shape and (a.dtype == target.dtype or a.weak_type)
            if not fits:
                raise ShapeError(
                    f"{what} at {describe(here())}: the branches must return the same types, but result {k} of "
                    f"{function_place(first_strong)} is {strong[0]} and of {function_place(f)} is {a}; "
                    "reshape or convert one of them (.astype)"
                )
        targets.append(target)
    everything = union(captured for _, captured, _ in traced)
    graphs = tuple(
        [converted(widened(g, len(leaves), captured, everything), targets) for g, captured, _ in traced]
    )
    outs = cond_p(index, *leaves, *everything, branches=graphs)
    return tree.unflatten(first[2], outs)


def same_types(what: str, have: Sequence[Aval], want: Sequence[Aval], name: Callable[[int], str]) -> None:
    """ShapeError unless the types agree."""
    for i, (a, b) in enumerate(zip(have, want, strict=True)):
        if not same_type(a, b):
            raise ShapeError(
                f"{what}: {name(i)} has type {b} going in and {a} coming out; a carry keeps its shape and dtype "
                "from step to step (use .astype, or start with the type the body returns)"
            )
