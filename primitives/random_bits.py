"""threefry2x32: the counter-based generator behind `fnn.random`.

Threefry-2x32 with 20 rounds, of J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random
numbers: as easy as 1, 2, 3", SC 2011."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval
from fnn.core.lowering import Decompose
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import shape_of
from fnn.errors import DtypeError, ShapeError
from fnn.primitives import arithmetic, bitwise, structural
from fnn.primitives.rules import spread

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))  # of four rounds each, in turn
PARITY = np.uint32(0x1BD11BDA)


def _shape(*operands: Aval) -> list[Aval]:
    shapes = dict.fromkeys([a.shape for a in operands if a.shape])
    if len(shapes) > 1:
        raise ShapeError(
            f"threefry2x32: the operands {', '.join(map(str, operands))} have different shapes, "
            f"at {describe(here())}"
        )
    if any(a.dtype != dtypes.uint32 for a in operands):
        raise DtypeError(
            f"threefry2x32 takes uint32 words, not {', '.join(map(str, operands))}, at {describe(here())}"
        )
    return [Aval(next(iter(shapes), ()), dtypes.uint32)] * 2


def _rounds(
    k1: Any,
    k2: Any,
    x1: Any,
    x2: Any,
    add: Callable[[Any, Any], Any],
    xor: Callable[[Any, Any], Any],
    rotate: Callable[[Any, int], Any],
) -> list[Any]:
    """The algorithm, over whatever can add, xor and rotate."""
    keys = (k1, k2, xor(xor(k1, k2), PARITY))
    x1, x2 = add(x1, keys[0]), add(x2, keys[1])
    for group in range(5):
        for distance in ROTATIONS[group % 2]:
            x1 = add(x1, x2)
            x2 = xor(rotate(x2, distance), x1)
        x1 = add(x1, keys[(group + 1) % 3])
        x2 = add(x2, add(keys[(group + 2) % 3], np.uint32(group + 1)))
    return [x1, x2]


def _evaluate(k1: Any, k2: Any, x1: Any, x2: Any) -> list[Any]:
    k1, k2, x1, x2 = (np.asarray(x, np.uint32) for x in (k1, k2, x1, x2))
    shape = np.broadcast_shapes(k1.shape, k2.shape, x1.shape, x2.shape)

    def rotate(x: Any, distance: int) -> Any:
        return (x << np.uint32(distance)) | (x >> np.uint32(32 - distance))

    return [np.broadcast_to(y, shape) for y in _rounds(k1, k2, x1, x2, np.add, np.bitwise_xor, rotate)]


def _decompose(k1: Any, k2: Any, x1: Any, x2: Any) -> list[Any]:
    shape = next((shape_of(x) for x in (k1, k2, x1, x2) if shape_of(x)), ())

    def rotate(x: Any, distance: int) -> Any:
        return bitwise.or_(
            bitwise.shift_left(x, np.uint32(distance)),
            bitwise.shift_right_logical(x, np.uint32(32 - distance)),
        )

    out = _rounds(k1, k2, x1, x2, arithmetic.add, bitwise.xor, rotate)
    return [y if shape_of(y) == shape else structural.broadcast(y, shape=shape, axes=()) for y in out]


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]
) -> tuple[list[Any], list[Any]]:
    return threefry2x32(*primals), [None, None]


def _vjp(
    needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[list[Any], Any, list[bool]]:
    return threefry2x32(*args), None, [False, False]


# (k1, k2, x1, x2) -> [y1, y2]: the block of the counter x under the key k; uint32, of one shape or scalars
threefry2x32 = Primitive(
    "threefry2x32",
    shape=_shape,
    evaluate=_evaluate,
    jvp=_jvp,
    vjp=_vjp,
    multiple=True,
    batch=lambda frame, flags, args, params: (threefry2x32(*spread(frame.size, flags, args)), [True, True]),
    lower=Decompose(_decompose),
    samples=lambda: [
        Sample(("u4[]",) * 4, high=2.0**31),
        Sample(("u4[]", "u4[]", "u4[5]", "u4[5]"), high=2.0**31),
        Sample(("u4[2,3]",) * 4, high=2.0**31),
        Sample(("u4[]", "u4[]", "u4[0]", "u4[0]")),
    ],
)
