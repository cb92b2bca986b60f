"""Between dtypes by value (`convert`) or by bits (`bitcast`), and `stop_gradient`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.aval import Aval
from fnn.core.lowering import Decompose, Elementwise, IndexMap
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import DtypeError, ShapeError
from fnn.primitives.bitwise import or_, shift_left, shift_right_logical
from fnn.primitives.comparison import eq, gt, ne, select
from fnn.primitives.pairs import Pair, as_pair
from fnn.primitives.rules import check_kinds, element_code, elementwise, meet, of_dtype, together, zeros
from fnn.primitives.structural import broadcast, iota

# -- by value ------------------------------------------------------------------------------------------------


def _convert_shape(x: Aval, dtype: np.dtype, weak: bool = False) -> Aval:
    check_kinds("convert", (x,), "biufc")
    target = dtypes.as_dtype(dtype)
    if dtypes.kind(target) not in "biufc":
        raise DtypeError(f"convert: {x} has no numbers of dtype {target}, at {describe(here())}")
    return Aval(x.shape, target, weak)


def _convert_evaluate(x: Any, dtype: np.dtype, weak: bool = False) -> np.ndarray:
    """Floats to integers drop the fraction and stay at the ends of the range; NaN becomes 0. Complex to real numbers
    drop the imaginary part."""
    x, target = np.asarray(x), np.dtype(dtype)
    if x.dtype.kind == "c" and target.kind not in "cb":
        x = x.real
    if target.kind not in "iu" or not dtypes.is_float(x.dtype):
        return x.astype(target)
    info = np.iinfo(target)
    wide = x.astype(np.float64)
    low, high = (
        float(info.min),
        float(info.max) + (info.bits < 64),
    )  # 2**63 and 2**64 are exact, one less is not
    inside = (wide > low - (info.bits < 64)) & (wide < high)
    whole = np.where(inside, wide, 0).astype(target)
    whole = np.where(wide >= high, np.asarray(info.max, target), whole)
    return np.where(wide <= low, np.asarray(info.min, target), whole)


def _convert_loop(b: Any, x: Any, dtype: np.dtype, weak: bool = False) -> Any:
    code = element_code(np.dtype(dtype))
    if code == "b1" and x.dtype != "b1":
        return b.op("ne", x, 0)
    return b.cast(x, code)


def _differentiable(x: Any, dtype: np.dtype) -> bool:
    return aval_of(x).is_inexact and dtypes.is_inexact(np.dtype(dtype))


def _convert_jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
    keep = tangents[0] is not None and _differentiable(primals[0], p["dtype"])
    return convert(*primals, **p), convert(*tangents, **p) if keep else None


def _convert_vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
    out = convert(*args, **p)
    if not needs[0] or not _differentiable(args[0], p["dtype"]):
        return out, None
    source = aval_of(args[0]).dtype
    return out, lambda ct: [convert(ct, dtype=source)]


def _convert_pairs(args: Sequence[Any], p: dict[str, Any]) -> Any:
    x, target = as_pair(args[0]), np.dtype(p["dtype"])
    if target.kind == "b":
        return ne(x.re, 0.0) if x.im is None else or_(ne(x.re, 0.0), ne(x.im, 0.0))
    if not dtypes.is_complex(target):
        return convert(x.re, **p)
    p = {**p, "dtype": dtypes.real_of(target)}
    return Pair(convert(x.re, **p), None if x.im is None else convert(x.im, **p))


_edges = np.array([np.nan, np.inf, -np.inf, 3e10, -3e10, 1.9, -1.9, -0.0], np.float32)


def _to(spec: Any, dtype: Any, **options: Any) -> Sample:
    return Sample((spec,), {"dtype": np.dtype(dtype)}, **options)


# the same values in another dtype, strongly typed unless `weak`
convert = Primitive(
    "convert",
    shape=_convert_shape,
    evaluate=_convert_evaluate,
    jvp=_convert_jvp,
    vjp=_convert_vjp,
    batch=lambda frame, flags, args, p: (convert(*args, **p), True),
    lower=Elementwise(_convert_loop),
    pairs=_convert_pairs,
    samples=lambda: [
        _to("f4[2,3]", "float64"),
        _to("f8[2]", "float32"),
        _to("f4[3]", dtypes.bfloat16),
        _to("bf[3]", "float32"),
        _to("f4[3]", "float16"),
        _to("f2[3]", "float32"),
        _to("f4[3]", "float32"),
        _to("f4[0]", "float64"),
        _to(1.5, "float32"),
        _to("i4[4]", "float32"),
        _to("u1[4]", "int8", high=255),
        _to("i8[4]", "int32", low=-1e15, high=1e15),
        _to("i4[4]", "uint8", low=-500, high=500),
        _to("b1[4]", "float32"),
        _to("b1[4]", "int32"),
        _to("f4[4]", "bool"),
        _to("i4[4]", "bool"),
        _to("u8[]", "float32", high=1e15),
        _to("f4[4]", "int32"),
        _to("f4[3]", "complex64"),
        _to("c8[3]", "complex128"),
        _to("c8[2,3]", "float32"),
        _to("c16[3]", "float32"),
        _to("c8[3]", "int32"),
        _to("i4[3]", "complex64"),
        _to(1.5 - 2j, "complex64"),
        _to(np.array([0, 1j, 2, np.nan], np.complex64), "bool"),
        Sample(("i4[4]",), {"dtype": np.dtype("float32"), "weak": True}),
        *[_to(_edges, t) for t in ("int32", "uint8", "int64", "uint64", "int8", "bool")],
    ],
)

# -- by bits -------------------------------------------------------------------------------------------------


def _unsigned(dtype: np.dtype) -> np.dtype:
    return np.dtype(f"u{dtype.itemsize}")


def _bitcast_shape(x: Aval, dtype: np.dtype) -> Aval:
    target = dtypes.as_dtype(dtype)
    for d in (x.dtype, target):
        if dtypes.is_bool(d):
            raise DtypeError(
                f"bitcast: bool has no bits of its own, from {x} to {target}, at {describe(here())}; convert "
                "it"
            )
    if x.dtype.itemsize != target.itemsize:
        raise DtypeError(f"bitcast: {x} and {target} differ in width, at {describe(here())}")
    return Aval(x.shape, target)


def _bitcast_loop(b: Any, x: Any, dtype: np.dtype, source: np.dtype) -> Any:
    """Through the unsigned integer of the same width: a 16-bit float arrives as its value in float32."""
    code = element_code(np.dtype(dtype))
    if source == dtypes.bfloat16:
        bits = _bfloat16_bits(b, x)
    elif source == dtypes.float16:
        bits = _float16_bits(b, x)
    else:
        bits = x
    unsigned = f"u{source.itemsize}"
    if dtypes.is_float(np.dtype(dtype)) and source.itemsize == 2:
        bits = bits if bits.dtype == unsigned else b.bitcast(bits, unsigned)
        wide = b.cast(bits, "u4")
        return b.bitcast(wide << 16, "f4") if dtype == dtypes.bfloat16 else _float16_value(b, wide)
    return bits if bits.dtype == code else b.bitcast(bits, code)


def _bfloat16_bits(b: Any, x: Any) -> Any:
    """A float32, rounded to the nearest bfloat16, as that one's bits."""
    bits = b.bitcast(x, "u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    quiet = (bits >> 16) | 0x40
    return b.cast(b.select(b.op("ne", x, x), quiet, rounded), "u2")


def _float16_bits(b: Any, x: Any) -> Any:
    """A float32, rounded to the nearest float16, as that one's bits."""
    bits = b.bitcast(x, "u4")
    sign, size = (bits >> 16) & 0x8000, bits & 0x7FFFFFFF
    normal = (size + 0xFFF + ((size >> 13) & 1) - 0x38000000) >> 13
    # Below 2**-14 adding 1/2 leaves the float16's bits at the end of the float32's, rounded by the addition.
    small = b.bitcast(b.bitcast(size, "f4") + 0.5, "u4") - 0x3F000000
    huge = b.select(size > 0x7F800000, b.const(0x7E00, "u4"), b.const(0x7C00, "u4"))
    out = b.select(size < 0x38800000, small, b.select(size >= 0x477FF000, huge, normal))
    return b.cast(out | sign, "u2")


def _float16_value(b: Any, bits: Any) -> Any:
    """The value of a float16 from its bits, in the low half of a u4."""
    sign, size = (bits & 0x8000) << 16, bits & 0x7FFF
    normal = b.bitcast((size << 13) + 0x38000000, "f4")
    small = b.cast(size, "f4") * 2.0**-24
    huge = b.bitcast((size << 13) | 0x7F800000, "f4")
    value = b.select(size < 0x0400, small, b.select(size >= 0x7C00, huge, normal))
    return b.bitcast(b.bitcast(value, "u4") | sign, "f4")


# the same bits as another dtype of the same width; `source` repeats the operand's dtype for the loops
bitcast_p = elementwise(
    "bitcast",
    lambda x, dtype, source: np.array(x, source, order="C").reshape(np.shape(x)).view(np.dtype(dtype)),
    _bitcast_loop,
    None,
    shape=lambda x, dtype, source: _bitcast_shape(x, dtype),
    raw=True,
    samples=lambda: [
        Sample((spec,), {"dtype": np.dtype(to), "source": np.dtype(source)})
        for spec, source, to in (
            ("f4[2,3]", "float32", "uint32"),
            ("i4[4]", "int32", "uint32"),
            ("u4[3]", "uint32", "float32"),
            ("f8[]", "float64", "int64"),
            ("f2[5]", "float16", "int16"),
            ("bf[5]", dtypes.bfloat16, "uint16"),
            ("key[2]", dtypes.key_dtype, "uint64"),
            ("u8[2]", "uint64", dtypes.key_dtype),
            ("i1[0]", "int8", "uint8"),
            (
                np.array([0, 1, 0x3FF, 0x400, 0x3C01, 0x7BFF, 0x7C00, 0xFC00, 0x8001], np.uint16),
                "uint16",
                "float16",
            ),
            (np.array([0, 1, 0x3F80, 0x7F80, 0x8001], np.uint16), "uint16", dtypes.bfloat16),
            (np.array([65504, 6e-8, 6.1e-5, -0.0, np.inf, 1.5, 1e-7], np.float16), "float16", "uint16"),
            (np.array([1, 2], np.int16), "int16", dtypes.bfloat16),
        )
    ],
)


def bitcast(x: Any, dtype: np.dtype) -> Any:
    """The bits of x read as another dtype.

    A wider dtype takes the last axis, of as many elements as make one; a narrower one adds it. The lowest
    bits come first. Raises DtypeError for bool, ShapeError where the last axis does not fit.
    """
    source, target = aval_of(x).dtype, dtypes.as_dtype(dtype)
    narrow, wide = sorted((source.itemsize, target.itemsize))
    if narrow == wide:
        return bitcast_p(x, dtype=target, source=source)
    words, shape = _unsigned(source), aval_of(x).shape
    parts = wide // narrow
    x = bitcast_p(x, dtype=words, source=source)
    if target.itemsize == narrow:
        full = (*shape, parts)
        spread = broadcast(x, shape=full, axes=tuple(range(len(shape))))
        places = iota(dtype=words, shape=full, dimension=len(shape))
        pieces = convert(shift_right_logical(spread, _times(places, 8 * narrow)), dtype=_unsigned(target))
        return bitcast_p(pieces, dtype=target, source=_unsigned(target))
    if not shape or shape[-1] != parts:
        raise ShapeError(
            f"bitcast: {aval_of(x)} to {target} needs a last axis of {parts} elements, one {target} each, at "
            f"{describe(here())}"
        )
    whole = _unsigned(target)
    places = iota(dtype=whole, shape=shape, dimension=len(shape) - 1)
    shifted = shift_left(convert(x, dtype=whole), _times(places, 8 * narrow))
    joined = P.reduce_or(shifted, axes=(len(shape) - 1,))
    return bitcast_p(joined, dtype=target, source=whole)


def _times(x: Any, bits: int) -> Any:
    """x times a power of two."""
    return shift_left(x, bits.bit_length() - 1)


# -- the neighbouring number ---------------------------------------------------------------------------------


def _nextafter_evaluate(x: Any, y: Any) -> np.ndarray:
    dtype = next((a.dtype for a in together((x, y)) if hasattr(a, "dtype")), dtypes.default_float())
    return np.nextafter(np.asarray(x, dtype), np.asarray(y, dtype))


def _nextafter(x: Any, y: Any) -> Any:
    """Sign and magnitude are apart in a float's bits: a neighbour is one more or one less in magnitude."""
    aval = meet("nextafter", (aval_of(x), aval_of(y)))
    x, y = of_dtype(x, aval.dtype), of_dtype(y, aval.dtype)
    words = _unsigned(aval.dtype)
    bits = bitcast_p(x, dtype=words, source=aval.dtype)
    zero = zeros(Aval((), aval.dtype))
    inward = eq(gt(x, y), gt(x, zero))
    moved = select(inward, P.sub(bits, 1), P.add(bits, 1))
    sign = shift_left(
        shift_right_logical(bitcast_p(y, dtype=words, source=aval.dtype), 8 * words.itemsize - 1),
        8 * words.itemsize - 1,
    )
    least = or_(sign, 1)
    out = bitcast_p(select(eq(x, zero), least, moved), dtype=aval.dtype, source=words)
    undefined = or_(ne(x, x), ne(y, y))
    return select(undefined, P.add(x, y), select(eq(x, y), y, out))


# the number next to x on the way to y
nextafter = elementwise(
    "nextafter",
    _nextafter_evaluate,
    Decompose(_nextafter),
    raw=True,
    refuse="nextafter has no derivative: it moves by the spacing of the numbers, which jumps",
    samples=lambda: [
        Sample(("f4[2,3]", "f4[2,3]")),
        Sample(("f4[]", "f4[3]")),
        Sample(("f4[3]", 0.5)),
        Sample(("f8[2]", "f8[2]")),
        Sample(
            (
                np.array([0, 0, -0.0, 1, 1, -1, 2, np.inf, np.nan, 1], np.float32),
                np.array([1, -1, 1, 1, np.inf, 0, -np.inf, 0, 1, np.nan], np.float32),
            )
        ),
        Sample(("f4[0]", "f4[0]")),
        Sample((1.5, 2.5)),
        Sample(("bf[4]", "bf[4]")),
        Sample(("f2[4]", "f2[4]")),
    ],
)

# -- where derivatives end -----------------------------------------------------------------------------------

# the operand itself, as a constant to every derivative
stop_gradient = elementwise(
    "stop_gradient",
    lambda x: x,
    IndexMap("identity"),
    None,
    shape=lambda x: x,
    raw=True,
    pairs=lambda x: Pair(stop_gradient(x.re), None if x.im is None else stop_gradient(x.im)),
    # the point is a derivative that differs from the finite one
    samples=lambda: [
        Sample(("f4[2,3]",), differentiate=False),
        Sample(("i4[]",)),
        Sample(("f4[0]",)),
        Sample((1.5,), differentiate=False),
        Sample(("c8[2]",), differentiate=False),
        Sample(("key[2]",)),
    ],
)
