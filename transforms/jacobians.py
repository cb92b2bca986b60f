"""Whole derivative matrices, by mapping jvp or vjp over a basis."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes, tree
from fnn import primitives as P
from fnn.core.array import Array, from_numpy
from fnn.core.source import function_place
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError, DifferentiationError
from fnn.transforms.batching import vmap
from fnn.transforms.differentiate import argument_numbers, jvp, vjp
from fnn.transforms.flattening import chosen_name, flatten_arguments


def _basis(leaves: list[Any]) -> list[Array]:
    """For every leaf the rows of the identity that fall on it: shape (total, *leaf.shape), of the leaf's type."""
    total, at, out = sum(x.aval.size for x in leaves), 0, []
    for x in leaves:
        rows = np.zeros((total, x.aval.size), x.aval.dtype)
        rows[at : at + x.aval.size] = np.eye(x.aval.size, dtype=x.aval.dtype)
        row = from_numpy(rows.reshape(total, *x.aval.shape), x.aval.dtype, copy=False)
        out.append(P.convert(row, dtype=x.aval.dtype, weak=True) if x.aval.weak_type else row)
        at += x.aval.size
    return out


def _visible(derivative: Any) -> Any:
    """Derivatives of dtype float0 as booleans, which vmap knows; `_cut` makes them float0 again."""
    return tree.map(lambda t: np.zeros(t.shape, bool) if t.dtype == dtypes.float0 else t, derivative)


def _cut(x: Any, leaves: list[Any], axis: int) -> list[Any]:
    """x, whose `axis` runs over the elements of all leaves, cut into one piece a leaf with the leaf's axes
    there."""
    pieces, at = [], 0
    shape = x.shape
    for leaf in leaves:
        n = leaf.aval.size
        lo, hi = [0] * len(shape), list(shape)
        lo[axis], hi[axis] = at, at + n
        piece = P.slice(x, start=tuple(lo), limit=tuple(hi), step=(1,) * len(shape))
        whole = (*shape[:axis], *leaf.aval.shape, *shape[axis + 1 :])
        pieces.append(
            np.zeros(whole, dtypes.float0) if dtypes.is_bool(x.dtype) else P.reshape(piece, shape=whole)
        )
        at += n
    return pieces


def _chosen(
    f: Callable[..., Any],
    args: tuple,
    argnums: int | Sequence[int],
    what: str,
    holomorphic: bool,
    allow_int: bool = False,
) -> tuple[tuple, Callable, Any, Any]:
    numbers, single = argument_numbers(what, argnums)
    for i in numbers:
        if not -len(args) <= i < len(args):
            raise ArgumentError(
                f"{what} of {function_place(f)}: argnums has {i}, but the call has {len(args)} argument(s)"
            )
    places = [i % len(args) for i in numbers]
    chosen = args[places[0]] if single else tuple(args[i] for i in places)
    picked = (chosen,) if single else chosen
    leaves, structure = flatten_arguments(what, chosen, lambda i: chosen_name(picked, places, i))
    for i, x in enumerate(leaves):
        allowed = dtypes.is_complex(x.aval.dtype) if holomorphic else x.aval.is_float
        if allow_int and not x.aval.is_inexact:
            continue
        if not allowed and not (what == "jacrev" and x.aval.is_inexact and not holomorphic):
            kind = "complex" if holomorphic else "real floating-point"
            hint = "; holomorphic=True takes complex ones" if x.aval.is_inexact and not holomorphic else ""
            raise DifferentiationError(
                f"{what} of {function_place(f)} needs {kind} arguments, but "
                f"{chosen_name(picked, places, i)} is {x.aval}{hint}"
            )

    def partial(part: Any) -> Any:
        full = list(args)
        for i, value in zip(places, (part,) if single else part, strict=True):
            full[i] = value
        return full

    return chosen, partial, leaves, structure


