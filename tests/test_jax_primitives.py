"""Primitives that a library defines by JAX's rules, and the parts of jax.core and jax.interpreters beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.compat.jax import core, dtypes, linear_util
from fnn.compat.jax.interpreters import ad, batching, mlir, partial_eval
from fnn.compat.jax.primitives import Primitive
from fnn.config import config
from fnn.errors import DifferentiationError, UnsupportedError
from fnn.test_util import check_grads


def scaled() -> Primitive:
    """x -> factor * sin(x), with every rule of its own."""
    p = Primitive("scaled")
    f = lambda x, *, factor: factor * fnp.sin(x)
    p.def_impl(f)
    p.def_abstract_eval(lambda x, *, factor: core.ShapedArray(x.shape, x.dtype))
    mlir.register_lowering(p, mlir.lower_fun(f, multiple_results=False))
    ad.primitive_jvps[p] = lambda primals, tangents, *, factor: (
        p.bind(*primals, factor=factor),
        ad.instantiate_zeros(tangents[0]) * factor * fnp.cos(primals[0]),
    )
    batching.primitive_batchers[p] = lambda xs, dims, *, factor: (p.bind(*xs, factor=factor), dims[0])
    return p


def test_every_transformation_asks_for_its_rule() -> None:
    p = scaled()
    f = lambda x: p.bind(x, factor=3.0)
    x = fnp.linspace(-1.0, 1.0, 5)
    for g in (f, fnn.jit(f), fnn.vmap(f), fnn.jit(fnn.vmap(f)), fnn.vmap(fnn.jit(f))):
        np.testing.assert_allclose(g(x), 3 * np.sin(x), rtol=1e-6)
    for g in (fnn.grad(f), fnn.jit(fnn.grad(f)), fnn.grad(fnn.jit(f)), lambda t: fnn.jvp(f, (t,), (1.0,))[1]):
        np.testing.assert_allclose(g(0.5), 3 * np.cos(0.5), rtol=1e-6)
    np.testing.assert_allclose(fnn.vmap(fnn.grad(fnn.grad(f)))(x), -3 * np.sin(x), rtol=1e-5)
    np.testing.assert_allclose(fnn.lax.scan(lambda c, y: (c, f(y)), 0.0, x)[1], 3 * np.sin(x), rtol=1e-6)


def test_linear_primitives_are_transposed() -> None:
    p = Primitive("turn")
    p.multiple_results = True
    p.def_impl(lambda x, y: [y, -x])
    p.def_abstract_eval(lambda x, y: [y, x])
    ad.deflinear2(p, lambda cts, x, y: [-cts[1], cts[0]])
    f = lambda x, y: fnp.stack(p.bind(x * y, fnp.sin(y)))
    for g in (f, fnn.jit(f)):
        check_grads(g, (fnp.array([1.0, 2.0]), fnp.array([0.5, -1.0])), order=2)
    double = Primitive("double")
    double.def_impl(lambda x, y: x * y)
    double.def_abstract_eval(lambda x, y: x)
    ad.defbilinear(double, lambda ct, x, y: double.bind(ct, y), lambda ct, x, y: double.bind(ct, x))
    check_grads(double.bind, (fnp.array([1.0, 2.0]), fnp.array([0.5, -1.0])), order=2)


def test_a_rule_that_refuses_is_asked_only_in_reverse() -> None:
    p = Primitive("forward_only")
    p.def_impl(lambda x: x)
    p.def_abstract_eval(lambda x: x)
    ad.primitive_jvps[p] = lambda primals, tangents: (p.bind(*primals), p.bind(*tangents))

    def refuse(ct: Any, x: Any) -> Any:
        assert ad.is_undefined_primal(x) and x.aval.shape == ()
        raise RuntimeError("not in reverse")

    ad.primitive_transposes[p] = refuse
    assert float(fnn.jvp(p.bind, (2.0,), (3.0,))[1]) == 3.0
    with pytest.raises(RuntimeError, match="not in reverse"):
        fnn.grad(p.bind)(2.0)
    assert float(fnn.linearize(p.bind, 2.0)[1](3.0)) == 3.0  # forwards, then


def test_what_a_primitive_lacks_is_said() -> None:
    p = Primitive("bare")
    with pytest.raises(UnsupportedError, match=r"bare, at .*no implementation"):
        p.bind(1.0)
    with pytest.raises(UnsupportedError, match="no rule for types"):
        fnn.jit(p.bind)(1.0)
    p.def_impl(lambda x: x)
    p.def_abstract_eval(lambda x: x)
    mlir.register_lowering(p, lambda ctx, x: [x])
    assert float(fnn.jit(p.bind)(1.0)) == 1.0  # its implementation is traced
    with pytest.raises(DifferentiationError, match=r"bare, at .*no derivative"):
        fnn.grad(p.bind)(1.0)
    with pytest.raises(UnsupportedError, match="no rule for batches"):
        fnn.vmap(p.bind)(fnp.ones(2))
    from fnn.compat.jax.private import sin_p  # pyright: ignore[reportAttributeAccessIssue]

    with pytest.raises(UnsupportedError, match="sin is fnn's own"):
        ad.primitive_jvps[sin_p] = lambda *_: None
    with pytest.raises(UnsupportedError, match="no interpreters of JAX's kind"):
        core.take_current_trace()


def test_graphs_under_jaxs_names() -> None:
    closed, shape = core.make_jaxpr(lambda x, y: (fnp.sin(x) * y, 1.0), return_shape=True)(1.0, fnp.ones(2))
    assert [e.primitive.name for e in closed.eqns][:1] == ["sin"] and shape[0].shape == (2,)
    out = core.eval_jaxpr(closed.jaxpr, closed.consts, 0.5, fnp.ones(2))
    np.testing.assert_allclose(out[0], np.sin(0.5) * np.ones(2), rtol=1e-6)
    captured = []

    def f(x: Any) -> Any:
        inner = core.make_jaxpr(lambda y: x * y)(2.0)
        captured.append(len(inner.consts))
        return core.eval_jaxpr(inner.jaxpr, inner.consts, 2.0)[0]

    assert float(fnn.jit(f)(3.0)) == 6.0 and captured == [1]
    built = core.Jaxpr([], closed.jaxpr.invars, closed.jaxpr.outvars, closed.eqns)
    assert isinstance(built, core.Jaxpr) and len(built(0.5, fnp.ones(2))) == 2


def test_partial_evaluation() -> None:
    f = linear_util.wrap_init(lambda x, y: [fnp.sin(x), x * y])
    unknown = partial_eval.PartialVal.unknown(core.ShapedArray((), "float32"))
    jaxpr, outs, consts = partial_eval.trace_to_jaxpr_nounits(
        f, [partial_eval.PartialVal.known(2.0), unknown]
    )
    assert (
        outs[0].is_known() and abs(float(outs[0].get_known()) - np.sin(2.0)) < 1e-6 and not outs[1].is_known()
    )
    assert float(core.eval_jaxpr(jaxpr, consts, 5.0)[0]) == 10.0


def test_wrapped_functions() -> None:
    leaves, structure = fnn.tree.flatten(((1.0, {"a": 2.0}), {}))
    flat, shape = linear_util.flatten_fun(linear_util.wrap_init(lambda x, d: {"s": x + d["a"]}), structure)
    assert flat.call_wrapped(*leaves) == [3.0] and fnn.tree.unflatten(shape(), [3.0]) == {"s": 3.0}


def test_rules_that_use_the_function_on_tangents() -> None:
    @fnn.custom_jvp
    def f(x: Any) -> Any:
        return 2 * x

    f.defjvp(lambda primals, tangents: (f(*primals), f(*tangents)))
    assert float(fnn.grad(f)(1.0)) == float(fnn.jit(fnn.grad(f))(1.0)) == 2.0
    assert float(fnn.hessian(lambda x: f(x) ** 3)(1.0)) == 48.0


def test_symbolic_zeros() -> None:
    seen: list[Any] = []

    @fnn.custom_vjp
    def f(x: Any, y: Any) -> Any:
        return x * y

    def forward(x: Any, y: Any) -> Any:
        seen.append((x.perturbed, y.perturbed))
        return x.value * y.value, (y.value, True)

    def backward(saved: Any, ct: Any) -> Any:
        assert saved[1] is True  # Python's values stay such
        return ct * saved[0], None

    f.defvjp(forward, backward, symbolic_zeros=True)
    assert float(fnn.grad(f)(2.0, 3.0)) == float(fnn.grad(fnn.jit(f))(2.0, 3.0)) == 3.0
    assert seen == [(True, False)] * 2

    @fnn.custom_jvp
    def g(x: Any, y: Any) -> Any:
        return x * y

    def rule(primals: Any, tangents: Any) -> Any:
        seen.append(type(tangents[1]).__name__)
        return g(*primals), tangents[0] * primals[1]

    g.defjvp(rule, symbolic_zeros=True)
    assert float(fnn.grad(g)(2.0, 3.0)) == 3.0 and seen[-1] == "SymbolicZero"
    np.testing.assert_array_equal(fnn.vmap(fnn.grad(g))(fnp.ones(2), fnp.arange(2.0)), [0.0, 1.0])


def test_derivatives_beside_integers() -> None:
    out, slope = fnn.linearize(lambda x, i: (x * x, i + 1), 3.0, 2)
    found = slope(1.0, np.zeros((), fnn.dtypes.float0))
    assert float(found[0]) == 6.0 and found[1].dtype == fnn.dtypes.float0 and int(out[1]) == 3
    _, slope = fnn.linearize(
        lambda x: fnn.lax.while_loop(lambda c: c[0] < x, lambda c: (c[0] + 1.0, c[1] * x), (0.0, x))[1], 2.5
    )
    assert abs(float(slope(1.0)) - 4 * 2.5**3) < 1e-4


def test_explicit_64_bit_dtypes_in_programs_for_jax() -> None:
    wide = np.ones(2)

    def found() -> set[str]:
        xs = [
            fnp.zeros(2, np.float64), fnp.array(wide, dtype=wide.dtype), fnp.ones(2).astype("float64"), fnp.float64(1),
            fnp.full(2, 1.0, np.float64), fnn.lax.convert_element_type(wide, np.float64),
            fnn.random.normal(fnn.random.key(0), (2,), np.float64), fnp.sum(wide, dtype=np.float64),
            fnn.jit(lambda x: x + np.float64(1))(wide), fnp.linspace(0, 1, 3, dtype=np.float64),
        ]  # fmt: skip
        return {str(x.dtype) for x in xs}

    assert found() == {"float32", "float64"}
    with config.using(narrow_explicit=True):
        assert found() == {"float32"} and fnp.result_type("int64") == np.int32
        assert fnn.eval_shape(lambda x: x, fnn.ShapeDtypeStruct((2,), np.float64)).dtype == np.float32
        with config.using(enable_x64=True):
            assert "float64" in found()


def test_types_that_are_not_there_can_be_named() -> None:
    assert issubclass(type("Own", (dtypes.ExtendedDType,), {}), dtypes.ExtendedDType)
    aval = core.ShapedArray((2,), "int32").to_tangent_aval()
    assert aval.dtype == fnn.dtypes.float0 and aval.shape == (2,)
    state = core.get_opaque_trace_state()
    assert state == core.get_opaque_trace_state() and core.trace_state_clean()
    inside: list[bool] = []
    fnn.jit(lambda x: inside.append(core.trace_state_clean()) or x)(1.0)
    assert inside == [False]
