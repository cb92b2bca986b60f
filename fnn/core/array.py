"""Arrays: the type people hold. `Array` is what concrete arrays and traced ones have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fnn import dtypes
from fnn.config import config
from fnn.core.aval import Aval, Shape
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, DonatedError


class Array:
    """An immutable n-dimensional array: `fnn.Array`.

    Concrete arrays hold numbers; inside a transformation the same operations meet traced arrays, which
    hold none. `isinstance(x, fnn.Array)` is true of both. Operators and methods are installed by
    `fnn.array`."""

    __slots__ = ()
    __array_priority__ = 100  # NumPy arrays give way to our operators; its functions take ours

    aval: Aval

    @property
    def shape(self) -> Shape:
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype:
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        return len(self.aval.shape)

    @property
    def size(self) -> int:
        return self.aval.size

    @property
    def weak_type(self) -> bool:
        return self.aval.weak_type

    @property
    def itemsize(self) -> int:
        return self.aval.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.aval.nbytes

    def __len__(self) -> int:
        if not self.aval.shape:
            raise ArgumentError(f"len() of an array with no axes, at {describe(here())}; its shape is ()")
        return self.aval.shape[0]

    __hash__: Any = None

    if TYPE_CHECKING:  # what fnn.array installs, for type checkers

        def __getattr__(self, name: str) -> Any: ...
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray: ...
        def __getitem__(self, key: Any) -> Array: ...
        def __iter__(self) -> Iterator[Array]: ...
        def __bool__(self) -> bool: ...
        def __int__(self) -> int: ...
        def __float__(self) -> float: ...
        def __complex__(self) -> complex: ...
        def __index__(self) -> int: ...
        def __add__(self, other: Any) -> Array: ...
        def __radd__(self, other: Any) -> Array: ...
        def __sub__(self, other: Any) -> Array: ...
        def __rsub__(self, other: Any) -> Array: ...
        def __mul__(self, other: Any) -> Array: ...
        def __rmul__(self, other: Any) -> Array: ...
        def __truediv__(self, other: Any) -> Array: ...
        def __rtruediv__(self, other: Any) -> Array: ...
        def __floordiv__(self, other: Any) -> Array: ...
        def __rfloordiv__(self, other: Any) -> Array: ...
        def __mod__(self, other: Any) -> Array: ...
        def __rmod__(self, other: Any) -> Array: ...
        def __pow__(self, other: Any) -> Array: ...
        def __rpow__(self, other: Any) -> Array: ...
        def __matmul__(self, other: Any) -> Array: ...
        def __rmatmul__(self, other: Any) -> Array: ...
        def __and__(self, other: Any) -> Array: ...
        def __rand__(self, other: Any) -> Array: ...
        def __or__(self, other: Any) -> Array: ...
        def __ror__(self, other: Any) -> Array: ...
        def __xor__(self, other: Any) -> Array: ...
        def __rxor__(self, other: Any) -> Array: ...
        def __lshift__(self, other: Any) -> Array: ...
        def __rlshift__(self, other: Any) -> Array: ...
        def __rshift__(self, other: Any) -> Array: ...
        def __rrshift__(self, other: Any) -> Array: ...
        def __lt__(self, other: Any) -> Array: ...
        def __le__(self, other: Any) -> Array: ...
        def __gt__(self, other: Any) -> Array: ...
        def __ge__(self, other: Any) -> Array: ...
        def __neg__(self) -> Array: ...
        def __pos__(self) -> Array: ...
        def __invert__(self) -> Array: ...
        def __abs__(self) -> Array: ...


class ConcreteArray(Array):
    """An array with numbers. `value` is a NumPy array that nobody may write to; None once the array was
    donated."""

    __slots__ = ("_value", "aval", "__weakref__")

    def __init__(self, value: np.ndarray, aval: Aval):
        self._value: np.ndarray | None = value
        self.aval = aval

    @property
    def value(self) -> np.ndarray:
        if self._value is None:
            raise DonatedError(
                f"this {self.aval} was donated to a compiled function (donate_argnums) and its memory is gone; it was used "
                f"again at {describe(here())}. Use the function's result, or do not donate the argument."
            )
        return self._value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        value = self.value
        if dtype is not None and np.dtype(dtype) != value.dtype:
            if copy is False:
                raise ValueError(f"converting {self.aval} to {np.dtype(dtype)} needs a copy")
            return value.astype(dtype)
        if copy:
            return value.copy()
        view = value.view()
        view.flags.writeable = False
        return view

    def __reduce__(self) -> tuple:
        return _restore, (np.asarray(self), self.aval.weak_type)


def _restore(value: np.ndarray, weak_type: bool) -> ConcreteArray:
    return ConcreteArray(value, Aval(value.shape, value.dtype, weak_type))


def scalar_aval(cls: type) -> Aval:
    """The type of a Python number: weak, 32 bits wide unless 64-bit types are enabled."""
    return (_SCALARS_64 if config.enable_x64 else _SCALARS_32)[cls]


_SCALARS_32 = {
    bool: Aval((), np.dtype("bool")),
    int: Aval((), np.dtype("int32"), True),
    float: Aval((), np.dtype("float32"), True),
    complex: Aval((), np.dtype("complex64"), True),
}
_SCALARS_64 = {
    bool: Aval((), np.dtype("bool")),
    int: Aval((), np.dtype("int64"), True),
    float: Aval((), np.dtype("float64"), True),
    complex: Aval((), np.dtype("complex128"), True),
}
SCALAR_TYPES = frozenset(_SCALARS_32)


def concrete_aval(x: Any) -> Aval:
    """The abstract value of what is not an Array: a NumPy array or number, or a Python number."""
    if isinstance(x, (np.ndarray, np.generic)):
        return Aval(x.shape, x.dtype)
    cls = type(x)
    if cls in SCALAR_TYPES:
        return scalar_aval(cls)
    if isinstance(x, (int, float, complex)):
        return scalar_aval(type(_plain(x)))
    raise ArgumentError(f"{x!r} of type {cls.__name__} is not an array or a number, at {describe(here())}")


def _plain(x: Any) -> Any:
    """A number of a class of the user's as Python's own."""
    kinds: tuple[Any, ...] = (int, float, complex)
    return next(cls for cls in kinds if isinstance(x, cls))(x)


def from_numpy(x: Any, dtype: np.dtype | None = None, copy: bool = True) -> ConcreteArray:
    """A NumPy array (or what NumPy understands) as an Array. Without an explicit dtype 64-bit numbers
    become 32-bit ones, unless `enable_x64`."""
    value = np.asarray(x)
    if value.dtype.kind == "O" or value.dtype.kind in "USmM":
        raise ArgumentError(
            f"{_brief(x)} cannot become an array of numbers, at {describe(here())}: NumPy reads it as dtype {value.dtype}. "
            "Arrays hold bool, integer, floating-point or complex numbers, in rows of equal length."
        )
    target = dtypes.canonicalize(value.dtype if dtype is None else dtype, explicit=dtype is not None)
    shape = value.shape
    value = np.array(value, dtype=target, copy=True if copy else None, order="C").reshape(shape)
    return ConcreteArray(value, Aval(shape, target))


def _brief(x: Any) -> str:
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."


def as_array(x: Any) -> Array:
    """Python numbers become weakly typed arrays, NumPy arrays enter as `from_numpy` says; Arrays pass.

    Raises ArgumentError for anything else: lists are for `fnn.numpy.array`, not for primitives."""
    if isinstance(x, Array):
        return x
    cls = type(x)
    if cls in SCALAR_TYPES:
        aval = scalar_aval(cls)
        return ConcreteArray(np.asarray(x, aval.dtype), aval)
    if isinstance(x, (np.ndarray, np.generic)):
        return from_numpy(x)
    convert = getattr(x, "__fnn_array__", None) or getattr(x, "__jax_array__", None)
    if convert is not None:
        return as_array(convert())
    if isinstance(x, (int, float, complex)):  # an enumeration's, say
        return as_array(_plain(x))
    raise ArgumentError(
        f"{_brief(x)} of type {cls.__name__} is not an array or a number, at {describe(here())}. "
        "Arguments are pytrees (tuples, lists, dicts, modules) whose leaves are arrays or numbers; mark "
        "anything else static, or leave it out."
    )
