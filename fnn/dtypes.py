"""Dtypes: their names, which one an input gets, and which one operands meet in.

Every dtype here is one `numpy.dtype` object, so two of them may be compared with `is`. fnn computes in 32
bits unless
asked: a Python number or a 64-bit NumPy array that comes in *without* an explicit dtype becomes 32-bit unless
`enable_x64` is set; an explicit `dtype=float64` is always honoured.

Python numbers are *weakly* typed: they take the dtype of what they meet. Operands meet in the least upper
bound of a small lattice, the one JAX documents ("Type promotion semantics"): an arrow points to what a dtype
can be promoted to, `i*`, `f*` and `c*` are the weak integers, floats and complex numbers:

    bool -> i* -> u8 -> u16 -> u32 -> u64 -> f* -> bf16, f16 -> f32 -> f64 -> c128
             `--> i8 -> i16 -> i32 -> i64 -'  `--> c* -> c64 -'

with an arrow from each unsigned dtype to the next wider signed one, and from f32 to c64.

>>> from fnn import dtypes
>>> dtypes.promote_types("int32", "float16")
dtype('float16')
>>> dtypes.promote_types("uint8", "int8")
dtype('int16')
>>> dtypes.promote_types("int8", float)      # a Python float is weak, and of 32 bits by default
dtype('float32')
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, cast

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike

from fnn.config import config
from fnn.errors import DtypeError

Dtype = np.dtype[Any]

bool_ = np.dtype(np.bool_)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
uint16 = np.dtype(np.uint16)
uint32 = np.dtype(np.uint32)
uint64 = np.dtype(np.uint64)
bfloat16 = np.dtype(ml_dtypes.bfloat16)
float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
complex64 = np.dtype(np.complex64)
complex128 = np.dtype(np.complex128)

float0 = np.dtype([("float0", np.void, 0)])
"""The type of derivatives with respect to integers and booleans: it holds nothing."""

key_dtype = np.dtype([("key<fry>", "<u8")])
"""A random key: one opaque word of 64 bits. NumPy indexes and joins arrays of it, but never adds them."""


class extended(np.generic):
    """The category of dtypes that are not numbers; see `issubdtype`."""


class prng_key(extended):
    """The category of random keys: `issubdtype(x.dtype, prng_key)`."""


class _Info(NamedTuple):
    short: str  # the name in printed graphs
    kind: str
    category: type[np.generic]
    bits: int


_INFO: dict[Dtype, _Info] = {
    bool_: _Info("bool", "b", np.generic, 8),
    uint8: _Info("u8", "u", np.unsignedinteger, 8),
    uint16: _Info("u16", "u", np.unsignedinteger, 16),
    uint32: _Info("u32", "u", np.unsignedinteger, 32),
    uint64: _Info("u64", "u", np.unsignedinteger, 64),
    int8: _Info("i8", "i", np.signedinteger, 8),
    int16: _Info("i16", "i", np.signedinteger, 16),
    int32: _Info("i32", "i", np.signedinteger, 32),
    int64: _Info("i64", "i", np.signedinteger, 64),
    bfloat16: _Info("bf16", "f", np.floating, 16),
    float16: _Info("f16", "f", np.floating, 16),
    float32: _Info("f32", "f", np.floating, 32),
    float64: _Info("f64", "f", np.floating, 64),
    complex64: _Info("c64", "c", np.complexfloating, 64),
    complex128: _Info("c128", "c", np.complexfloating, 128),
    key_dtype: _Info("key", "k", prng_key, 64),
}
DTYPES: tuple[Dtype, ...] = tuple(_INFO)
"""Every dtype fnn has a name for."""

_OWN = {dtype: dtype for dtype in DTYPES}  # equal dtypes that are other objects (np.longlong) -> ours
_PYTHON = frozenset({bool, int, float, complex})
_CATEGORIES = frozenset(
    {extended, np.generic, np.number, np.integer, np.inexact, np.character, np.flexible}
) | {info.category for info in _INFO.values()}
_NARROW = {int64: int32, uint64: uint32, float64: float32, complex128: complex64}


# ------------------------------------------------------------------------------------------- what a dtype is


@functools.lru_cache(maxsize=512)
def _known(given: Any) -> Dtype:
    try:
        if given is None:  # NumPy would read it as float64
            raise TypeError
        dtype = np.dtype(given)
    except TypeError:
        raise DtypeError(f"{given!r} is not a dtype; the dtypes are {_names()}") from None
    if dtype.kind != "V":
        dtype = dtype.newbyteorder("=")
    own = _OWN.get(dtype)
    if own is None:
        raise DtypeError(f"there are no arrays of dtype {dtype}; the dtypes are {_names()}")
    return own


def _names() -> str:
    return ", ".join("key<fry>" if dtype is key_dtype else dtype.name for dtype in DTYPES)


def as_dtype(given: DTypeLike) -> Dtype:
    """The dtype meant by a dtype, a NumPy scalar type, a name or a Python type, unchanged in width.

    Raises:
        DtypeError: fnn has no such dtype (objects, strings, dates, extended precision), or it is none.
    """
    try:
        own = _OWN.get(cast(Any, given))  # looked up whatever it is
        return own if own is not None else _known(cast(Any, given))
    except DtypeError:
        raise
    except TypeError:  # not hashable
        raise DtypeError(f"{given!r} is not a dtype; the dtypes are {_names()}") from None


def short_name(dtype: Dtype) -> str:
    """The name in printed graphs: `f32`, `i64`, `bf16`, `u8`, `bool`, `key`."""
    return _INFO[dtype].short


def kind(dtype: Dtype) -> str:
    """One letter: b(ool), u(nsigned), i(nteger), f(loat, bfloat16 too), c(omplex), k(ey).

    `numpy.dtype.kind` says "V" of bfloat16 and of keys; use this one.
    """
    return _INFO[dtype].kind


def bits(dtype: Dtype) -> int:
    """The width of one element in bits."""
    return _INFO[dtype].bits


def is_bool(dtype: Dtype) -> bool:
    """Whether this is bool."""
    return dtype is bool_ or _INFO[dtype].kind == "b"


def is_integer(dtype: Dtype) -> bool:
    """Whether this is a signed or unsigned integer (bool is none)."""
    return _INFO[dtype].kind in "iu"


def is_float(dtype: Dtype) -> bool:
    """Whether this is a real floating dtype: bfloat16, float16, float32, float64."""
    return _INFO[dtype].kind == "f"


def is_complex(dtype: Dtype) -> bool:
    """Whether this is a complex dtype."""
    return _INFO[dtype].kind == "c"


def is_inexact(dtype: Dtype) -> bool:
    """Whether this is a real or complex floating dtype: what has derivatives."""
    return _INFO[dtype].kind in "fc"


def real_of(dtype: Dtype) -> Dtype:
    """The dtype of a complex number's parts; any other dtype itself.

    >>> real_of(complex64), real_of(int8)
    (dtype('float32'), dtype('int8'))
    """
    return float32 if dtype == complex64 else float64 if dtype == complex128 else dtype


def complex_of(dtype: Dtype) -> Dtype:
    """The complex dtype whose parts hold numbers of this one as floats.

    >>> complex_of(float64), complex_of(bfloat16), complex_of(complex64)
    (dtype('complex128'), dtype('complex64'), dtype('complex64'))
    """
    if is_complex(dtype):
        return dtype
    return complex128 if to_inexact(dtype) == float64 else complex64


def is_key(dtype: Dtype) -> bool:
    """Whether this is the dtype of random keys."""
    return _INFO[dtype].kind == "k"


def _category(given: Any) -> type | Dtype:
    """An abstract category (np.floating) as it is, anything else as a dtype."""
    if given is None:  # NumPy takes it for float64
        return np.dtype("float64")
    return given if isinstance(given, type) and given in _CATEGORIES else as_dtype(given)


def issubdtype(a: Any, b: Any) -> bool:
    """Whether dtype or category `a` belongs to category (or is dtype) `b`.

    The categories are NumPy's (`np.floating`, `np.integer`, `np.inexact`, ...) and `prng_key` within
    `extended`; bfloat16 is floating.

    >>> issubdtype(bfloat16, np.floating), issubdtype("int8", np.inexact), issubdtype(key_dtype, prng_key)
    (True, False, True)
    """
    a, b = _category(a), _category(b)
    if not isinstance(b, type):
        return a == b
    return issubclass(a if isinstance(a, type) else _INFO[a].category, b)


def _dtype_of(given: Any) -> Any:
    """The dtype of an array; a dtype as it is."""
    return given.dtype if hasattr(given, "aval") or isinstance(given, (np.ndarray, np.generic)) else given


def finfo(dtype: DTypeLike) -> Any:
    """Limits of a floating dtype (`eps`, `max`, `min`, `tiny`, `bits`, ...), like `numpy.finfo`, for bfloat16
    too.

    >>> float(finfo(bfloat16).eps)
    0.0078125
    """
    resolved = as_dtype(_dtype_of(dtype))
    if not (is_float(resolved) or is_complex(resolved)):
        raise DtypeError(f"finfo: {resolved} is not a floating dtype; iinfo has the limits of integers")
    return ml_dtypes.finfo(resolved) if resolved is bfloat16 else np.finfo(resolved)


def iinfo(dtype: DTypeLike) -> np.iinfo[Any]:
    """Limits of an integer dtype (or an array's) (`min`, `max`, `bits`), like `numpy.iinfo`."""
    resolved = as_dtype(_dtype_of(dtype))
    if not is_integer(resolved):
        raise DtypeError(f"iinfo: {resolved} is not an integer dtype; finfo has the limits of floats")
    return np.iinfo(resolved)


# -------------------------------------------------------------------------------------- what an input becomes


def canonicalize(dtype: DTypeLike, explicit: bool = False) -> Dtype:
    """The dtype an array made from `dtype` has.

    Args:
        dtype: a dtype, NumPy scalar type, name, or Python's bool, int, float or complex.
        explicit: whether a person wrote it down. Then it is honoured (unless `narrow_explicit` is set, as for programs
            written for JAX); otherwise 64 bits become 32 unless `enable_x64` is set. Python's `int`, `float` and
            `complex` say nothing of width, so they follow `enable_x64` always.

    Raises:
        DtypeError: there is no such dtype.

    >>> canonicalize(np.float64), canonicalize(np.float64, explicit=True), canonicalize(int, explicit=True)
    (dtype('float32'), dtype('float64'), dtype('int32'))
    """
    own = as_dtype(dtype)
    if not config.enable_x64 and (not explicit or config.narrow_explicit or _is_python(dtype)):
        own = _NARROW.get(own, own)
    return own


def _is_python(given: Any) -> bool:
    return isinstance(given, type) and given in _PYTHON  # a dtype would equal one of them, not be one


def default_int() -> Dtype:
    """The dtype of Python's integers: int32, or int64 with `enable_x64`."""
    return int64 if config.enable_x64 else int32


def default_float() -> Dtype:
    """The dtype of Python's floats: float32, or float64 with `enable_x64`."""
    return float64 if config.enable_x64 else float32


def of_python(cls: type) -> tuple[Dtype, bool]:
    """(dtype, weak) of Python's bool (never weak), int, float, complex: what a number written in a program is.

    >>> of_python(int)
    (dtype('int32'), True)
    """
    if cls not in _PYTHON:
        raise DtypeError(f"{cls.__name__} is not one of Python's numbers")
    return canonicalize(cls), cls is not bool


def to_inexact(dtype: Dtype) -> Dtype:
    """The floating dtype a function such as `sin` computes in: floats stay, 64-bit integers follow
    `enable_x64`.

    >>> to_inexact(int8), to_inexact(bfloat16)
    (dtype('float32'), dtype(bfloat16))
    """
    info = _INFO[dtype]
    if info.kind in "fc":
        return dtype
    if info.kind == "k":
        raise DtypeError("random keys are not numbers; fnn.random.key_data gives their bits")
    return default_float() if info.bits == 64 else float32


# ---------------------------------------------------------------------------------------- where operands meet

_ARROWS = {
    "bool": "i*", "i*": "u8 i8",
    "u8": "u16 i16", "u16": "u32 i32", "u32": "u64 i64", "u64": "f*",
    "i8": "i16", "i16": "i32", "i32": "i64", "i64": "f*",
    "f*": "bf16 f16 c*", "bf16": "f32", "f16": "f32", "f32": "f64 c64", "f64": "c128",
    "c*": "c64", "c64": "c128", "c128": "",
}  # fmt: skip
_STAR = {"u": "i*", "i": "i*", "f": "f*", "c": "c*"}


@functools.cache
def _reach(node: str) -> frozenset[str]:
    """Everything `node` can be promoted to, itself included."""
    found = {node}
    for above in _ARROWS[node].split():
        found |= _reach(above)
    return frozenset(found)


_ABOVE = {node: _reach(node) for node in _ARROWS}
_JOIN = {  # the common promotion from which every other common one can be reached
    (a, b): next(n for n in _ABOVE[a] & _ABOVE[b] if _ABOVE[n] == _ABOVE[a] & _ABOVE[b])
    for a in _ARROWS
    for b in _ARROWS
}
_OF_NODE = {info.short: dtype for dtype, info in _INFO.items()} | {
    "i*": int64,
    "f*": float64,
    "c*": complex128,
}


class Typed(Protocol):
    """Anything with a dtype that may be weak: arrays, tracers, avals."""

    @property
    def dtype(self) -> Dtype: ...
    @property
    def weak_type(self) -> bool: ...


@functools.lru_cache(maxsize=4096)
def _join(pairs: tuple[tuple[Dtype, bool], ...], x64: bool) -> tuple[Dtype, bool]:
    infos = [_INFO[dtype] for dtype, _ in pairs]
    if any(info.kind == "k" for info in infos):
        if all(info.kind == "k" for info in infos):
            return key_dtype, False
        raise DtypeError(
            "a random key and a number have no common dtype; fnn.random.key_data gives a key's bits"
        )
    weak = all(is_weak for _, is_weak in pairs)  # then the widest of them, still weak
    nodes = [
        _STAR.get(info.kind, info.short) if is_weak and not weak else info.short
        for (_, is_weak), info in zip(pairs, infos, strict=True)
    ]
    node = functools.reduce(lambda a, b: _JOIN[a, b], nodes)
    dtype = _OF_NODE[node]
    given_wide = node[-1] != "*" and any(pair[0] in _NARROW for pair in pairs)
    if not x64 and not given_wide:
        dtype = _NARROW.get(dtype, dtype)
    return dtype, (weak or node[-1] == "*") and dtype is not bool_


def result(operands: Iterable[Typed]) -> tuple[Dtype, bool]:
    """The (dtype, weak) that operands (arrays, tracers, avals: anything with `dtype` and `weak_type`) meet
    in.

    The result has 64 bits only where an operand has, or `enable_x64` is set.

    Raises:
        DtypeError: numbers and random keys have no common dtype.
    """
    return _join(tuple([(operand.dtype, operand.weak_type) for operand in operands]), config.enable_x64)


def _pair(given: Any) -> tuple[Dtype, bool]:
    return of_python(given) if _is_python(given) else (as_dtype(given), False)


def promote_types(a: DTypeLike, b: DTypeLike) -> Dtype:
    """The dtype that operands of dtypes `a` and `b` meet in; Python's `int` and `float` are weak.

    >>> promote_types("uint8", "int8"), promote_types("bfloat16", "float16"), promote_types("int8", float)
    (dtype('int16'), dtype('float32'), dtype('float32'))
    """
    return _join((_pair(a), _pair(b)), config.enable_x64)[0]


def result_type(*operands: Any) -> Dtype:
    """The dtype that arrays, Python numbers and dtypes meet in.

    Arrays that know no weak type (NumPy's) enter as `canonicalize` says; dtypes written down are honoured.

    Raises:
        DtypeError: there is nothing to promote, an operand is neither, or numbers are mixed with keys.

    >>> result_type(np.zeros(2), 1, "bfloat16")
    dtype('float32')
    """
    if not operands:
        raise DtypeError("result_type needs at least one array, number or dtype")
    found = _join(tuple([_pair_of(operand) for operand in operands]), config.enable_x64)[0]
    return canonicalize(found, explicit=True)


def _pair_of(operand: Any) -> tuple[Dtype, bool]:
    if type(operand) in _PYTHON:
        return of_python(type(operand))
    if isinstance(operand, (type, str, np.dtype)) or not hasattr(operand, "dtype"):
        return _pair(operand)
    weak = getattr(operand, "weak_type", None)
    return canonicalize(operand.dtype, explicit=weak is not None), bool(weak)


# -------------------------------------------------------------------------------------------- JAX's other names

TypePromotionError = DtypeError
"""What operands that do not go together raise."""


def canonicalize_dtype(dtype: DTypeLike, allow_extended_dtype: bool = False) -> Dtype:
    """The dtype that inputs of `dtype` get where nobody asks for another: 32 bits for 64, unless `enable_x64`."""
    return canonicalize(dtype)


def itemsize_bits(dtype: DTypeLike) -> int:
    """The width of one element in bits."""
    return bits(as_dtype(dtype))


def scalar_type_of(x: Any) -> type:
    """Python's type of the numbers an array, number or dtype holds: bool, int, float or complex."""
    if type(x) in _PYTHON:
        return type(x)
    own = as_dtype(x.dtype if hasattr(x, "dtype") else x)
    kinds: dict[str, type] = {"b": bool, "u": int, "i": int, "f": float, "c": complex}
    if kind(own) not in kinds:
        raise DtypeError(f"scalar_type_of: {own} is no dtype of numbers")
    return kinds[kind(own)]
