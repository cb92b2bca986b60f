"""Mistakes that newcomers make: what each error is, that it names the user's line or argument, and the way out."""

from __future__ import annotations

import dataclasses
import operator
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import errors, lax, tree
from tests.transform_checks import refused

X = fnp.array([1.0, 2.0, 3.0])


# -- values that are not there yet -------------------------------------------------------------------------------------


def test_if_on_a_traced_value() -> None:
    @fnn.jit
    def f(x: Any) -> Any:
        if x > 0:
            return x
        return -x

    with refused(errors.TracerBoolConversionError, TypeError, "fnn.numpy.where", "cond", "argument x of f"):
        f(1.0)


def test_while_on_a_traced_value() -> None:
    @fnn.jit
    def f(x: Any) -> Any:
        while x < 10:
            x = x * 2
        return x

    with refused(errors.TracerBoolConversionError, TypeError, "fnn.lax.while_loop", "argument x"):
        f(1.0)


def test_if_on_a_mapped_value() -> None:
    def f(x: Any) -> Any:
        return x if x > 0 else -x

    with refused(errors.TracerBoolConversionError, TypeError, "vmap", "fnn.numpy.where"):
        fnn.vmap(f)(X)


def test_if_in_the_body_of_a_scan() -> None:
    def step(c: Any, x: Any) -> Any:
        return (c + x if x > 1 else c), None

    with refused(errors.TracerBoolConversionError, TypeError, "scan", "fnn.lax.cond", "xs"):
        lax.scan(step, 0.0, X)


def test_float_of_a_traced_value() -> None:
    with refused(errors.ConcretizationError, TypeError, "float()", "static"):
        fnn.jit(lambda x: float(x) * 2)(1.0)


def test_range_of_a_traced_value() -> None:
    @fnn.jit
    def f(n: Any) -> Any:
        total = 0
        for i in range(n):
            total = total + i
        return total

    with refused(errors.TracerIntegerConversionError, TypeError, "static_argnums", "argument n"):
        f(3)


def test_a_list_indexed_by_a_traced_value() -> None:
    with refused(errors.TracerIntegerConversionError, TypeError, "index", "static"):
        fnn.jit(lambda i: [1.0, 2.0][i])(1)


def test_numpy_on_a_traced_value() -> None:
    with refused(errors.TracerArrayConversionError, TypeError, "fnn.numpy"):
        fnn.jit(lambda x: np.linalg.norm(x))(X)


def test_a_traced_value_kept_in_a_list() -> None:
    seen: list[Any] = []

    @fnn.jit
    def f(x: Any) -> Any:
        seen.append(x * 2)
        return x

    f(X)
    with refused(errors.LeakError, RuntimeError, "Return it"):
        seen[0] + 1


def test_a_traced_value_kept_from_grad() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(x * 2)
        return x

    fnn.grad(fnn.jit(f))(1.0)
    with refused(errors.LeakError, RuntimeError, "Return it"):
        fnn.jit(lambda y: y + seen[0])(1.0)


def test_a_traced_static_argument() -> None:
    power = fnn.jit(lambda x, n: x**n, static_argnums=1)
    with refused(errors.ArgumentError, TypeError, "static argument 1", "ordinary"):
        fnn.jit(lambda n: power(2.0, n))(3)


# -- arguments ---------------------------------------------------------------------------------------------------------


def test_an_unhashable_static_argument() -> None:
    f = fnn.jit(lambda x, sizes: x * len(sizes), static_argnums=1)
    with refused(errors.ArgumentError, TypeError, "argument 1 is a list", "tuple"):
        f(1.0, [1, 2])


def test_an_array_as_a_static_argument() -> None:
    f = fnn.jit(lambda x, y: x * y, static_argnames="y")
    with refused(errors.ArgumentError, TypeError, "'y'", "static_argnums"):
        f(1.0, y=X)


def test_a_static_argument_that_does_not_exist() -> None:
    with refused(errors.ArgumentError, ValueError, "no argument 'size'", "x, n", here=False):
        fnn.jit(lambda x, n: x, static_argnames="size")


