"""Constants, dtypes by name, and questions about dtypes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.array import Array
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import DtypeError
from fnn.operations.creation import asarray
from fnn.operations.elementwise import BINARY, UNARY

pi, e, inf, nan, newaxis = math.pi, math.e, math.inf, math.nan, None
euler_gamma = np.euler_gamma
dtype = np.dtype


class _ScalarMeta(type):
    """What makes a dtype's name a dtype to NumPy, equal to it, and callable: float32(1.5) is an array."""

    dtype: np.dtype

    def __hash__(cls) -> int:
        return hash(cls.dtype)

    def __eq__(cls, other: object) -> bool:
        if cls is other:
            return True
        if other is None:  # NumPy's float64 would say that it is
            return False
        try:
            return cls.dtype == other
        except TypeError:
            return NotImplemented

    def __ne__(cls, other: object) -> bool:
        return not cls == other

    def __call__(cls, x: Any = 0) -> Any:
        return asarray(x, cls.dtype)

    def __repr__(cls) -> str:
        return f"<fnn.numpy dtype {cls.__name__}>"

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Array) and instance.dtype == cls.dtype


def _named(name: str, meant: np.dtype) -> Any:
    return _ScalarMeta(
        name, (), {"dtype": meant, "__doc__": f"The dtype {name}; {name}(x) is an array of it."}
    )


class _WidthMeta(_ScalarMeta):
    """A dtype's name whose width is that of Python's numbers: 32 bits, or 64 with `enable_x64`."""

    meant: Any

    @property
    def dtype(cls) -> np.dtype:  # type: ignore[override]  # computed, since the setting may change
        return dtypes.canonicalize(cls.meant, explicit=False)


_NUMBERS = {d.name: d for d in dtypes.DTYPES if not dtypes.is_key(d)}
SCALARS: dict[str, Any] = {name: _named(name, d) for name, d in _NUMBERS.items() if name != "bool"}
SCALARS["bool_"] = _named("bool_", dtypes.bool_)
_DEFAULTS = {
    "float_": dtypes.float64,
    "int_": dtypes.int64,
    "uint": dtypes.uint64,
    "complex_": dtypes.complex128,
}
for _name, _wide in _DEFAULTS.items():
    SCALARS[_name] = _WidthMeta(
        _name, (), {"meant": _wide, "__doc__": f"The default dtype: {_name}(x) is an array of it."}
    )

generic, number, integer, signedinteger, unsignedinteger = (
    np.generic, np.number, np.integer, np.signedinteger, np.unsignedinteger)  # fmt: skip
inexact, floating, complexfloating, character, flexible, object_ = (
    np.inexact, np.floating, np.complexfloating, np.character, np.flexible, np.object_)  # fmt: skip
ComplexWarning = np.exceptions.ComplexWarning
finfo, iinfo, promote_types = dtypes.finfo, dtypes.iinfo, dtypes.promote_types


def issubdtype(arg1: Any, arg2: Any) -> bool:
    """Whether dtype or category `a` belongs to category (or is dtype) `b`: issubdtype(x.dtype, floating)."""
    plain = lambda d: d.dtype if isinstance(d, _ScalarMeta) else d
    return dtypes.issubdtype(plain(arg1), plain(arg2))


def result_type(*operands: Any) -> np.dtype:
    """The dtype that arrays, numbers and dtypes meet in."""
    return dtypes.result_type(*[o.dtype if isinstance(o, _ScalarMeta) else o for o in operands])


def can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    """Whether NumPy would convert one dtype to the other under a casting rule."""
    return bool(np.can_cast(dtypes.as_dtype(getattr(from_, "dtype", from_)), dtypes.as_dtype(to), casting))  # type: ignore[arg-type]  # NumPy checks the rule


_KINDS = {
    "bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu", "real floating": "f",
    "complex floating": "c", "numeric": "iufc",
}  # fmt: skip


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind of the array API ("bool", "integral", "real floating", "numeric", ...), or is a dtype;
    a tuple of them means any."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    own = dtypes.as_dtype(dtype)
    if isinstance(kind, str) and kind in _KINDS:
        return dtypes.kind(own) in _KINDS[kind]
    try:
        return own == dtypes.as_dtype(kind)
    except DtypeError:
        raise DtypeError(
            f"isdtype: {kind!r} is no kind ({', '.join(_KINDS)}) and no dtype, at {describe(here())}"
        ) from None


def angle(z: Any, deg: bool = False) -> Any:
    """The angle of complex numbers in radians, or degrees, from -pi to pi: 0 for positive real ones, pi for negative ones.

    >>> import fnn.numpy as fnp
    >>> print(fnp.angle(fnp.array([1.0, 1j, -1.0]), deg=True))
    [  0.  90. 180.]
    """
    from fnn.operations.choice import where

    z = asarray(z)
    if not aval_of(z).is_inexact:
        z = z.astype(dtypes.default_float())
    if dtypes.is_complex(aval_of(z).dtype):
        out = BINARY["arctan2"](z.imag, z.real)
        return out * (180 / math.pi) if deg else out
    half = where(UNARY["signbit"](z), 180.0 if deg else math.pi, 0.0)  # -0.0 lies on the left as well
    return where(z == z, half, math.nan).astype(aval_of(z).dtype)


# Dtypes by name; float32(1.5) is an array.
uint8 = SCALARS["uint8"]
uint16 = SCALARS["uint16"]
uint32 = SCALARS["uint32"]
uint64 = SCALARS["uint64"]
int8 = SCALARS["int8"]
int16 = SCALARS["int16"]
int32 = SCALARS["int32"]
int64 = SCALARS["int64"]
bfloat16 = SCALARS["bfloat16"]
float16 = SCALARS["float16"]
float32 = SCALARS["float32"]
float64 = SCALARS["float64"]
bool_ = SCALARS["bool_"]
complex64 = SCALARS["complex64"]
complex128 = SCALARS["complex128"]
csingle, cdouble = complex64, complex128
# The widths of Python's numbers, unless `enable_x64`.
float_, int_, uint, complex_ = (SCALARS["float_"], SCALARS["int_"], SCALARS["uint"], SCALARS["complex_"])
single, double = SCALARS["float32"], SCALARS["float64"]
