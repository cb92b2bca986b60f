"""Collectives over an axis that an enclosing vmap names."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn import tree
from fnn.core.array import Array, as_array
from fnn.core.aval import Aval
from fnn.core.primitive import Primitive, not_differentiable, unsupported
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of, state
from fnn.errors import ArgumentError, AxisNameError, ShapeError, UnsupportedError
from fnn.primitives.rules import lift, moveaxis
from fnn.transforms.batching import Batch

AxisName = Hashable | tuple[Hashable, ...]


def axis_trace(name: Hashable) -> Batch:
    """The vmap that binds an axis name; AxisNameError where there is none."""
    try:
        return state.axes[name]  # type: ignore[return-value]  # only Batch binds names
    except (KeyError, TypeError):
        bound = ", ".join(map(repr, state.axes)) or "none"
        raise AxisNameError(
            f"axis name {name!r} is not bound by an enclosing vmap, at {describe(here())}; bound here: {bound}. "
            f"Write vmap(f, axis_name={name!r})."
        ) from None


def _floor(params: dict[str, Any]) -> Batch:
    return axis_trace(params["axis_name"])


def _never(*args: Any, axis_name: Hashable, **params: Any) -> Any:
    raise AxisNameError(f"a collective over {axis_name!r} ran outside of the vmap that binds the name")


_LOWER = unsupported("collectives disappear when the vmap that binds their axis is applied")


def _collective(
    name: str,
    over_batch: Callable[..., Any],
    of_constant: Callable[..., Any],
    shape: Any = None,
    **rules: Any,
):
    """A collective of one operand. over_batch(x, params) -> (out, flag) where x carries the batch on axis
    0; of_constant(x, size, params) -> out where every instance holds the same x. samples come from the
    tests of vmap."""

    def batch(frame: Batch, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> Any:
        if params["axis_name"] != frame.name:
            return rebatch(frame, args[0], params)
        if flags[0]:
            return over_batch(args[0], frame, params)
        return of_constant(args[0], frame, params)

    def rebatch(frame: Batch, x: Any, params: dict[str, Any]) -> Any:
        moved = {k: v + 1 if k in ("axis", "split_axis", "concat_axis") else v for k, v in params.items()}
        return prim(x, **moved), True

    prim = Primitive(
        name,
        shape=shape or (lambda x, **_: x),
        evaluate=_never,
        floor=_floor,
        batch=batch,
        lower=_LOWER,
        samples=(),
        **rules,
    )
    return prim


def _sum_batch(x: Any, frame: Batch, params: dict[str, Any]) -> Any:
    return P.reduce_sum(x, axes=(0,)), False


def _scaled(x: Any, frame: Batch, params: dict[str, Any]) -> Any:
    size = np.asarray(frame.size, aval_of(x).dtype)
    return P.mul(x, size), False


psum_p = _collective(
    "psum",
    _sum_batch,
    _scaled,
    jvp=lambda primals, tangents, p: (
        psum_p(*primals, **p),
        None if tangents[0] is None else psum_p(*tangents, **p),
    ),
    vjp=lambda needs, args, p: (psum_p(*args, **p), lambda ct: [psum_p(ct, **p)]),
)


def _extremum(name: str, reduce: Callable[..., Any]) -> Primitive:
    def winners(x: Any, out: Any, params: dict[str, Any]) -> Any:
        mask = P.convert(P.eq(x, out), dtype=aval_of(x).dtype)
        return P.div(mask, psum_p(mask, **params))

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> Any:
        out = prim(*primals, **params)
        return out, psum_p(P.mul(tangents[0], winners(primals[0], out, params)), **params)

    def vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> Any:
        out = prim(*args, **params)
        return out, lambda ct: [P.mul(psum_p(ct, **params), winners(args[0], out, params))]

    prim = _collective(
        name,
        lambda x, frame, p: (reduce(x, axes=(0,)), False),
        lambda x, frame, p: (x, False),
        jvp=jvp,
        vjp=vjp,
    )
    return prim


pmax_p = _extremum("pmax", P.reduce_max)
pmin_p = _extremum("pmin", P.reduce_min)


def _gather_shape(x: Aval, axis_name: Hashable, axis: int, size: int) -> Aval:
    return x.update(shape=(*x.shape[:axis], size, *x.shape[axis:]))


def _gather_vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    """Every instance receives this one's x at the place of its index: the cotangents there add up."""

    def pull(ct: Any) -> list[Any]:
        total = psum_p(ct, axis_name=p["axis_name"])
        index = axis_index_p(axis_name=p["axis_name"])
        starts = [np.int32(0)] * len(shape_of(total))
        starts[p["axis"]] = index
        sizes = list(shape_of(total))
        sizes[p["axis"]] = 1
        piece = P.dynamic_slice(total, *starts, sizes=tuple(sizes))
        return [P.reshape(piece, shape=tuple(n for d, n in enumerate(sizes) if d != p["axis"]))]

    return all_gather_p(*args, **p), pull


