"""The order of complex numbers that NumPy has: by real parts, and where these are equal by imaginary ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fnn import primitives as P
from fnn.core.primitive import Primitive
from fnn.core.trace import aval_of
from fnn.primitives import and_, eq, gt, lt, ne, or_, select
from fnn.primitives.complex_numbers import is_complex

Function = Callable[..., Any]


def ordered(compare: Primitive) -> Function:
    """A comparison; of complex numbers by their real parts, and where these are equal by their imaginary ones."""
    strict = {"le": lt, "ge": gt}.get(compare.name, compare)

    def function(x: Any, y: Any) -> Any:
        if not (is_complex(x) or is_complex(y)):
            return compare(x, y)
        (a, b), (c, d) = _both_parts(x, y), _both_parts(y, x)
        return or_(strict(a, c), and_(eq(a, c), compare(b, d)))

    return function


def _both_parts(x: Any, other: Any) -> tuple[Any, Any]:
    """Real and imaginary part of an operand beside a complex one."""
    if not is_complex(x):
        x = P.convert(x, dtype=aval_of(other).dtype)
    return P.real(x), P.imag(x)


def extreme_by(extreme: Primitive, wins: Primitive) -> Function:
    """An extreme, in the order of `ordered`; NaN wins."""
    beats = ordered(wins)

    def function(x: Any, y: Any) -> Any:
        if not (is_complex(x) or is_complex(y)):
            return extreme(x, y)
        return select(or_(ne(x, x), and_(eq(y, y), beats(x, y))), x, y)

    return function
