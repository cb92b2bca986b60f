"""Functions that close over traced arrays, as functions that take them as arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fnn import tree
from fnn.core.source import describe
from fnn.core.trace import aval_of, stage
from fnn.errors import DifferentiationError
from fnn.transforms.flattening import abstract
from fnn.transforms.symbolic_zeros import of_present


class Rules(NamedTuple):
    """The operands of a call with custom derivatives, and its parameters."""

    args: list[Any]
    params: dict[str, Any]


def _closed(
    captured: Sequence[Any], f: Callable[..., Sequence[Any]]
) -> Callable[[Sequence, Sequence], list[Any]]:
    """f as a function of (its arguments, values for the captured arrays). It is traced when it is called, because the
    rules of a function often call the function again."""

    def call(args: Sequence[Any], values: Sequence[Any]) -> list[Any]:
        graph, mine = stage(f, [aval_of(x) for x in args])
        given = [next((v for c, v in zip(captured, values, strict=True) if c is x), x) for x in mine]
        return graph(*args, *given)

    return call


def close_jvp(args: Sequence[Any], fun: Callable[..., Any], rule: Callable[..., Any]) -> Rules:
    """`fun(*args)` and `rule(primals, tangents)`; the traced arrays that `fun` closes over become operands."""
    graph, captured = stage(fun, [aval_of(x) for x in args])
    if not captured:
        return Rules(list(args), {"fun": graph, "rule": rule})
    n, count = len(args), len(graph.out_avals)

    def closed_rule(primals: list[Any], tangents: list[Any]) -> Any:
        both, given = of_present(rule, tangents[:n])

        def flat(*xs: Any) -> list[Any]:
            outs, found = both(*xs)
            return [*outs, *found]

        found = _closed(captured, flat)([*primals[:n], *given], primals[n:])
        return found[:count], found[count:]

    return Rules([*args, *captured], {"fun": graph, "rule": closed_rule, "closed": len(captured)})


def close_vjp(
    args: Sequence[Any], fun: Callable[..., Any], forward: Callable[..., Any], backward: Callable[..., Any]
) -> Rules:
    """`fun(*args)`, `forward(*args)` and `backward(saved, cotangents)`; likewise."""
    graph, captured = stage(fun, [aval_of(x) for x in args])
    if not captured:
        return Rules(list(args), {"fun": graph, "forward": forward, "backward": backward})
    n, count, extra = len(args), len(graph.out_avals), len(captured)
    given: list[bool] = []

    def ahead(*xs: Any) -> list[Any]:
        outs, saved = forward(*xs)
        return [*outs, *saved]

    def back(*xs: Any) -> list[Any]:
        found = backward(list(xs[: len(xs) - count]), list(xs[len(xs) - count :]))
        given[:] = [c is not None for c in found]
        return [c for c in found if c is not None]

    closed_ahead, closed_back = _closed(captured, ahead), _closed(captured, back)

    def closed_forward(*xs: Any) -> Any:
        found = closed_ahead(xs[:n], xs[n:])
        return found[:count], [*found[count:], *xs[n:]]

    def closed_backward(saved: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        size = len(saved) - extra
        found = iter(closed_back([*saved[:size], *cts], saved[size:]))
        return [*[next(found) if g else None for g in given], *[None] * extra]

    params = {"fun": graph, "forward": closed_forward, "backward": closed_backward, "closed": extra}
    return Rules([*args, *captured], params)


def refuse_closed(name: str, args: Sequence[Any], active: Sequence[bool], closed: int) -> None:
    """An error where a value that a function with custom derivatives closes over is differentiated."""
    for x, differentiated in list(zip(args, active, strict=True))[len(args) - closed :]:
        if differentiated:
            source = getattr(x, "source", None)
            made = f", made at {describe(source)}" if source is not None else ""
            raise DifferentiationError(
                f"{name}, which has custom derivatives, closes over a traced {aval_of(x)}{made}, and is differentiated with "
                "respect to it; pass it as an argument"
            )


def closure_convert(fun: Callable[..., Any], *example_args: Any) -> tuple[Callable[..., Any], list[Any]]:
    """(g, extra): g(*args, *extra) is fun(*args), and closes over no traced array.

    For functions that are passed to one with custom derivatives. example_args give structures, shapes and dtypes.

    >>> import fnn, fnn.numpy as fnp
    >>> def f(x):
    ...     g, extra = closure_convert(lambda y: x * y, 1.0)
    ...     return g(3.0, *extra), len(extra)
    >>> print(fnn.jit(f)(2.0))
    (Array(6., dtype=float32, weak_type=True), Array(1, dtype=int32, weak_type=True))
    """
    leaves, structure = tree.flatten(example_args)
    box: list[Any] = []

    def flat(*xs: Any) -> list[Any]:
        out, shape = tree.flatten(fun(*tree.unflatten(structure, xs)))
        box[:] = [shape]
        return out

    graph, captured = stage(flat, [abstract(x) for x in leaves])

    def converted(*args: Any) -> Any:
        given, extra = args[: len(example_args)], args[len(example_args) :]
        return tree.unflatten(box[0], graph(*tree.leaves(given), *extra))

    return converted, list(captured)