all_gather_p = _collective(
    "all_gather",
    lambda x, frame, p: (moveaxis(x, 0, p["axis"]), False),
    lambda x, frame, p: (moveaxis(lift(frame.size, x, False), 0, p["axis"]), False),
    shape=_gather_shape,
    jvp=lambda primals, tangents, p: (all_gather_p(*primals, **p), all_gather_p(*tangents, **p)),
    vjp=_gather_vjp,
)


def _exchange_shape(x: Aval, axis_name: Hashable, split_axis: int, concat_axis: int) -> Aval:
    rest = [n for d, n in enumerate(x.shape) if d != split_axis]
    return x.update(shape=(*rest[:concat_axis], x.shape[split_axis], *rest[concat_axis:]))


def _exchange_batch(x: Any, frame: Batch, p: dict[str, Any]) -> Any:
    """The batch axis and the split one change their roles; the old batch axis goes where pieces are put together."""
    split, concat = p["split_axis"] + 1, p["concat_axis"] + 1
    perm = list(range(len(shape_of(x))))
    perm[0], perm[split] = perm[split], perm[0]
    pieces = perm.pop(split)
    perm.insert(concat, pieces)
    return P.transpose(x, perm=tuple(perm)), True


all_to_all_p = _collective(
    "all_to_all",
    _exchange_batch,
    lambda x, frame, p: _exchange_batch(lift(frame.size, x, False), frame, p),
    shape=_exchange_shape,
    jvp=lambda primals, tangents, p: (all_to_all_p(*primals, **p), all_to_all_p(*tangents, **p)),
    vjp=lambda needs, args, p: (
        all_to_all_p(*args, **p),
        lambda ct: [
            all_to_all_p(ct, **(p | {"split_axis": p["concat_axis"], "concat_axis": p["split_axis"]}))
        ],
    ),
)


def _permute_batch(x: Any, frame: Batch, p: dict[str, Any]) -> Any:
    sources = np.full(frame.size, -1)
    for source, target in p["permutation"]:
        sources[target] = source
    rows = [
        P.zeros(aval_of(x).update(shape=(1, *shape_of(x)[1:])))
        if s < 0
        else P.slice(
            x,
            start=(s,) + (0,) * (len(shape_of(x)) - 1),
            limit=(s + 1, *shape_of(x)[1:]),
            step=(1,) * len(shape_of(x)),
        )
        for s in map(int, sources)
    ]
    return P.concatenate(*rows, axis=0), True


ppermute_p = _collective(
    "ppermute",
    _permute_batch,
    lambda x, frame, p: _permute_batch(lift(frame.size, x, False), frame, p),
    jvp=lambda primals, tangents, p: (ppermute_p(*primals, **p), ppermute_p(*tangents, **p)),
    vjp=lambda needs, args, p: (
        ppermute_p(*args, **p),
        lambda ct: [
            ppermute_p(ct, axis_name=p["axis_name"], permutation=tuple((b, a) for a, b in p["permutation"]))
        ],
    ),
)

_no_derivative = not_differentiable("axis_index is an integer and has no derivative")
axis_index_p = Primitive(
    "axis_index",
    shape=lambda axis_name: Aval((), np.dtype("int32")),
    evaluate=_never,
    floor=_floor,
    lower=_LOWER,
    jvp=_no_derivative[0],
    vjp=_no_derivative[1],
    batch=lambda frame, flags, args, p: (
        P.iota(dtype=np.dtype("int32"), shape=(frame.size,), dimension=0),
        True,
    ),
)


# -- what people call ----------------------------------------------------------------------------------------


def _over(axis_name: AxisName, one: Callable[[Any, Hashable], Any], x: Any) -> Any:
    names = axis_name if isinstance(axis_name, tuple) else (axis_name,)

    def every(leaf: Any) -> Array:
        for name in names:
            axis_trace(name)
            leaf = one(leaf, name)
        return leaf

    return tree.map(every, x)


