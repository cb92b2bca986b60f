"""Functions with a batching rule of their own: custom_vmap and sequential_vmap."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn import tree
from fnn.core.array import as_array
from fnn.core.aval import Aval
from fnn.core.lowering import Loop
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import function_place
from fnn.core.trace import aval_of, stage
from fnn.errors import ArgumentError, MissingRuleError
from fnn.transforms.autodiff import jvp_flat, vjp_flat
from fnn.transforms.calls import graph_floor
from fnn.transforms.custom import result_avals, with_graph
from fnn.transforms.flattening import flatten_arguments, flatten_result
from fnn.transforms.sequential_map import map as sequential_map


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> Any:
    """Derivatives are the function's own."""
    return jvp_flat(p["fun"], primals, tangents)


def _vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    outs, pull = vjp_flat(p["fun"], args, needs)
    return outs, pull, [aval_of(o).is_inexact for o in outs]


def _batch(frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    return p["rule"](frame.size, list(flags), list(args))


def _samples() -> list[Sample]:
    graphs = {n: stage(lambda x: [P.sin(x)], [Aval((n,), np.dtype("float32"))])[0] for n in (3, 0)}
    rule = lambda size, flags, args: ([P.sin(*args)], flags)
    return [Sample((f"f4[{n}]",), {"fun": g, "name": "sample", "rule": rule}) for n, g in graphs.items()]


custom_vmap_call = Primitive(
    "custom_vmap",
    multiple=True,
    shape=result_avals,
    prepare=with_graph,
    floor=graph_floor,
    evaluate=lambda *args, fun, **_: fun(*map(as_array, args)),
    jvp=_jvp,
    vjp=_vjp,
    batch=_batch,
    lower=Loop("call"),
    samples=_samples,
)


class custom_vmap:  # the field's name
    """A function with a batching rule of its own.

    `f.def_vmap(rule)`: rule(axis_size, in_batched, *args) -> (out, out_batched). in_batched is a list with a pytree of
    truth values for each argument: whether its arrays have the batch as their leading axis; out_batched is such a pytree
    for out. Derivatives are those of the function itself. Raises MissingRuleError where a function without a rule is
    batched.

    >>> import fnn, fnn.numpy as fnp
    >>> from fnn.transforms.custom_batching import custom_vmap
    >>> @custom_vmap
    ... def double(x):
    ...     return x + x
    >>> @double.def_vmap
    ... def rule(axis_size, in_batched, x):
    ...     return 2.0 * x, in_batched[0]
    >>> print(fnn.vmap(double)(fnp.arange(3.0)))
    [0. 2. 4.]
    """

    rule: Callable[..., Any] | None = None

    def __init__(self, fun: Callable[..., Any]):
        functools.update_wrapper(self, fun, updated=())
        self.fun = fun

    def def_vmap(self, vmap_rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule."""
        self.rule = vmap_rule
        return vmap_rule

    def __call__(self, *args: Any) -> Any:
        leaves, structure = flatten_arguments(f"custom_vmap {function_place(self.fun)}", args)
        box: list[Any] = []

        def fun(*xs: Any) -> list[Any]:
            outs, form = flatten_result("custom_vmap", self.fun, self.fun(*tree.unflatten(structure, xs)))
            box[:] = [form]
            return outs

        def rule(size: int, flags: list[bool], xs: list[Any]) -> Any:
            if self.rule is None:
                raise MissingRuleError(
                    f"custom_vmap {function_place(self.fun)} has no rule yet: define one with def_vmap"
                )
            given = self.rule(size, list(tree.unflatten(structure, flags)), *tree.unflatten(structure, xs))
            if not isinstance(given, (tuple, list)) or len(given) != 2:
                raise ArgumentError(
                    f"the batching rule {function_place(self.rule)} must return (out, out_batched)"
                )
            outs, form = flatten_result("custom_vmap", self.rule, given[0])
            mine = tree.broadcast_prefix(given[1], given[0])
            box[:] = [form]
            return outs, [bool(b) for b in mine]

        name = getattr(self.fun, "__name__", "custom_vmap")
        outs = custom_vmap_call(*leaves, fun=fun, rule=rule, name=name)
        return tree.unflatten(box[0], outs)


def sequential_vmap(f: Callable[..., Any]) -> custom_vmap:
    """f, whose batches are computed one element after another, by lax.map.

    >>> import fnn, fnn.numpy as fnp
    >>> from fnn.transforms.custom_batching import sequential_vmap
    >>> print(fnn.vmap(sequential_vmap(lambda x: x * x))(fnp.arange(3.0)))
    [0. 1. 4.]
    """
    mapped = custom_vmap(f)

    @mapped.def_vmap
    def rule(axis_size: int, in_batched: list[Any], *args: Any) -> Any:
        leaves, structure = tree.flatten(args)
        flags = tree.leaves(in_batched)

        def one(chosen: Any) -> Any:
            rest = iter(chosen)
            return mapped(
                *tree.unflatten(
                    structure, [next(rest) if b else x for x, b in zip(leaves, flags, strict=True)]
                )
            )

        out = sequential_map(one, [x for x, b in zip(leaves, flags, strict=True) if b])
        return out, tree.map(lambda _: True, out)

    return mapped


__all__ = ["custom_vmap", "sequential_vmap"]
