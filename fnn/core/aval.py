"""Abstract values: what is known of an array without its numbers."""

from __future__ import annotations

import importlib
import math
from typing import Any, ClassVar

import numpy as np

from fnn import dtypes

Shape = tuple[int, ...]


class Aval:
    """Shape, dtype and weak type. Interned: equal avals are one object, so they compare by identity.

    A weak type is that of a Python number: it yields to the type of whatever it meets.

    >>> Aval((2, 3), np.dtype("float32"))
    f32[2,3]
    >>> Aval((2, 3), np.dtype("float32")) is Aval((2, 3), np.dtype("float32"))
    True
    """

    __slots__ = ("shape", "dtype", "weak_type", "is_float", "is_inexact", "size")
    _interned: ClassVar[dict[tuple, Aval]] = {}

    shape: Shape
    dtype: np.dtype
    weak_type: bool
    is_float: bool  # real floating
    is_inexact: bool  # floating or complex: it has derivatives
    size: int

    def __new__(cls, shape: Shape, dtype: np.dtype, weak_type: bool = False) -> Aval:
        key = (shape, dtype, weak_type)
        self = cls._interned.get(key)
        if self is None:
            exact = tuple(map(int, shape)), np.dtype(dtype), bool(weak_type)
            self = object.__new__(cls)
            self.shape, self.dtype, self.weak_type = exact
            self.is_float = dtypes.is_float(exact[1])
            self.is_inexact = dtypes.is_inexact(exact[1])
            self.size = math.prod(exact[0])
            self = cls._interned.setdefault(exact, self)
            cls._interned[key] = self
        return self

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def sharding(self) -> Any:
        """How such arrays lie on devices: on the one there is, no axis split."""
        return importlib.import_module("fnn.sharding").unsplit(self.ndim)

    def update(
        self, shape: Shape | None = None, dtype: np.dtype | None = None, weak_type: bool | None = None
    ) -> Aval:
        """The same but for what is given."""
        return Aval(
            self.shape if shape is None else shape,
            self.dtype if dtype is None else np.dtype(dtype),
            self.weak_type if weak_type is None else weak_type,
        )

    def strong(self) -> Aval:
        return self.update(weak_type=False) if self.weak_type else self

    def __reduce__(self) -> tuple:
        return Aval, (self.shape, self.dtype, self.weak_type)

    def __repr__(self) -> str:
        return f"{dtypes.short_name(self.dtype)}[{','.join(map(str, self.shape))}]" + (
            "*" if self.weak_type else ""
        )


def same_type(a: Aval, b: Aval) -> bool:
    """Equal shape and dtype, whatever the weak types."""
    return a.shape == b.shape and a.dtype == b.dtype