def axis_size(axis_name: AxisName) -> int:
    """The number of instances along a named axis."""
    if isinstance(axis_name, tuple):
        return int(np.prod([axis_trace(n).size for n in axis_name]))
    return axis_trace(axis_name).size


def psum(x: Any, axis_name: AxisName, *, axis_index_groups: None = None) -> Any:
    """The sum of x, a pytree, over a named axis; psum(1, name) is the axis's size.

    >>> import fnn, fnn.numpy as fnp
    >>> print(fnn.vmap(lambda x: x / fnn.lax.psum(x, "batch"), axis_name="batch")(fnp.array([1.0, 3.0])))
    [0.25 0.75]
    """
    _no_groups("psum", axis_index_groups)
    if type(x) in (int, float):
        return x * axis_size(axis_name)
    return _over(axis_name, lambda leaf, name: psum_p(_number(as_array(leaf)), axis_name=name), x)


def _number(x: Any) -> Any:
    """Booleans are counted as int32."""
    return P.convert(x, dtype=np.dtype("int32")) if aval_of(x).dtype.kind == "b" else x


def pmean(x: Any, axis_name: AxisName, *, axis_index_groups: None = None) -> Any:
    """The mean of x over a named axis."""
    _no_groups("pmean", axis_index_groups)

    def one(leaf: Any, name: Hashable) -> Any:
        leaf = _number(as_array(leaf))
        if not leaf.aval.is_inexact:
            leaf = P.convert(leaf, dtype=np.dtype("float32"))
        return P.mul(psum_p(leaf, axis_name=name), 1.0 / axis_size(name))

    return _over(axis_name, one, x)


def pmax(x: Any, axis_name: AxisName, *, axis_index_groups: None = None) -> Any:
    """The maximum of x over a named axis."""
    _no_groups("pmax", axis_index_groups)
    return _over(axis_name, lambda leaf, name: pmax_p(as_array(leaf), axis_name=name), x)


def pmin(x: Any, axis_name: AxisName, *, axis_index_groups: None = None) -> Any:
    """The minimum of x over a named axis."""
    _no_groups("pmin", axis_index_groups)
    return _over(axis_name, lambda leaf, name: pmin_p(as_array(leaf), axis_name=name), x)


def all_gather(
    x: Any, axis_name: Hashable, *, axis_index_groups: None = None, axis: int = 0, tiled: bool = False
) -> Any:
    """x of every instance, stacked along a new axis, or joined along it where tiled."""
    _no_groups("all_gather", axis_index_groups)
    size = axis_size(axis_name)

    def one(leaf: Any) -> Any:
        leaf = as_array(leaf)
        rank = leaf.ndim + (not tiled)
        if not -rank <= axis < rank:
            raise ShapeError(f"all_gather: axis {axis} for {leaf.aval}, at {describe(here())}")
        place = axis % rank
        out = all_gather_p(leaf, axis_name=axis_name, axis=place, size=size)
        shape = leaf.shape
        return (
            P.reshape(out, shape=(*shape[:place], size * shape[place], *shape[place + 1 :])) if tiled else out
        )

    return tree.map(one, x)


