"""Complex numbers and their parts: `complex`, `real`, `imag`, `conj`.

A derivative along a complex direction is linear over the reals. Tangents and cotangents are paired by
Re(sum(ct * t)), without conjugation, as JAX's are: what is holomorphic has the same partial derivative both ways, and
the gradient of a real function f of z = x + iy is df/dx - i df/dy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.aval import Aval
from fnn.core.lowering import Elementwise, IndexMap
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import DtypeError, ShapeError
from fnn.primitives.pairs import Pair, conjugated, interleaved, separated
from fnn.primitives.rules import check_kinds, elementwise, lift, of_dtype, zeros


def is_complex(x: Any) -> bool:
    """Whether an operand is complex."""
    return dtypes.is_complex(aval_of(x).dtype)


def _part_shape(name: str) -> Any:
    def shape(x: Aval) -> Aval:
        check_kinds(name, (x,), "c")
        return x.update(dtype=dtypes.real_of(x.dtype))

    return shape


def _forbidden(b: Any, *xs: Any, **params: Any) -> Any:
    raise AssertionError("complex values become pairs of real ones before there are loops")


def _nothing(x: Any) -> Any:
    return zeros(Aval(shape_of(x), aval_of(x).dtype))


def _imag_partial(t: Any, _out: Any, _x: Any) -> Any:
    """The imaginary part of a tangent; of a real cotangent c the number -ic."""
    return imag(t) if is_complex(t) else complex(_nothing(t), P.neg(t))


_parts = lambda: [Sample((s,)) for s in ("c8[2,3]", "c16[4]", "c8[]", "c8[0,2]", 1.5 - 2j)]
# the parts of complex numbers; fnn.numpy's functions of the same names take real ones too
real = elementwise(
    "real",
    np.real,
    Elementwise(_forbidden),
    lambda t, _out, x: real(t) if is_complex(t) else of_dtype(t, dtypes.complex_of(aval_of(t).dtype)),
    shape=_part_shape("real"),
    raw=True,
    samples=_parts,
    pairs=lambda x: x.re,
)
imag = elementwise(
    "imag",
    np.imag,
    Elementwise(_forbidden),
    _imag_partial,
    shape=_part_shape("imag"),
    raw=True,
    samples=_parts,
    pairs=lambda x: x.imag,
)
conj = elementwise(
    "conj",
    np.conjugate,
    Elementwise(_forbidden),
    lambda t, _out, _x: conj(t),
    kinds="c",
    raw=True,
    samples=_parts,
    pairs=conjugated,
)


def _complex_shape(re: Aval, im: Aval) -> Aval:
    check_kinds("complex", (re, im), "f")
    if re.shape != im.shape:
        raise ShapeError(
            f"complex: the parts {re} and {im} have different shapes, at {describe(here())}; fnn.lax.complex broadcasts"
        )
    if re.dtype != im.dtype or re.dtype not in (dtypes.float32, dtypes.float64):
        raise DtypeError(
            f"complex: the parts {re} and {im} must both be float32 or both float64, at {describe(here())}; "
            "convert them with x.astype(dtype)"
        )
    return Aval(re.shape, dtypes.complex_of(re.dtype), re.weak_type and im.weak_type)


def _complex_evaluate(re: Any, im: Any) -> np.ndarray:
    re, im = np.asarray(re), np.asarray(im)
    out = np.empty(re.shape, np.result_type(re, np.complex64))
    out.real, out.imag = re, im  # not re + 1j * im, which makes NaN of an infinity
    return out


def _complex_jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
    out = complex(*primals)
    if all(t is None for t in tangents):
        return out, None
    part = Aval(shape_of(out), dtypes.real_of(aval_of(out).dtype))
    return out, complex(*[zeros(part) if t is None else of_dtype(t, part.dtype) for t in tangents])


def _complex_vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
    out = complex(*args)
    avals, (re, im) = [aval_of(a) for a in args], needs

    def pull(ct: Any) -> list[Any]:
        first = of_dtype(real(ct), avals[0].dtype) if re else None
        return [first, of_dtype(P.neg(imag(ct)), avals[1].dtype) if im else None]

    return out, pull if re or im else None


# re + i im, of equal shapes and dtypes
complex = Primitive(
    "complex",
    shape=_complex_shape,
    evaluate=_complex_evaluate,
    jvp=_complex_jvp,
    vjp=_complex_vjp,
    batch=lambda frame, flags, args, p: (
        complex(*[lift(frame.size, x, f) for x, f in zip(args, flags, strict=True)]),
        True,
    ),
    lower=Elementwise(_forbidden),
    pairs=lambda args, p: Pair(*args),
    samples=lambda: [
        Sample(("f4[2,3]", "f4[2,3]")),
        Sample(("f8[3]", "f8[3]")),
        Sample(("f4[]", "f4[]")),
        Sample(("f4[0]", "f4[0]")),
        Sample((1.5, -2.0)),
        Sample(
            (np.array([np.inf, np.nan, -0.0], np.float32), np.array([1, np.inf, -0.0], np.float32)),
            differentiate=False,
        ),
    ],
)


# -- parts side by side --------------------------------------------------------------------------------------


def _parts_shape(x: Aval) -> Aval:
    check_kinds("parts", (x,), "c")
    return Aval((*x.shape, 2), dtypes.real_of(x.dtype), x.weak_type)


def _parts_jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
    return parts(*primals), None if tangents[0] is None else parts(tangents[0])


def _parts_vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
    return parts(*args), (lambda ct: [conj(joined(ct))]) if needs[0] else None


# both parts along a new last axis, as they lie in memory
parts = Primitive(
    "parts",
    shape=_parts_shape,
    evaluate=lambda x: np.stack([np.real(x), np.imag(x)], -1),
    jvp=_parts_jvp,
    vjp=_parts_vjp,
    batch=lambda frame, flags, args, p: (parts(*args), True),
    lower=IndexMap("identity"),
    pairs=lambda args, p: interleaved(args[0]),
    samples=_parts,
)


def _joined_shape(x: Aval) -> Aval:
    check_kinds("joined", (x,), "f")
    if x.dtype not in (dtypes.float32, dtypes.float64):
        raise DtypeError(
            f"joined: the parts {x} must be float32 or float64, at {describe(here())}; convert them"
        )
    if x.shape[-1:] != (2,):
        raise ShapeError(
            f"joined: {x} has no last axis of 2, at {describe(here())}; complex(re, im) takes the parts apart"
        )
    return Aval(x.shape[:-1], dtypes.complex_of(x.dtype), x.weak_type)


def _joined_jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
    return joined(*primals), None if tangents[0] is None else joined(tangents[0])


def _joined_vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
    return joined(*args), (lambda ct: [parts(conj(ct))]) if needs[0] else None


# the inverse of `parts`
joined = Primitive(
    "joined",
    shape=_joined_shape,
    evaluate=lambda x: _complex_evaluate(np.asarray(x)[..., 0], np.asarray(x)[..., 1]),
    jvp=_joined_jvp,
    vjp=_joined_vjp,
    batch=lambda frame, flags, args, p: (joined(*args), True),
    lower=IndexMap("identity"),
    pairs=lambda args, p: separated(args[0]),
    samples=lambda: [Sample((s,)) for s in ("f4[3,2]", "f8[2]", "f4[2,2,2]", "f4[0,2]")],
)
