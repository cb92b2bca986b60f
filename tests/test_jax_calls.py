"""fnn.lax, nn, image, ops, tree and the transformations give what JAX gives: `tests.jax_calls` has calls and results."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import image, lax, nn, ops, random, tree, tree_util
from tests.jax_calls import CASES, evaluated, names, recorded

KNOWN = names(
    fnp, lax=lax, nn=nn, image=image, ops=ops, tree=tree, tree_util=tree_util, random=random, jax=fnn,
    jit=fnn.jit, grad=fnn.grad, vmap=fnn.vmap,
)  # fmt: skip
WANTED = recorded()
TOLERANCES = {"float16": 4e-3, "bfloat16": 2e-2}


def difference(got: Any, want: Any) -> str | None:
    """Where two descriptions differ; None if they agree but for rounding. Of several operands JAX may refuse some that
    fnn has a result for (the reciprocal of an integer)."""
    if isinstance(want, list) and isinstance(got, list):
        if len(got) != len(want):
            return f"{len(got)} results for {len(want)}"
        pairs = enumerate(zip(got, want, strict=True))
        found = [(i, difference(g, w)) for i, (g, w) in pairs if w != "refused"]
        return next((f"[{i}] {d}" for i, d in found if d), None)
    if isinstance(want, dict) and "dtype" in want and isinstance(got, dict):
        if got["shape"] != want["shape"] or got["dtype"] != want["dtype"]:
            return f"{got['dtype']}{got['shape']} for {want['dtype']}{want['shape']}"
        x, y = (np.asarray(d["numbers"], float) for d in (got, want))
        tolerance = TOLERANCES.get(want["dtype"], 2e-5)
        with np.errstate(invalid="ignore"):
            top = np.abs(y[np.isfinite(y)]).max(initial=1)
        exact = want["dtype"].startswith(("bool", "int", "uint"))
        close = (
            np.array_equal(x, y) if exact else np.allclose(x, y, tolerance, tolerance * top, equal_nan=True)
        )
        return None if close else f"{x} for {y}"
    return None if got == want else f"{got} for {want}"


@pytest.mark.parametrize("part", CASES)
def test_calls_give_what_jax_gives(part: str) -> None:
    wrong = []
    for expression in CASES[part]:
        found = difference(evaluated(expression, KNOWN), WANTED[part][expression])
        if found and expression not in OTHERWISE:
            wrong.append(f"{expression}: {found}")
    assert not wrong, "\n".join(wrong)


# What is otherwise on purpose.
OTHERWISE = {
    "each(lax.digamma)": "-inf at 0, as SciPy's",
    "pairs(lax.atan2)": "the angle of two complex numbers",
    "pairs(lax.zeta)": "of order 0",
    "pairs(lax.polygamma)": "at 0",
    "lax.add(X, 1)": "a Python integer goes with every dtype",
    "lax.mul(2, W)": "a Python integer goes with every dtype",
    "each(lambda x: lax.cumlogsumexp(x, axis=0))": "of complex numbers",
    "each(lambda x: lax.cumlogsumexp(x, axis=0, reverse=True))": "of complex numbers",
    "over(lambda x: lax.ppermute(x, 'i', [(0, 1)]))": "who receives from nobody has zeros under vmap too",
    "over(lambda x: lax.pcast(x, 'i', to='varying'))": "what varies is not tracked",
    "str(jax.jacfwd(lambda x: x.astype(int))(W[0]).dtype)": "derivatives of integers are float0 everywhere",
    "str(jax.jacrev(lambda x: x * 2.0, allow_int=True)(3).dtype)": "derivatives of integers are float0 everywhere",
    "each(nn.hard_tanh)": "JAX's -1 is 255 among unsigned integers",
    "each(nn.log_sigmoid)": "JAX's differences of unsigned integers wrap around",
    "each(nn.squareplus)": "JAX's squares of unsigned integers wrap around",
    "each(nn.softmax)": "JAX's differences of unsigned integers wrap around",
    "each(nn.log_softmax)": "JAX's differences of unsigned integers wrap around",
    "each(nn.standardize)": "JAX's squares of unsigned integers wrap around",
    "each(nn.mish)": "of complex numbers",
    "each(nn.softplus)": "of complex numbers",
}


PUBLIC = {  # whose functions must all be called
    "lax": lax, "lax.linalg": lax.linalg, "nn": nn, "nn.initializers": nn.initializers, "image": image, "ops": ops,
    "tree": tree, "tree_util": tree_util,
}  # fmt: skip
HELD = {"tree": "test_tree.py", "tree_util": "test_tree.py"}  # what these tests call counts as well
# Arrangements on devices have tests of their own; what reads structures for `jit`, and makes modules nodes, is not typed.
APART = {"with_sharding_constraint", "reader", "register_attributes"}


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_function_is_called(module: str) -> None:
    files = [HELD.get(module, __file__), __file__]
    text = " ".join(e for cases in CASES.values() for e in cases)
    text += " ".join(Path(__file__).with_name(Path(f).name).read_text() for f in files)
    prefix = "tree(?:_util)?" if module.startswith("tree") else re.escape(module)
    given = PUBLIC[module]
    listed = getattr(given, "__all__", None) or [
        n for n in dir(given) if getattr(getattr(given, n), "__module__", "") == given.__name__
    ]
    functions = {n: getattr(given, n) for n in listed if n[0].islower()}
    functions = {n: f for n, f in functions.items() if callable(f) and not isinstance(f, type)}
    called = [f for n, f in functions.items() if re.search(rf"\b{prefix}\.(?:tree_)?{n}\b", text)]
    absent = [n for n, f in functions.items() if f not in called and n not in APART]
    assert not absent, " ".join(absent)


def test_tokens_pass_through_programs() -> None:
    token = fnn.jit(lambda t: lax.after_all(t, t))(lax.create_token())
    assert fnn.tree.structure(token) == fnn.tree.structure(lax.create_token())


def test_one_level_of_a_tree_and_classes_that_are_nodes() -> None:
    class Pair:
        def __init__(self, first: Any, second: Any):
            self.first, self.second = first, second

    keys = tree.GetAttrKey("first"), tree.GetAttrKey("second")
    tree.register_pytree_with_keys(
        Pair, lambda p: (((keys[0], p.first), (keys[1], p.second)), None), lambda _, xs: Pair(*xs)
    )

    @tree.register_static
    @dataclasses.dataclass(frozen=True)
    class Fixed:
        value: int

    @tree.register_dataclass
    @dataclasses.dataclass
    class Named:
        value: Any
        name: str = tree.static(default="none")

    assert tree.leaves(Named(1, "a")) == [1] and tree.map(lambda x: x + 1, Named(1, "a")) == Named(2, "a")
    pair = Pair(1, (2, 3))
    assert tree.is_tree_node(Pair) and tree.is_tree_node(Fixed) and not tree.is_tree_node(int)
    assert tree.flatten_one_level(pair)[0] == [1, (2, 3)]
    assert tree.flatten_one_level_with_keys(pair)[0] == [(keys[0], 1), (keys[1], (2, 3))]
    assert tree.leaves(Fixed(3)) == [] and tree.structure(Fixed(3)) != tree.structure(Fixed(4))
    assert [tree.keystr(p) for p in tree.leaf_paths(tree.structure(pair))] == [
        ".first",
        ".second[0]",
        ".second[1]",
    ]
    assert tree.flatten_up_to(tree.structure([0, 0]), [1, (2, 3)]) == [1, (2, 3)]