def all_to_all(
    x: Any,
    axis_name: Hashable,
    split_axis: int,
    concat_axis: int,
    *,
    axis_index_groups: None = None,
    tiled: bool = False,
) -> Any:
    """Each instance sends the i-th piece of x along split_axis to instance i, and puts what it receives together along
    concat_axis, in the order of the senders.

    split_axis has as many elements as there are instances and disappears, concat_axis is a new one; where `tiled` the one is
    cut into that many pieces and the other grows. Raises ShapeError where its size does not allow that.

    >>> import fnn, fnn.numpy as fnp
    >>> print(fnn.vmap(lambda x: fnn.lax.all_to_all(x, "i", 0, 0), axis_name="i")(fnp.array([[1, 2], [3, 4]])))
    [[1 3]
     [2 4]]
    """
    _no_groups("all_to_all", axis_index_groups)
    size = axis_size(axis_name)

    def one(leaf: Any) -> Any:
        leaf = as_array(leaf)
        split, concat = (axis % max(leaf.ndim, 1) for axis in (split_axis, concat_axis))
        shape = leaf.shape
        if not leaf.ndim or (shape[split] % size if tiled else shape[split] != size):
            raise ShapeError(
                f"all_to_all: axis {split_axis} of {leaf.aval} for {size} instances, at {describe(here())}; its size must be "
                f"{'a multiple of' if tiled else 'equal to'} that"
            )
        if not tiled:
            return all_to_all_p(leaf, axis_name=axis_name, split_axis=split, concat_axis=concat)
        pieces = P.reshape(leaf, shape=(*shape[:split], size, shape[split] // size, *shape[split + 1 :]))
        out = all_to_all_p(pieces, axis_name=axis_name, split_axis=split, concat_axis=concat)
        whole = list(shape)
        whole[split] //= size
        whole[concat] *= size
        return P.reshape(out, shape=tuple(whole))

    return tree.map(one, x)


def pswapaxes(x: Any, axis_name: Hashable, axis: int, *, axis_index_groups: None = None) -> Any:
    """The named axis and an axis of x exchanged: `all_to_all` along it."""
    return all_to_all(x, axis_name, axis, axis, axis_index_groups=axis_index_groups)


def psum_scatter(
    x: Any,
    axis_name: Hashable,
    *,
    scatter_dimension: int = 0,
    axis_index_groups: None = None,
    tiled: bool = False,
) -> Any:
    """The sum over a named axis, of which each instance keeps its own piece along scatter_dimension.

    That axis has as many elements as there are instances and disappears; where `tiled` it is cut into that many pieces."""
    _no_groups("psum_scatter", axis_index_groups)
    size = axis_size(axis_name)

    def one(leaf: Any) -> Any:
        leaf = _number(as_array(leaf))
        axis = scatter_dimension % max(leaf.ndim, 1)
        if tiled and leaf.ndim and leaf.shape[axis] % size == 0:
            leaf = P.reshape(
                leaf, shape=(*leaf.shape[:axis], size, leaf.shape[axis] // size, *leaf.shape[axis + 1 :])
            )
        return P.reduce_sum(all_to_all(leaf, axis_name, axis, 0), axes=(0,))

    return tree.map(one, x)


def pbroadcast(x: Any, axis_name: Hashable, source: int) -> Any:
    """x of the instance `source`, for all."""
    size = axis_size(axis_name)
    if not 0 <= source < size:
        raise ArgumentError(f"pbroadcast: there is no instance {source} among {size}, at {describe(here())}")

    def one(leaf: Any) -> Any:
        leaf = as_array(leaf)
        every = all_gather_p(leaf, axis_name=axis_name, axis=0, size=size)
        mine = P.slice(
            every,
            start=(source,) + (0,) * leaf.ndim,
            limit=(source + 1, *leaf.shape),
            step=(1,) * (leaf.ndim + 1),
        )
        return P.reshape(mine, shape=leaf.shape)

    return tree.map(one, x)


def pcast(x: Any, axis_name: AxisName, *, to: str) -> Any:
    """x itself: fnn does not tell values that vary along a named axis from others by their types."""
    for name in axis_name if isinstance(axis_name, tuple) else (axis_name,):
        axis_trace(name)
    return tree.map(as_array, x)


def _no_groups(name: str, groups: Any) -> None:
    if groups is not None:
        raise UnsupportedError(
            f"{name}: axis_index_groups are not supported, at {describe(here())}; nest two vmaps"
        )


def ppermute(x: Any, axis_name: Hashable, perm: Sequence[tuple[int, int]]) -> Any:
    """x sent along (source, target) pairs of instances; who receives nothing gets zeros."""
    pairs = tuple((int(a), int(b)) for a, b in perm)
    size = axis_size(axis_name)
    for ends in zip(*pairs, strict=True):
        if len(set(ends)) != len(ends) or not all(0 <= e < size for e in ends):
            raise ArgumentError(
                f"ppermute: {perm} must name each source and each target at most once, from 0 to {size - 1}"
            )
    return tree.map(lambda leaf: ppermute_p(as_array(leaf), axis_name=axis_name, permutation=pairs), x)


def pshuffle(x: Any, axis_name: Hashable, perm: Sequence[int]) -> Any:
    """x of instance perm[i] at instance i."""
    return ppermute(x, axis_name, [(source, target) for target, source in enumerate(perm)])


def axis_index(axis_name: AxisName) -> Any:
    """This instance's position along a named axis, an int32."""
    if isinstance(axis_name, tuple):
        index: Any = np.int32(0)
        for name in axis_name:
            index = P.add(P.mul(index, np.int32(axis_size(name))), axis_index(name))
        return index
    axis_trace(axis_name)
    return axis_index_p(axis_name=axis_name)
