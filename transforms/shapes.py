"""Looking at functions without running them: eval_shape, make_ir, closure conversion by tracing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from fnn import primitives as P
from fnn import tree
from fnn.core.ir import Graph
from fnn.core.trace import Tracer
from fnn.errors import ArgumentError
from fnn.transforms.calls import staged
from fnn.transforms.flattening import ShapeDtypeStruct, abstract, call_name


def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The structure, shapes and dtypes of f(*args), without computing it: a pytree of ShapeDtypeStruct.

    >>> import fnn, fnn.numpy as fnp
    >>> fnn.eval_shape(fnp.dot, fnn.ShapeDtypeStruct((3, 4), "float32"), fnn.ShapeDtypeStruct((4,), "float32"))
    ShapeDtypeStruct(shape=(3,), dtype=float32)
    """
    leaves, structure = tree.flatten((args, kwargs))

    def call(a: tuple, k: dict[str, Any]) -> Any:  # a result may be a type already
        return tree.map(
            lambda x: P.zeros(abstract(x)) if isinstance(x, ShapeDtypeStruct) else x, fun(*a, **k)
        )

    if hasattr(fun, "__name__"):
        functools.update_wrapper(call, fun)
    graph, _, out = staged(call, structure, [abstract(x) for x in leaves])
    return tree.unflatten(
        out, [ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in graph.out_avals]
    )


def make_ir(
    fun: Callable[..., Any], static_argnums: int | Sequence[int] = (), return_shape: bool = False
) -> Callable[..., Any]:
    """A function of f's arguments that returns f's Graph. Also called make_jaxpr.

    >>> import fnn, fnn.numpy as fnp
    >>> print(fnn.make_ir(lambda x: fnp.sin(x) * 2.0)(1.0))
    graph (a: f32[]*) {
      b: f32[]* = sin a
      c: f32[]* = mul b 2.0
      return c
    }
    """
    if not callable(fun):
        raise ArgumentError(f"make_ir takes a function, not {type(fun).__name__}")

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        graph, _, out = traced_call(fun, static_argnums, args, kwargs)
        if not return_shape:
            return graph
        shapes = [ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in graph.out_avals]
        return graph, tree.unflatten(out, shapes)

    return wrapped


def traced_call(
    fun: Callable[..., Any], static_argnums: int | Sequence[int], args: tuple, kwargs: dict[str, Any]
) -> tuple[Graph, list[Tracer], Any]:
    """(graph, the traced arrays it closes over, structure of the result) of a call, some of whose arguments are static."""
    fixed = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    places = {i % len(args) for i in fixed}
    dynamic = tuple(a for i, a in enumerate(args) if i not in places)

    @functools.wraps(fun)
    def call(xs: tuple, named: dict[str, Any]) -> Any:
        rest = iter(xs)
        return fun(*[args[i] if i in places else next(rest) for i in range(len(args))], **named)

    leaves, structure = tree.flatten((dynamic, kwargs))
    return staged(call, structure, [abstract(x) for x in leaves], lambda i: call_name(dynamic, kwargs, i))
