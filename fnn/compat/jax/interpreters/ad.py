"""`jax.interpreters.ad`: rules for derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fnn import primitives as P
from fnn.compat.jax.core import get_aval
from fnn.compat.jax.primitives import Absent, Primitive, Rules, UndefinedPrimal, Zero
from fnn.core.array import as_array
from fnn.core.aval import Aval
from fnn.core.trace import Tracer
from fnn.transforms.autodiff import Forward, Tape

__all__ = [
    "JVPTracer", "UndefinedPrimal", "Zero", "add_jaxvals", "add_tangents", "defbilinear", "defjvp", "defjvp2", "deflinear",
    "deflinear2", "get_primitive_transpose", "instantiate_zeros", "is_undefined_primal", "primitive_jvps",
    "primitive_transposes", "zeros_like_aval",
]  # fmt: skip

stop_gradient_p = Absent("stop_gradient")  # in derivatives; fnn's own primitive never stands there
primitive_jvps = Rules("ad.primitive_jvps", "rule_jvp")
primitive_transposes = Rules("ad.primitive_transposes", "rule_transpose")


class _Differentiated(type):
    def __instancecheck__(cls, x: object) -> bool:
        return type(x) is Tracer and isinstance(x.trace, (Forward, Tape))


class JVPTracer(metaclass=_Differentiated):
    """An array that is being differentiated is an instance."""


def is_undefined_primal(x: Any) -> bool:
    """Whether an operand of a transpose rule is one that the primitive is linear in."""
    return isinstance(x, UndefinedPrimal)


def instantiate_zeros(x: Any) -> Any:
    """A symbolic zero made real; anything else as it is."""
    return x.instantiate() if isinstance(x, Zero) else x


def zeros_like_aval(aval: Any) -> Any:
    """An array of zeros of a type."""
    aval = get_aval(aval)
    return P.zeros(Aval(aval.shape, aval.dtype))


def add_jaxvals(x: Any, y: Any) -> Any:
    """The sum of two cotangents."""
    return P.add(as_array(x), as_array(y))


def add_tangents(x: Any, y: Any) -> Any:
    """The sum of two tangents, either of which may be a symbolic zero."""
    if isinstance(x, Zero):
        return y
    return x if isinstance(y, Zero) else add_jaxvals(x, y)


def get_primitive_transpose(p: Any) -> Callable[..., Any]:
    """The transpose rule of a primitive."""
    return primitive_transposes[p]


def defjvp(primitive: Primitive, *jvprules: Callable[..., Any] | None) -> None:
    """One rule an operand: rule(tangent, *primals, **params) -> tangent of the result. None: no derivative there."""

    def with_result(rule: Callable[..., Any]) -> Callable[..., Any]:
        return lambda t, out, *primals, **params: rule(t, *primals, **params)

    defjvp2(primitive, *[None if rule is None else with_result(rule) for rule in jvprules])


def defjvp2(primitive: Primitive, *jvprules: Callable[..., Any] | None) -> None:
    """As defjvp, with the result too: rule(tangent, result, *primals, **params)."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = primitive.bind(*primals, **params)
        total: Any = Zero.from_primal_value(out)
        for rule, t in zip(jvprules, tangents, strict=True):
            if rule is not None and not isinstance(t, Zero):
                total = add_tangents(total, rule(t, out, *primals, **params))
        return out, total

    primitive_jvps[primitive] = jvp


def deflinear(primitive: Primitive, transpose_rule: Callable[..., Any]) -> None:
    """Of a linear primitive: transpose_rule(cotangent, **params) -> cotangents of the operands."""
    deflinear2(primitive, lambda ct, *_, **params: transpose_rule(ct, **params))


def deflinear2(primitive: Primitive, transpose_rule: Callable[..., Any]) -> None:
    """Of a linear primitive: transpose_rule(cotangent, *operands, **params) -> cotangents of the operands."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = primitive.bind(*primals, **params)
        if all(isinstance(t, Zero) for t in tangents):
            zero = Zero.from_primal_value
            return out, list(map(zero, out)) if primitive.multiple_results else zero(out)
        return out, primitive.bind(*map(instantiate_zeros, tangents), **params)

    def transpose(cts: Any, *args: Any, **params: Any) -> Any:
        several = isinstance(cts, (tuple, list))
        if all(isinstance(ct, Zero) for ct in (cts if several else [cts])):
            return [Zero(x.aval) if is_undefined_primal(x) else None for x in args]
        return transpose_rule(list(map(instantiate_zeros, cts)) if several else cts, *args, **params)

    primitive_jvps[primitive] = jvp
    primitive_transposes[primitive] = transpose


def defbilinear(primitive: Primitive, lhs_rule: Callable[..., Any], rhs_rule: Callable[..., Any]) -> None:
    """Of a primitive that is linear in each of two operands: rule(cotangent, x, y, **params) -> the operand's cotangent."""

    def transpose(ct: Any, x: Any, y: Any, **params: Any) -> Any:
        if isinstance(ct, Zero):
            return [None, None]
        if is_undefined_primal(x):
            return [lhs_rule(ct, x, y, **params), None]
        return [None, rhs_rule(ct, x, y, **params)]

    defjvp(
        primitive,
        lambda t, x, y, **params: primitive.bind(t, y, **params),
        lambda t, x, y, **params: primitive.bind(x, t, **params),
    )
    primitive_transposes[primitive] = transpose