def test_a_string_argument() -> None:
    with refused(errors.ArgumentError, TypeError, "options['mode']", "static"):
        fnn.jit(lambda x, options: x)(1.0, {"mode": "fast"})


def test_the_path_of_an_argument_that_is_no_array() -> None:
    """As the user would write it, whichever the transformation."""
    bad = {"mode": "fast"}
    with refused(errors.ArgumentError, TypeError, "args[1]['mode']"):
        fnn.vmap(lambda x, options: x)(X, bad)
    with refused(errors.ArgumentError, TypeError, "options['mode']"):
        fnn.vmap(lambda x, options: x)(X, options=bad)
    with refused(errors.ArgumentError, TypeError, "args[1]['mode']"):
        fnn.grad(lambda x, options: x, argnums=1)(1.0, bad)
    with refused(errors.ArgumentError, TypeError, "args[1]['mode']"):
        fnn.jacrev(lambda x, options: x, argnums=1)(1.0, bad)
    with refused(errors.ArgumentError, TypeError, "options['mode']"):
        fnn.checkpoint(lambda x, options: x)(X, options=bad)


def test_an_object_that_is_no_pytree() -> None:
    @dataclasses.dataclass
    class Model:
        w: Any

    with refused(errors.ArgumentError, TypeError, "args[0]", "Model", "static"):
        fnn.grad(lambda m: m.w * 2.0)(Model(1.0))


def test_an_object_returned_from_jit() -> None:
    with refused(errors.ArgumentError, TypeError, "the result of", "'name'"):
        fnn.jit(lambda x: {"value": x, "name": object()})(1.0)


def test_the_result_in_place_of_the_function() -> None:
    def loss(x: Any) -> Any:
        return x * x

    with refused(errors.ArgumentError, TypeError, "grad(loss)(x)", here=False):
        fnn.grad(loss(2.0))
    with refused(errors.ArgumentError, TypeError, "takes a function", here=False):
        fnn.vmap(loss(2.0))
    with refused(errors.ArgumentError, TypeError, "takes a function", here=False):
        fnn.jit(loss(2.0))


def test_use_of_a_donated_array() -> None:
    f = fnn.jit(lambda x: x + 1.0, donate_argnums=0)
    x = X * 2
    f(x)
    with refused(errors.DonatedError, RuntimeError, "donate_argnums", "result"):
        x + 1.0


# -- derivatives -------------------------------------------------------------------------------------------------------


def test_grad_of_an_integer() -> None:
    with refused(errors.DifferentiationError, TypeError, "args[0]", "astype"):
        fnn.grad(lambda n: n * 2.0)(3)


def test_grad_of_an_integer_inside_a_tree() -> None:
    params = {"w": X, "steps": fnp.array(3)}
    with refused(errors.DifferentiationError, TypeError, "args[1]['steps']", "astype"):
        fnn.grad(lambda x, p: fnp.sum(p["w"]) * x, argnums=1)(1.0, params)


def test_a_loss_that_is_no_scalar() -> None:
    with refused(errors.DifferentiationError, TypeError, "scalar", "f32[3]", "sum"):
        fnn.grad(lambda x: x * 2)(X)


def test_a_loss_with_a_second_result() -> None:
    with refused(errors.DifferentiationError, TypeError, "scalar", "has_aux"):
        fnn.grad(lambda x: (fnp.sum(x), x))(X)


def test_has_aux_without_a_pair() -> None:
    with refused(errors.ArgumentError, TypeError, "has_aux", "(value, aux)"):
        fnn.grad(lambda x: fnp.sum(x), has_aux=True)(X)


def test_argnums_out_of_range() -> None:
    with refused(errors.ArgumentError, ValueError, "argnums has 1", "by name"):
        fnn.grad(lambda x, y: x * y, argnums=1)(1.0, y=2.0)


def test_jvp_with_bare_arrays() -> None:
    with refused(errors.ArgumentError, TypeError, "jvp(f, (x,), (t,))", here=False):
        fnn.jvp(fnp.sin, X, X)


def test_a_tangent_of_another_structure() -> None:
    with refused(errors.TreeError, ValueError, "structure"):
        fnn.jvp(lambda p: p["a"], ({"a": 1.0},), ((1.0,),))


