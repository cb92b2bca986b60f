"""`jax.extend.linear_util` and the part of `jax.api_util` that goes with it: functions with wrappers around them, each
written as a generator that changes the arguments, yields them, and changes the result."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fnn import tree
from fnn.errors import ArgumentError

__all__ = [
    "Store", "StoreException", "WrappedFun", "argnums_partial", "debug_info", "flatten_fun", "flatten_fun_nokwargs",
    "transformation", "transformation2", "transformation_with_aux", "transformation_with_aux2", "wrap_init",
]  # fmt: skip


class StoreException(Exception):
    """A store was read before it was filled, or filled twice."""


class Store:
    """A place for what a wrapper finds out beside its result."""

    def __init__(self) -> None:
        self.filled: list[Any] = []

    def store(self, value: Any) -> None:
        self.filled[:] = [value]

    @property
    def val(self) -> Any:
        if not self.filled:
            raise StoreException("the function has not been called yet")
        return self.filled[0]

    def __call__(self) -> Any:
        return self.val


class WrappedFun:
    """A function with wrappers around it. `call_wrapped` calls it."""

    def __init__(self, f: Callable[..., Any], call: Callable[..., Any], params: dict[str, Any], info: Any):
        self.f, self.call, self.params, self.debug_info = f, call, params, info

    @property
    def __name__(self) -> str:
        return getattr(self.f, "__name__", "<unnamed function>")

    def call_wrapped(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **{**self.params, **kwargs})

    def wrap(self, call: Callable[..., Any]) -> WrappedFun:
        return WrappedFun(self.f, call, {}, self.debug_info)


def wrap_init(f: Callable[..., Any], params: Any = None, *, debug_info: Any = None) -> WrappedFun:
    """A function without wrappers yet."""
    return WrappedFun(f, f, dict(params or {}), debug_info)


def _driven(generator: Callable[..., Any], inner: Callable[..., Any], given: tuple, args: tuple) -> Any:
    steps = generator(*given, *args)
    positional, named = next(steps)
    return steps.send(inner(*positional, **named))


def transformation(generator: Callable[..., Any]) -> Callable[..., WrappedFun]:
    """A wrapper: generator(*settings, *args) yields (args, kwargs) for the function, then the result."""

    @functools.wraps(generator)
    def wrapper(fun: WrappedFun, *given: Any) -> WrappedFun:
        return fun.wrap(lambda *args: _driven(generator, fun.call_wrapped, given, args))

    return wrapper


def transformation_with_aux(generator: Callable[..., Any]) -> Callable[..., tuple[WrappedFun, Store]]:
    """As transformation; the generator ends with (result, auxiliary), of which the latter is kept in a store."""

    @functools.wraps(generator)
    def wrapper(fun: WrappedFun, *given: Any) -> tuple[WrappedFun, Store]:
        store = Store()

        def call(*args: Any) -> Any:
            out, aux = _driven(generator, fun.call_wrapped, given, args)
            store.store(aux)
            return out

        return fun.wrap(call), store

    return wrapper


def transformation2(transform: Callable[..., Any]) -> Callable[..., WrappedFun]:
    """A wrapper that calls the function itself: transform(f, *settings, *args, **kwargs)."""

    @functools.wraps(transform)
    def wrapper(fun: WrappedFun, *given: Any) -> WrappedFun:
        return fun.wrap(functools.partial(transform, fun.call_wrapped, *given))

    return wrapper


def transformation_with_aux2(transform: Callable[..., Any]) -> Callable[..., tuple[WrappedFun, Store]]:
    """As transformation2: transform(f, store, *settings, *args, **kwargs) fills the store."""

    @functools.wraps(transform)
    def wrapper(fun: WrappedFun, *given: Any) -> tuple[WrappedFun, Store]:
        store = Store()
        return fun.wrap(functools.partial(transform, fun.call_wrapped, store, *given)), store

    return wrapper


@transformation_with_aux
def flatten_fun(in_tree: Any, *leaves: Any) -> Any:
    """A function of the leaves of (args, kwargs), and a store of its result's structure."""
    out = yield tree.unflatten(in_tree, leaves)
    yield tree.flatten(out)


@transformation_with_aux
def flatten_fun_nokwargs(in_tree: Any, *leaves: Any) -> Any:
    """A function of the leaves of its positional arguments, and a store of its result's structure."""
    out = yield tree.unflatten(in_tree, leaves), {}
    yield tree.flatten(out)


def argnums_partial(
    fun: WrappedFun, dyn_argnums: Any, args: Any, require_static_args_hashable: bool = True
) -> Any:
    """(the function of the arguments at these positions, those arguments); the others are fixed."""
    places = [dyn_argnums] if isinstance(dyn_argnums, int) else list(dyn_argnums)
    if any(not -len(args) <= i < len(args) for i in places):
        raise ArgumentError(f"argnums {places} for a function of {len(args)} arguments")
    places = [i % len(args) for i in places]

    def call(*given: Any, **kwargs: Any) -> Any:
        full = list(args)
        for i, x in zip(places, given, strict=True):
            full[i] = x
        return fun.call_wrapped(*full, **kwargs)

    return fun.wrap(call), tuple(args[i] for i in places)


def debug_info(traced_for: str, fun: Callable[..., Any], args: Any, kwargs: Any, **_: Any) -> str:
    """What an error says of a function."""
    return f"{traced_for} of {getattr(fun, '__name__', fun)}"
