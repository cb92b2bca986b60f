"""vmap: a trace whose tracers hold a whole batch, on axis 0 of their value."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from fnn import tree
from fnn.core.aval import Aval
from fnn.core.primitive import Unsupported
from fnn.core.source import describe, function_place, here
from fnn.core.trace import Trace, Tracer, aval_of, shape_of, state
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError, ConcretizationError, ShapeError, UnsupportedError
from fnn.primitives.rules import lift, moveaxis
from fnn.transforms.flattening import call_name, flat_call, flatten_arguments


class Batch(Trace):
    """value = the batch, axis 0 being mapped; name is the axis name that collectives refer to."""

    __slots__ = ("size", "name")
    kind = "vmap"

    def __init__(self, size: int, name: Hashable = None) -> None:
        super().__init__()
        self.size, self.name = size, name

    def track(self, value: Any) -> Tracer:
        whole = aval_of(value)
        return Tracer(self, value, None, Aval(whole.shape[1:], whole.dtype, whole.weak_type))

    def concrete(self, tracer: Tracer, what: str, error: type[ConcretizationError]) -> Any:
        raise error(
            f"{what} at {describe(here())} needs one value of a traced {tracer.aval}, computed at "
            f"{describe(tracer.source)}, but under vmap it stands for {self.size} values at once. Use fnn.numpy.where, "
            "fnn.lax.cond or fnn.lax.while_loop in place of Python's if and while."
        )

    def process(self, primitive: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        if isinstance(primitive.batch, Unsupported):
            raise UnsupportedError(
                f"vmap of {primitive.name}, at {describe(here())}: {primitive.batch.reason}"
            )
        flags = tuple([type(a) is Tracer and a.trace is self for a in args])
        values = [a.value if f else a for a, f in zip(args, flags, strict=True)]
        out, flag = primitive.batch(self, flags, values, params)
        if primitive.prepare:
            self.forbid_captures(out, params)
        if primitive.multiple:
            return [self.track(o) if f else o for o, f in zip(out, flag, strict=True)]
        return self.track(out) if flag else out


def vmap_flat(
    f: Callable[..., Any], size: int, flags: Sequence[bool], name: Hashable = None
) -> Callable[..., Any]:
    """f over lists of arrays -> function of batched arrays (axis 0 where flagged) -> (outputs, their
    flags)."""

    def batched(*args: Any) -> tuple[list[Any], list[bool]]:
        with Batch(size, name) as trace:
            outer = state.axes
            if name is not None:
                state.axes = {**outer, name: trace}
            try:
                outs = f(*[trace.track(x) if b else x for x, b in zip(args, flags, strict=True)])
            finally:
                state.axes = outer
            mine = [trace.owns(o) for o in outs]
            return [o.value if m else o for o, m in zip(outs, mine, strict=True)], mine

    return batched


def vmap(
    fun: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Hashable = None,
    axis_size: int | None = None,
    spmd_axis_name: Hashable = None,
) -> Callable[..., Any]:
    """f over every slice of its arguments along the mapped axes, computed all at once.

    in_axes: an int, None (not mapped), or a tuple with one entry per argument, each an int, None or a pytree
    prefix of the argument; negative axes count from the end; arguments passed by name are mapped on axis 0.
    out_axes: likewise for the result. axis_name: what collectives (fnn.lax.psum …) call the axis. axis_size:
    needed where no argument is mapped. spmd_axis_name is accepted: there is one device. Raises ShapeError where
    mapped axes differ in size or do not exist.

    >>> import fnn, fnn.numpy as fnp
    >>> print(fnn.vmap(fnp.dot)(fnp.ones((3, 2)), fnp.ones((3, 2))))
    [2. 2. 2.]
    """
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if not callable(fun):
        raise ArgumentError(f"vmap takes a function, not {type(fun).__name__}")

    @functools.wraps(fun)
    @filtered
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ArgumentError(
                f"vmap of {function_place(fun)}: in_axes has {len(in_axes)} entries, but the call has "
                f"{len(args)} positional argument(s)"
            )
        leaves, structure = flatten_arguments(
            f"vmap of {function_place(fun)}", (args, kwargs), lambda i: call_name(args, kwargs, i)
        )
        axes = _axes_of(in_axes, args, fun, "in_axes") + [0] * len(tree.leaves(kwargs))
        size = _common_size(fun, args, kwargs, leaves, axes, axis_size)
        flags = [a is not None for a in axes]
        values = [
            moveaxis(x, a % x.ndim, 0) if a is not None else x for x, a in zip(leaves, axes, strict=True)
        ]
        flat, box = flat_call(lambda a, k: fun(*a, **k), structure, "vmap")
        outs, mine = vmap_flat(flat, size, flags, axis_name)(*values)
        targets = _axes_of(out_axes, box[0], fun, "out_axes")
        results = []
        for i, (o, m, t) in enumerate(zip(outs, mine, targets, strict=True)):
            if t is None:
                if m:
                    where = tree.keystr(tree.leaf_paths(box[0])[i])
                    raise ArgumentError(
                        f"vmap of {function_place(fun)}: out_axes is None for result{where}, which differs from "
                        "one batch element to the next; give it an axis"
                    )
                results.append(o)
                continue
            rank = len(shape_of(o)) + (not m)
            if not -rank <= t < rank:
                raise ShapeError(
                    f"vmap of {function_place(fun)}: out_axes {t} for a result of {rank} axes, the batch included"
                )
            results.append(moveaxis(lift(size, o, m), 0, t % rank))
        return tree.unflatten(box[0], results)

    return wrapped


def _axes_of(axes: Any, full: Any, f: Callable[..., Any], what: str) -> list[int | None]:
    """The mapped axis of every leaf: an int or None stands for a whole subtree."""
    out = tree.broadcast_prefix(
        axes, full, where=f"vmap of {function_place(f)}", names=(what, "the tree it is for")
    )
    for a in out:
        if a is not None and (isinstance(a, bool) or not isinstance(a, int)):
            raise ArgumentError(f"vmap of {function_place(f)}: {what} holds {a!r}; axes are integers or None")
    return out


def _common_size(
    f: Any, args: tuple, kwargs: dict[str, Any], leaves: list, axes: list, axis_size: int | None
) -> int:
    sizes: dict[int, str] = {}
    for i, (x, a) in enumerate(zip(leaves, axes, strict=True)):
        if a is None:
            continue
        name = call_name(args, kwargs, i)
        if not -x.ndim <= a < x.ndim:
            raise ShapeError(
                f"vmap of {function_place(f)}: in_axes asks for axis {a} of {name}, which is {x.aval}"
            )
        sizes.setdefault(x.shape[a], f"{name} has {x.shape[a]} along axis {a} of {x.aval}")
    if len(sizes) > 1:
        raise ShapeError(
            f"vmap of {function_place(f)}: the mapped axes differ in size: "
            + "; ".join(sizes.values())
            + ". Give in_axes=None for arguments that are shared by the whole batch."
        )
    if not sizes and axis_size is None:
        raise ArgumentError(
            f"vmap of {function_place(f)}: no argument is mapped (in_axes holds only None); "
            "map one, or pass axis_size"
        )
    if sizes and axis_size is not None and axis_size not in sizes:
        raise ShapeError(
            f"vmap of {function_place(f)}: axis_size is {axis_size}, but {next(iter(sizes.values()))}"
        )
    return next(iter(sizes)) if sizes else axis_size  # type: ignore[return-value]  # one of them is there