def test_a_tangent_of_another_shape() -> None:
    with refused(errors.DifferentiationError, TypeError, "args[0]", "f32[2]", "f32[3]"):
        fnn.jvp(lambda x: x * 2, (X,), (fnp.ones(2),))


def test_a_cotangent_of_another_shape() -> None:
    _, pull = fnn.vjp(lambda x: x * 2, X)
    with refused(errors.DifferentiationError, TypeError, "cotangent", "f32[2]", "f32[3]"):
        pull(fnp.ones(2))


def test_reverse_mode_of_an_unbounded_while() -> None:
    def f(x: Any) -> Any:
        return lax.while_loop(lambda c: c < 10.0, lambda c: c * x, x)

    with refused(errors.DifferentiationError, TypeError, "fori_loop", "scan", "jvp"):
        fnn.grad(f)(2.0)


def test_a_custom_rule_that_is_missing() -> None:
    f = fnn.custom_vjp(lambda x: x * 2)
    with refused(errors.DifferentiationError, TypeError, "defvjp"):
        f(1.0)


def test_a_backward_rule_with_too_few_cotangents() -> None:
    f = fnn.custom_vjp(lambda x, y: x * y)
    f.defvjp(lambda x, y: (x * y, (x, y)), lambda saved, ct: ct * saved[1])
    with refused(errors.ArgumentError, TypeError, "tuple", "2 differentiable"):
        fnn.grad(f)(1.0, 2.0)


def test_a_custom_rule_that_closes_over_a_traced_value() -> None:
    def outer(t: Any) -> Any:
        f = fnn.custom_vjp(lambda x: x * t)
        f.defvjp(lambda x: (x * t, None), lambda _, ct: (ct,))
        return f(2.0)

    with refused(errors.DifferentiationError, TypeError, "closes over", "pass it as an argument"):
        fnn.jit(fnn.grad(lambda t: fnn.jit(outer)(t)))(3.0)


# -- shapes, axes and trees --------------------------------------------------------------------------------------------


def test_shapes_that_do_not_broadcast() -> None:
    with refused(errors.ShapeError, ValueError, "(3,)", "(2,)", "axis"):
        X + fnp.ones(2)


def test_a_matrix_product_of_shapes_that_do_not_fit() -> None:
    with refused(errors.ShapeError, ValueError, "(2, 3)", ".T"):
        fnp.ones((2, 3)) @ fnp.ones((2, 3))


def test_vmap_over_axes_of_different_sizes() -> None:
    with refused(errors.ShapeError, ValueError, "args[0]", "args[1]", "in_axes=None"):
        fnn.vmap(lambda a, b: a + b)(X, fnp.ones(2))


def test_in_axes_that_do_not_match_the_arguments() -> None:
    with refused(errors.ArgumentError, TypeError, "in_axes has 1", "2 positional"):
        fnn.vmap(lambda a, b: a + b, in_axes=(0,))(X, X)


def test_an_axis_that_is_not_there() -> None:
    with refused(errors.ShapeError, ValueError, "axis 1", "args[0]", "f32[3]"):
        fnn.vmap(lambda a: a, in_axes=1)(X)


def test_vmap_of_nothing() -> None:
    with refused(errors.ArgumentError, ValueError, "no argument is mapped", "axis_size"):
        fnn.vmap(lambda a: a, in_axes=None)(X)


def test_out_axes_none_for_what_differs() -> None:
    with refused(errors.ArgumentError, ValueError, "out_axes is None", "give it an axis"):
        fnn.vmap(lambda a: a * 2, out_axes=None)(X)


def test_an_axis_name_that_nothing_binds() -> None:
    with refused(errors.AxisNameError, NameError, "'batch'", "axis_name='batch'"):
        fnn.vmap(lambda x: lax.psum(x, "batch"))(X)


def test_a_scan_whose_carry_changes_its_shape() -> None:
    with refused(errors.ShapeError, TypeError, "carry", "f32[]", "f32[3]"):
        lax.scan(lambda c, x: (c + X, None), 0.0, X)