def _check_results(f: Callable[..., Any], what: str, outs: Sequence[Any], holomorphic: bool) -> None:
    for x in outs:
        if dtypes.is_complex(x.aval.dtype) if holomorphic else x.aval.is_float:
            continue
        kind = "complex" if holomorphic else "real floating-point"
        hint = (
            "; pass holomorphic=True for a complex derivative"
            if x.aval.is_inexact and not holomorphic
            else ""
        )
        raise DifferentiationError(f"{what} of {function_place(f)} needs {kind} results, not {x.aval}{hint}")


def jacfwd(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
):
    """The Jacobian of f in the arguments numbered by argnums, by forward mode, one column at a time
    (vectorised).

    The result has f's output structure; each of its leaves holds the arguments' structure, with arrays of
    shape (*output.shape, *argument.shape). Best where there are more outputs than inputs. With holomorphic,
    arguments and results are complex and so are the derivatives.

    >>> import fnn, fnn.numpy as fnp
    >>> print(fnn.jacfwd(lambda x: x * x)(fnp.array([1.0, 2.0])))
    [[2. 0.]
    [0. 4.]]
    """

    @functools.wraps(fun)
    @filtered
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen, partial, leaves, structure = _chosen(fun, args, argnums, "jacfwd", holomorphic)

        def column(*rows: Any) -> Any:
            _, tangent, *aux = jvp(
                lambda part: fun(*partial(part), **kwargs),
                (chosen,),
                (tree.unflatten(structure, rows),),
                has_aux,
            )
            return (_visible(tangent), *aux)

        found = vmap(column, out_axes=(-1, None) if has_aux else -1)(*_basis(leaves))
        if holomorphic:
            _check_results(fun, "jacfwd", tree.leaves(found[0]), holomorphic)
        jacobian = tree.map(lambda y: tree.unflatten(structure, _cut(y, leaves, y.ndim - 1)), found[0])
        return (jacobian, found[1]) if has_aux else jacobian

    return wrapped


def jacrev(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
):
    """The Jacobian of f in the arguments numbered by argnums, by reverse mode, one row at a time
    (vectorised).

    Shapes as for jacfwd. Best where there are more inputs than outputs.

    >>> import fnn, fnn.numpy as fnp
    >>> print(fnn.jacrev(fnp.sum)(fnp.array([1.0, 2.0])))
    [1. 1.]
    """

    @functools.wraps(fun)
    @filtered
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen, partial, _, _ = _chosen(fun, args, argnums, "jacrev", holomorphic, allow_int)
        out, pull, *aux = vjp(lambda part: fun(*partial(part), **kwargs), chosen, has_aux=has_aux)
        outs, out_structure = flatten_arguments("jacrev", out)
        _check_results(fun, "jacrev", outs, holomorphic)
        rows = vmap(lambda *cts: _visible(pull(tree.unflatten(out_structure, cts))[0]))(*_basis(outs))
        cut = tree.map(lambda r: _Pieces(_cut(r, outs, 0)), rows)
        pieces, structure = tree.flatten(cut)
        jacobian = tree.unflatten(
            out_structure,
            [tree.unflatten(structure, [p.pieces[i] for p in pieces]) for i in range(len(outs))],
        )
        return (jacobian, aux[0]) if has_aux else jacobian

    return wrapped


class _Pieces:
    """A leaf that holds one array per output."""

    __slots__ = ("pieces",)

    def __init__(self, pieces: list[Any]):
        self.pieces = pieces


def hessian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
):
    """Second derivatives of f: jacfwd of jacrev.

    >>> import fnn, fnn.numpy as fnp
    >>> print(fnn.hessian(lambda x: fnp.sum(x ** 3))(fnp.array([1.0, 2.0])))
    [[ 6.  0.]
     [ 0. 12.]]
    """
    return jacfwd(jacrev(fun, argnums, has_aux, holomorphic), argnums, has_aux, holomorphic)
