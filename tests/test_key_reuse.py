"""Random keys that are used twice are found: at once outside of jit, in the graph inside; both places are named."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax, random
from fnn.errors import ArgumentError, KeyReuseError, KeyReuseWarning

PLACE = r"test_key_reuse\.py:\d+"


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    with fnn.config.using(debug_key_reuse="error"):
        yield


def keys() -> list[Any]:
    return [random.key(0), random.PRNGKey(0)]


def two_draws(key: Any) -> Any:
    return random.normal(key, (2,)) + random.uniform(key, (2,))


def draw_and_split(key: Any) -> Any:
    return random.normal(key), random.split(key)[0]


def one_of_many(key: Any) -> Any:
    pair = random.split(key)
    return random.normal(pair[0]) + random.gamma(pair[0], 2.0)


def in_a_scan(key: Any) -> Any:
    return lax.scan(lambda c, _: (c + random.normal(key), None), 0.0, None, length=3)[0]


def carried_unchanged(key: Any) -> Any:
    return lax.fori_loop(0, 3, lambda i, c: (c[0], c[1] + random.normal(c[0])), (key, 0.0))[1]


def in_a_while(key: Any) -> Any:
    return lax.while_loop(lambda x: x < 3.0, lambda x: x + random.uniform(key), 0.0)


def after_a_branch(key: Any) -> Any:
    x = lax.cond(True, lambda k: random.normal(k), lambda k: 0.0, key)
    return x + random.normal(key)


def in_an_inner_jit(key: Any) -> Any:
    return fnn.jit(random.normal)(key) + random.normal(key)


def inside_of_vmap(key: Any) -> Any:
    return fnn.vmap(two_draws)(random.split(key, 3))


def inside_of_grad(key: Any) -> Any:
    return fnn.grad(lambda x: fnp.sum(x * two_draws(key)))(1.0)


EAGER: list[Callable[[Any], Any]] = [two_draws, draw_and_split, inside_of_vmap, inside_of_grad]
TRACED = [*EAGER, one_of_many, in_a_scan, carried_unchanged, in_a_while, after_a_branch, in_an_inner_jit]


@pytest.mark.parametrize("f", EAGER)
def test_outside_of_jit(f: Callable[[Any], Any]) -> None:
    for key in keys():
        with pytest.raises(KeyReuseError, match=rf"random\.\w+ at .*{PLACE}.* used: .*"):
            f(key)


@pytest.mark.parametrize("f", TRACED)
def test_inside_of_jit(f: Callable[[Any], Any]) -> None:
    for key in keys():
        with pytest.raises(KeyReuseError, match=PLACE):
            fnn.jit(f)(key)


def test_both_places_are_named() -> None:
    def f(key: Any) -> Any:
        x = random.normal(key)
        return x + random.uniform(key)

    for call in (f, fnn.jit(f)):
        with pytest.raises(KeyReuseError) as caught:
            call(random.key(1))
        lines = [int(n) for n in re.findall(r"test_key_reuse\.py:(\d+)", str(caught.value))]
        start = f.__code__.co_firstlineno
        assert sorted(lines) == [start + 1, start + 2], str(caught.value)
        assert "random.normal" in str(caught.value) and "random.uniform" in str(caught.value)


def test_a_loop_is_named() -> None:
    with pytest.raises(KeyReuseError, match=r"every round.*fold_in"):
        fnn.jit(in_a_scan)(random.key(0))


def properly(key: Any) -> Any:
    key, use = random.split(key)
    x = random.normal(use)
    for i in range(3):
        x = x + random.normal(random.fold_in(key, i))
    again = random.clone(use)
    x = x + random.normal(again) + random.t(random.fold_in(key, 9), 3.0)
    branch = lambda k: random.normal(k)
    one, two, three, *_ = random.split(random.fold_in(key, 10), 5)
    x = x + lax.cond(x > 0, branch, lambda k: random.uniform(k), one)

    def step(c: Any, k: Any) -> Any:
        rest, k = random.split(k)
        return c + random.normal(k) + random.uniform(rest), None

    x = lax.scan(step, x, random.split(two, 4))[0]
    carried = lambda i, c: (random.split(c[0])[0], c[1] + random.normal(random.fold_in(c[0], i)))
    return lax.fori_loop(0, 3, carried, (three, x))[1] + fnn.vmap(random.normal)(random.split(key, 2)).sum()


def test_a_body_that_is_traced_again_uses_its_keys_once() -> None:
    def f(key: Any) -> Any:
        x = lax.cond(True, lambda: random.normal(key), lambda: 0.0)
        return (
            lax.scan(lambda c, i: (c + random.normal(random.fold_in(key, i)), None), 0, fnp.arange(3))[0] + x
        )

    fnn.jit(f)(random.key(0))


def test_proper_use_is_silent() -> None:
    for key in keys():
        properly(key)
    for key in keys():
        fnn.jit(properly)(key)
        fnn.jit(fnn.vmap(properly))(random.split(random.clone(key), 3))
        again = random.clone(key)
        fnn.jit(fnn.grad(lambda s, key=again: s * properly(key)))(1.0)


def test_a_function_may_be_traced_again() -> None:
    key = random.key(0)
    f = fnn.jit(lambda x: x + random.normal(key))
    f(1.0), f(np.ones(3))
    random.normal(key)


def test_by_default_it_warns_once_for_each_pair_of_places() -> None:
    assert (
        fnn.config.SETTINGS["debug_key_reuse"].default() == "warn"
        if hasattr(fnn.config, "SETTINGS")
        else True
    )
    with fnn.config.using(debug_key_reuse="warn"):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for _ in range(3):
                key = random.key(0)
                random.normal(key), random.bits(key)
        assert len(told) == 1 and told[0].category is KeyReuseWarning
        assert "FNN_DEBUG_KEY_REUSE=off" in str(told[0].message)


def test_the_setting() -> None:
    key = random.key(0)
    with fnn.config.using(debug_key_reuse=False):
        random.normal(key), random.normal(key)
        assert fnn.config.debug_key_reuse == "off"
    with fnn.config.using(jax_debug_key_reuse=True):
        assert fnn.config.debug_key_reuse == "error"
    with pytest.raises(ArgumentError, match="warn, error, off"):
        fnn.config.update("debug_key_reuse", "loud")


def taken_twice(key: Any) -> Any:
    keys = fnn.random.split(key, 3)
    return fnn.random.normal(keys[1]) + fnn.random.uniform(keys[1])


def in_a_compiled_function(key: Any) -> Any:
    return fnn.jit(lambda key: fnn.random.normal(key))(key) + fnn.random.uniform(key)


def in_two_compiled_functions(key: Any) -> Any:
    f, g = fnn.jit(lambda k: fnn.random.normal(k["a"])), fnn.jit(lambda x, k: x * fnn.random.uniform(k))
    return g(f({"a": key}), key)


def closed_over_by_a_loop(key: Any) -> Any:
    return fnn.lax.scan(lambda c, x: (c + x * fnn.random.normal(key), None), 0.0, fnp.arange(3.0))[0]


def closed_over_by_a_while_loop(key: Any) -> Any:
    return fnn.lax.fori_loop(0, 3, lambda i, c: c + fnn.random.normal(key), 0.0)


@pytest.mark.parametrize(
    "f",
    [
        taken_twice,
        in_a_compiled_function,
        in_two_compiled_functions,
        closed_over_by_a_loop,
        closed_over_by_a_while_loop,
    ],
)
@pytest.mark.parametrize("make", [fnn.random.key, fnn.random.PRNGKey])
def test_concrete_keys_outside_and_inside(f: Callable[[Any], Any], make: Callable[[int], Any]) -> None:
    with pytest.raises(KeyReuseError, match=r"same (random bits|key in every round)"):
        f(make(0))


@pytest.mark.parametrize("make", [fnn.random.key, fnn.random.PRNGKey])
def test_other_proper_uses_are_silent(make: Callable[[int], Any]) -> None:
    random = fnn.random

    def start() -> Any:
        keys = random.split(make(0), 3)
        return [random.normal(keys[i]) for i in range(3)]

    start(), start()  # the same seed again
    keys = random.split(make(1), 4)
    random.normal(keys[0]), random.normal(keys[1]), random.uniform(random.clone(keys[0]))
    random.normal(random.fold_in(keys[3], 1)), random.normal(random.fold_in(keys[3], 2))
    for k in random.split(make(2), 3):
        random.normal(k)
    k = make(3)
    for _ in range(4):  # stored and replaced, in memory that may be used again
        k, use = random.split(k)
        random.normal(use)
        k = random.split(k, 3)[0]
    f = fnn.jit(lambda k: (random.split(k)[0], 0.0))
    k = make(4)
    f(k), f(k)  # called again with the same arguments, as to time it
    for _ in range(4):
        k, _ = f(k)
    fnn.lax.scan(lambda c, k: (c + random.normal(k), None), 0.0, random.split(make(5), 3))
    fnn.lax.fori_loop(0, 3, lambda i, c: c + random.normal(random.fold_in(keys[2], i)), 0.0)
    one = make(6)
    fnn.lax.scan(lambda c, x: (c + random.normal(one), None), 0.0, fnp.arange(1.0))
    fnn.vmap(random.normal)(random.split(make(7), 3))
