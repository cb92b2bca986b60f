"""Keys: making, splitting and folding them, and the bits they stand for.

A typed key (`key`) is one element of dtype key<fry>; a raw key (`PRNGKey`) is a uint32 array whose last
axis holds its two words. Every function takes both and returns the kind it was given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, DtypeError, ShapeError
from fnn.transforms.key_reuse import uses_key

U32 = np.dtype("uint32")
UINTS = {8: np.dtype("uint8"), 16: np.dtype("uint16"), 32: U32, 64: np.dtype("uint64")}
Words = tuple[Array, Array]


def shape_tuple(what: str, shape: Any) -> tuple[int, ...]:
    """A shape a user gave, checked: an int or a sequence of ints that are not negative."""
    try:
        out = (shape.__index__(),) if hasattr(shape, "__index__") else tuple(n.__index__() for n in shape)
    except (AttributeError, TypeError):
        raise ShapeError(
            f"random.{what}: the shape is a tuple of integers, not {shape!r}, at {describe(here())}"
        ) from None
    if any(n < 0 for n in out):
        raise ShapeError(f"random.{what}: the shape {out} has a negative size, at {describe(here())}")
    return out


def seed_words(seed: Any) -> Words:
    """The two words of a seed: its upper 32 bits (zero for narrower integers) and its lower ones."""
    if type(seed) is int and not -(2**63) <= seed < 2**64:
        raise ArgumentError(f"random.key: the seed {seed} does not fit in 64 bits, at {describe(here())}")
    value = as_array(_wrapped(seed) if type(seed) is int else seed)
    if value.dtype.kind not in "iu":
        raise DtypeError(f"random.key: the seed is an integer, not {value.aval}, at {describe(here())}")
    if value.dtype.itemsize == 8:
        wide = P.convert(value, dtype=UINTS[64])
        high = P.shift_right_logical(wide, P.broadcast(np.uint64(32), shape=wide.shape, axes=()))
        return P.convert(high, dtype=U32), P.convert(wide, dtype=U32)
    low = P.convert(value, dtype=U32)
    return P.zeros(low.aval), low


def _wrapped(seed: int) -> np.generic:
    """A Python seed as the default integer type holds it: 64-bit seeds keep their upper half only with
    enable_x64."""
    if dtypes.default_int().itemsize == 8:
        return np.uint64(seed % 2**64)
    return np.uint32(seed % 2**32)


def _check_impl(impl: Any) -> None:
    if impl not in (None, "threefry2x32", "fry"):
        raise ArgumentError(
            f"random.key: the only generator is threefry2x32, not {impl!r}, at {describe(here())}"
        )


def key(seed: Any, *, impl: str | None = None) -> Array:
    """A key from an integer seed (an array of seeds gives an array of keys), dtype key<fry>.

    >>> key(0).shape
    ()
    """
    _check_impl(impl)
    return typed(seed_words(seed))


def PRNGKey(seed: Any, *, impl: str | None = None) -> Array:  # the field's name
    """A raw key: the two words of a seed as uint32[2].

    >>> print(PRNGKey(7))
    [0 7]
    """
    _check_impl(impl)
    return raw(seed_words(seed))


def typed(words: Words) -> Array:
    """One 64-bit element from two words."""
    return P.bitcast(raw((words[1], words[0])), dtype=dtypes.key_dtype)  # little end first


def raw(words: Words) -> Array:
    """The words side by side on a new last axis."""
    last = words[0].ndim
    return P.concatenate(*[P.reshape(w, shape=(*w.shape, 1)) for w in words], axis=last)


def words_of(what: str, given: Any) -> tuple[Words, bool]:
    """(the two words of a key or of an array of keys, whether it is typed)."""
    given = as_array(given)
    if dtypes.is_key(given.dtype):
        pair = P.bitcast(given, dtype=U32)
        return (_word(pair, 1), _word(pair, 0)), True
    if given.dtype == U32 and given.ndim and given.shape[-1] == 2:
        return (_word(given, 0), _word(given, 1)), False
    raise ArgumentError(
        f"random.{what} needs a key, made by random.key(seed), split or fold_in; got {given.aval}, "
        f"at {describe(here())}"
    )


def _word(pair: Array, which: int) -> Array:
    lead = pair.shape[:-1]
    start, limit = (0,) * len(lead) + (which,), (*lead, which + 1)
    return P.reshape(P.slice(pair, start=start, limit=limit, step=(1,) * pair.ndim), shape=lead)


def one_key(what: str, given: Any) -> tuple[Words, bool]:
    """As words_of, for functions that take a single key."""
    words, is_typed = words_of(what, given)
    if words[0].shape:
        raise ArgumentError(
            f"random.{what} takes one key, not an array of keys of shape {words[0].shape}, at "
            f"{describe(here())}; use vmap(random.{what}) for one draw per key"
        )
    return words, is_typed


def key_data(keys: Any) -> Array:
    """The words of keys: uint32, shape (*keys.shape, 2)."""
    return raw(words_of("key_data", keys)[0])


def wrap_key_data(data: Any, *, impl: str | None = None) -> Array:
    """Typed keys from their words."""
    _check_impl(impl)
    return typed(words_of("wrap_key_data", data)[0])


def key_impl(keys: Any) -> str:
    """The name of the generator: threefry2x32."""
    words_of("key_impl", keys)
    return "threefry2x32"


def clone(key: Any) -> Array:
    """The same key, for when it is meant to be used twice: its use is not that of the key it is a clone of."""
    words_of("clone", key)
    return P.copy(as_array(key))


def counters(shape: Sequence[int]) -> Words:
    """The upper and lower words of 0, 1, 2, ... in an array of this shape."""
    size, shape = math.prod(shape), tuple(shape)
    if size < 2**32:
        low = P.reshape(P.iota(dtype=U32, shape=(size,), dimension=0), shape=shape)
        return P.zeros(low.aval), low
    wide = P.reshape(P.iota(dtype=UINTS[64], shape=(size,), dimension=0), shape=shape)
    high = P.shift_right_logical(wide, P.broadcast(np.uint64(32), shape=shape, axes=()))
    return P.convert(high, dtype=U32), P.convert(wide, dtype=U32)


def threefry(words: Words, high: Array, low: Array) -> Words:
    """The two output words of Threefry-2x32 for a key and counters of any shape."""
    shape = high.shape
    k1, k2 = (P.broadcast(w, shape=shape, axes=()) for w in words)
    first, second = P.threefry2x32(k1, k2, high, low)
    return first, second


def child(words: Words, number: int) -> Words:
    """The key number `number` of those that split gives."""
    return threefry(words, P.zeros(words[0].aval), P.convert(np.uint32(number), dtype=U32))


@uses_key
def split(key: Any, num: int | Sequence[int] = 2) -> Array:
    """num new keys (or an array of keys of that shape), independent of each other and of the old one.

    >>> split(key(0), 3).shape
    (3,)
    """
    words, is_typed = one_key("split", key)
    pair = threefry(words, *counters(shape_tuple("split", num)))
    return typed(pair) if is_typed else raw(pair)


def fold_in(key: Any, data: Any) -> Array:
    """A new key from a key and an integer, such as a step number.

    >>> import fnn
    >>> key = fnn.random.key(0)
    >>> print(fnn.random.uniform(fnn.random.fold_in(key, 7)))
    0.47504628
    """
    words, is_typed = one_key("fold_in", key)
    value = as_array(np.uint32(data) if type(data) is int and 2**31 <= data < 2**32 else data)
    if value.dtype.kind not in "iu" or value.shape:
        raise DtypeError(f"random.fold_in: data is one integer, not {value.aval}, at {describe(here())}")
    low = P.convert(value, dtype=U32)
    pair = threefry(words, P.zeros(low.aval), low)
    return typed(pair) if is_typed else raw(pair)


def random_bits(words: Words, width: int, shape: tuple[int, ...]) -> Array:
    """Uniform bits as unsigned integers of 8, 16, 32 or 64 bits."""
    first, second = threefry(words, *counters(shape))
    if width == 64:
        high = P.convert(first, dtype=UINTS[64])
        shift = P.broadcast(np.uint64(32), shape=shape, axes=())
        return P.or_(P.shift_left(high, shift), P.convert(second, dtype=UINTS[64]))
    mixed = P.xor(first, second)
    return mixed if width == 32 else P.convert(mixed, dtype=UINTS[width])


@uses_key
def bits(key: Any, shape: Any = (), dtype: Any = None) -> Array:
    """Uniform bits: unsigned integers of any width, uint32 by default.

    >>> import fnn
    >>> print(fnn.random.bits(fnn.random.key(0), (2,)))
    [4070199207 4202968722]
    """
    words, _ = one_key("bits", key)
    target = U32 if dtype is None else dtypes.canonicalize(dtype, explicit=True)
    if target.kind != "u":
        raise DtypeError(
            f"random.bits: the dtype is an unsigned integer, not {target}, at {describe(here())}"
        )
    return random_bits(words, 8 * target.itemsize, shape_tuple("bits", shape))
