"""Sparse arrays by coordinates: `BCOO`, under JAX's name. The numbers that are stored, and where they stand.

>>> import fnn, fnn.numpy as fnp
>>> from fnn.experimental import sparse
>>> m = sparse.BCOO.fromdense(fnp.array([[0.0, 2.0], [3.0, 0.0]]))
>>> print(m, m @ fnp.array([1.0, 10.0]))
BCOO(float32[2, 2], nse=2) [20.  3.]
>>> print(fnn.grad(lambda data: (sparse.BCOO((data, m.indices), shape=m.shape) @ fnp.ones(2)).sum())(m.data))
[1. 1.]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fnn.numpy as fnp
from fnn import tree
from fnn.core.array import Array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError, UnsupportedError
from fnn.lazy import names as _names

with _names(globals()):
    from fnn.experimental.sparse import linalg

__all__ = ["BCOO", "bcoo_fromdense", "bcoo_todense", "empty", "eye", "linalg", "todense"]


@tree.register_pytree_node_class
class BCOO:
    """An array of which few elements are stored: data[k] stands at indices[k]; what stands at one place twice is added up.

    A pytree, so it passes through jit, grad, vmap and loops; a pair whose index lies outside of the shape counts for
    nothing, which is how a fixed number of stored elements holds fewer. JAX's batched and partly dense forms are not
    there.

    Args:
        args: (data, indices): arrays of shapes (nse,) and (nse, ndim), the latter of integers.
        shape: of the whole array.

    Raises:
        ShapeError: data, indices and shape do not fit each other.
    """

    n_batch = n_dense = 0

    def __init__(
        self,
        args: tuple[Any, Any],
        *,
        shape: Sequence[int],
        indices_sorted: bool = False,
        unique_indices: bool = False,
    ):
        data, indices = args
        self.data, self.indices = fnp.asarray(data), fnp.asarray(indices)
        self.shape = tuple(int(n) for n in shape)
        self.indices_sorted, self.unique_indices = indices_sorted, unique_indices
        wanted = (*self.data.shape, len(self.shape))
        if self.data.ndim != 1 or self.indices.shape != wanted:
            raise ShapeError(
                f"BCOO, at {describe(here())}: data of shape {self.data.shape} and indices of shape {self.indices.shape} for "
                f"an array of shape {self.shape}; they are (nse,) and (nse, {len(self.shape)})"
            )

    @classmethod
    def fromdense(
        cls,
        mat: Any,
        *,
        nse: int | None = None,
        index_dtype: Any = np.int32,
        n_dense: int = 0,
        n_batch: int = 0,
    ) -> BCOO:
        """The elements of an array that are not 0: `nse` of them, which under jit must be given."""
        if n_dense or n_batch:
            raise UnsupportedError(
                f"BCOO.fromdense, at {describe(here())}: there are no batched or partly dense sparse arrays (n_batch, "
                "n_dense); use vmap"
            )
        mat = fnp.asarray(mat)
        if not mat.ndim:  # it is stored, 0 or not
            return cls((mat[None], np.zeros((1, 0), index_dtype)), shape=())
        found = fnp.nonzero(mat) if nse is None else fnp.nonzero(mat, size=nse, fill_value=mat.shape)
        indices = fnp.stack(found, -1).astype(index_dtype)
        data = mat.at[found].get(mode="fill", fill_value=0)
        return cls((data, indices), shape=mat.shape, indices_sorted=True, unique_indices=True)

    @classmethod
    def from_scipy_sparse(
        cls, mat: Any, *, index_dtype: Any = None, n_dense: int = 0, n_batch: int = 0
    ) -> BCOO:
        """Of a matrix of scipy.sparse."""
        if n_dense or n_batch:
            raise UnsupportedError(
                f"BCOO.from_scipy_sparse, at {describe(here())}: n_dense and n_batch are 0"
            )
        mat = mat.tocoo()
        return cls(
            (mat.data, np.stack([mat.row, mat.col], -1).astype(index_dtype or np.int32)), shape=mat.shape
        )

    @classmethod
    def tree_unflatten(cls, static: tuple, children: Sequence[Any]) -> BCOO:
        made = object.__new__(cls)
        made.data, made.indices = children
        made.shape, made.indices_sorted, made.unique_indices = static
        return made

    def tree_flatten(self) -> tuple[tuple[Any, Any], tuple]:
        return (self.data, self.indices), (self.shape, self.indices_sorted, self.unique_indices)

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nse(self) -> int:
        """How many elements are stored."""
        return self.data.shape[0]

    @property
    def n_sparse(self) -> int:
        return self.ndim

    @property
    def T(self) -> BCOO:  # the field's name
        return self.transpose()

    def _places(self) -> tuple[Any, ...]:
        return tuple(self.indices[:, k] for k in range(self.ndim))

    def _with(self, data: Any) -> BCOO:
        kept = {"indices_sorted": self.indices_sorted, "unique_indices": self.unique_indices}
        return BCOO((data, self.indices), shape=self.shape, **kept)

    def todense(self) -> Array:
        """The whole array."""
        zeros = fnp.zeros(self.shape, self.dtype)
        return zeros.at[self._places()].add(self.data, mode="drop") if self.ndim else zeros + self.data.sum()

    def transpose(self, axes: Sequence[int] | None = None) -> BCOO:
        """With its axes in another order: reversed, if none is given."""
        order = tuple(range(self.ndim))[::-1] if axes is None else tuple(a % self.ndim for a in axes)
        if sorted(order) != list(range(self.ndim)):
            raise ArgumentError(
                f"BCOO.transpose, at {describe(here())}: {axes} is no order of {self.ndim} axes"
            )
        shape = tuple(self.shape[a] for a in order)
        return BCOO((self.data, self.indices[:, np.array(order, int)]), shape=shape)

    def sum_duplicates(self, nse: int | None = None, remove_zeros: bool = True) -> BCOO:
        """Each place stored once, in order: `nse` places, which under jit must be given."""
        return BCOO.fromdense(self.todense(), nse=nse)

    def sort_indices(self) -> BCOO:
        """The same, ordered by place."""
        order = fnp.lexsort(self._places()[::-1])
        return BCOO((self.data[order], self.indices[order]), shape=self.shape, indices_sorted=True)

    def astype(self, dtype: Any) -> BCOO:
        return self._with(self.data.astype(dtype))

    def sum(self, axis: Any = None) -> Any:
        """The sum over an axis, several, or all; the result is dense."""
        return self.todense().sum(axis)

    def block_until_ready(self) -> BCOO:
        return self

    def _matmul(self, other: Any) -> Any:
        """self @ other, for an operand with one or two axes on either side."""
        if isinstance(other, BCOO):
            return BCOO.fromdense(self._matmul(other.todense()))
        other = fnp.asarray(other)
        if self.ndim not in (1, 2) or other.ndim not in (1, 2) or self.shape[-1] != other.shape[0]:
            raise ShapeError(
                f"@, at {describe(here())}: a sparse array of shape {self.shape} and one of shape {other.shape}; vectors and "
                "matrices are multiplied, along axes of one size"
            )
        rows = other.at[self.indices[:, -1]].get(mode="fill", fill_value=0)
        terms = self.data.reshape(-1, *[1] * (other.ndim - 1)) * rows
        inside = fnp.all(self.indices < np.array(self.shape, self.indices.dtype), axis=1)
        terms = fnp.where(inside.reshape(-1, *[1] * (other.ndim - 1)), terms, 0)
        if self.ndim == 1:
            return terms.sum(0)
        zeros = fnp.zeros((self.shape[0], *other.shape[1:]), terms.dtype)
        return zeros.at[self.indices[:, 0]].add(terms, mode="drop")

    def __matmul__(self, other: Any) -> Any:
        return self._matmul(other)

    def __rmatmul__(self, other: Any) -> Any:
        other = fnp.asarray(other)
        return self.T._matmul(other.T).T

    def __mul__(self, other: Any) -> BCOO:
        """Times a number, or a dense array of the same shape, where something is stored."""
        other = fnp.asarray(other)
        if other.ndim and other.shape != self.shape:
            raise ShapeError(f"*, at {describe(here())}: shapes {self.shape} and {other.shape} differ")
        at = other.at[self._places()].get(mode="fill", fill_value=0) if other.ndim else other
        return self._with(self.data * at)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> BCOO:
        return self * (1 / fnp.asarray(other))

    def __neg__(self) -> BCOO:
        return self._with(-self.data)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, BCOO) and other.shape == self.shape:
            pairs = ((self.data, other.data), (self.indices, other.indices))
            data, indices = (fnp.concatenate(p) for p in pairs)
            return BCOO((data, indices), shape=self.shape)
        return self.todense() + (other.todense() if isinstance(other, BCOO) else other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self + (-other)

    def __rsub__(self, other: Any) -> Any:
        return (-self) + other

    def __repr__(self) -> str:
        return f"BCOO({fnp.dtype(self.dtype).name}{list(self.shape)}, nse={self.nse})"

    __array_priority__ = 100  # NumPy's arrays leave @ and * to it


def bcoo_fromdense(mat: Any, **options: Any) -> BCOO:
    """`BCOO.fromdense`."""
    return BCOO.fromdense(mat, **options)


def todense(x: Any) -> Array:
    """A sparse array as a dense one; a dense one as it is."""
    return x.todense() if isinstance(x, BCOO) else fnp.asarray(x)


bcoo_todense: Callable[[Any], Array] = todense


def empty(shape: Sequence[int], dtype: Any = None, index_dtype: Any = np.int32, **_: Any) -> BCOO:
    """A sparse array with nothing stored."""
    indices = fnp.zeros((0, len(tuple(shape))), index_dtype)
    return BCOO(
        (fnp.zeros(0, dtype or float), indices), shape=shape, indices_sorted=True, unique_indices=True
    )


def eye(
    N: int, M: int | None = None, k: int = 0, dtype: Any = None, index_dtype: Any = np.int32, **_: Any
) -> BCOO:
    """Ones on the diagonal k places above the main one.

    >>> print(eye(3, k=1).todense()[0])
    [0. 1. 0.]
    """
    M = N if M is None else M
    rows = np.arange(max(0, -k), max(max(0, -k), min(N, M - k)))
    indices = np.stack([rows, rows + k], -1).astype(index_dtype)
    return BCOO(
        (fnp.ones(len(rows), dtype or float), indices), shape=(N, M), indices_sorted=True, unique_indices=True
    )