def test_a_scan_whose_carry_changes_its_type() -> None:
    with refused(errors.ShapeError, TypeError, "carry['n']", "i32[]", "astype"):
        lax.scan(lambda c, x: ({"n": c["n"] + x}, None), {"n": fnp.array(0, "int32")}, X)


def test_a_scan_whose_carry_changes_its_structure() -> None:
    with refused(errors.TreeError, ValueError, "structure"):
        lax.scan(lambda c, x: ((c, c), None), 0.0, X)


def test_a_scan_that_returns_no_pair() -> None:
    with refused(errors.ArgumentError, TypeError, "pair (carry, y)", "(carry, None)"):
        lax.scan(lambda c, x: c + x, 0.0, X)


def test_a_scan_over_arrays_of_different_lengths() -> None:
    with refused(errors.ShapeError, ValueError, "xs[0]", "xs[1]", "length"):
        lax.scan(lambda c, x: (c, None), 0.0, (X, fnp.ones(2)))


def test_branches_of_different_types() -> None:
    with refused(errors.ShapeError, TypeError, "branches", "f32[3]", "f32[]"):
        lax.cond(True, lambda x: x, lambda x: fnp.sum(x), X)
    with refused(errors.ShapeError, TypeError, "f32[3]", "i32[3]", ".astype"):
        lax.switch(1, [lambda x: x, lambda x: x.astype(fnp.int32), lambda x: x], X)


def test_branches_of_different_structures() -> None:
    with refused(errors.TreeError, ValueError, "branches", "structure"):
        lax.cond(True, lambda x: (x, x), lambda x: x, X)


def test_cond_with_an_array_for_a_predicate() -> None:
    with refused(errors.ArgumentError, TypeError, "scalar predicate", "fnn.numpy.where"):
        lax.cond(X > 1, lambda x: x, lambda x: -x, X)


def test_a_while_loop_whose_condition_is_no_bool() -> None:
    with refused(errors.ArgumentError, TypeError, "one bool"):
        lax.while_loop(lambda x: 10.0 - x, lambda x: x + 1.0, 0.0)


def test_trees_of_different_structures() -> None:
    with refused(errors.TreeError, ValueError, "'b'", here=False):
        tree.map(operator.add, {"w": 1.0, "b": 2.0}, {"w": 1.0})


# -- arrays ------------------------------------------------------------------------------------------------------------


def test_item_assignment() -> None:
    x = X
    with refused(errors.ImmutableError, TypeError, "x.at[0].set("):
        x[0] = 5.0


def test_item_assignment_in_a_jitted_function() -> None:
    @fnn.jit
    def f(x: Any) -> Any:
        x[1] = 0.0
        return x

    with refused(errors.ImmutableError, TypeError, ".at[1].set("):
        f(X)


def test_a_float_for_an_index() -> None:
    with refused(errors.IndexingError, IndexError, "int"):
        X[1.0]


def test_an_index_out_of_range() -> None:
    with refused(errors.IndexingError, IndexError, "3"):
        X[3]


def test_too_many_indices() -> None:
    with refused(errors.IndexingError, IndexError, "1"):
        X[0, 0]


def test_a_boolean_mask_in_a_jitted_function() -> None:
    with refused(errors.NonConcreteBooleanIndexError, IndexError, "where"):
        fnn.jit(lambda x: fnp.sum(x[x > 1]))(X)


def test_the_truth_of_an_array() -> None:
    with refused(errors.ArgumentError, ValueError, "any", "all"):
        bool(X > 1)


def test_a_ragged_list() -> None:
    with refused(errors.ArgumentError, ValueError, "rows"):
        fnp.array([[1.0, 2.0], [3.0]])


def test_a_module_is_not_changed_in_place() -> None:
    class Linear(fnn.Module):
        w: Any

    layer = Linear(X)
    with refused(errors.ImmutableError, AttributeError, "replace", here=False):
        layer.w = X * 2


@pytest.mark.parametrize("name", ["enable_x65", "jax_enable_x65"])
def test_a_setting_that_does_not_exist(name: str) -> None:
    with refused(errors.ArgumentError, ValueError, "enable_x64", here=False):
        fnn.config.update(name, True)
