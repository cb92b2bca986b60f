"""Imports that happen when a name is first used, so that a program loads only the parts of fnn that it needs.

    with names(globals()):
        from fnn.operations.reductions import mean, sum

makes `mean` and `sum` names of this module, as the same lines outside of `with` would; but the module behind them is
imported when one of them is first read (PEP 562). Type checkers, linters and readers see plain imports.
They are attributes of the module, not globals of its functions. A :class:`Method` does the same for a class.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_LOCK = threading.RLock()  # held while Python's import function is exchanged


class _Promise:
    """What an import statement binds meanwhile: one name of a module."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name


class _Module:
    """What an import statement finds meanwhile: a module with any name."""

    __slots__ = ("_name",)

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> _Promise:
        return _Promise(self._name, name)


def _load(package: str, promise: _Promise) -> Any:
    """What `from module import name` gives; a name of the package itself is one of its modules."""
    if promise.module == package:
        return importlib.import_module(f"{package}.{promise.name}")
    module = importlib.import_module(promise.module)
    try:
        return getattr(module, promise.name)
    except AttributeError:
        if not hasattr(module, "__path__"):
            raise
    return importlib.import_module(f"{promise.module}.{promise.name}")


@contextmanager
def names(namespace: dict[str, Any]) -> Iterator[None]:
    """The imports inside of `with names(globals()):` are made when their names are first read from the module.
    A `__getattr__` that the module defines above answers for the names that are in none of them."""
    package: str = namespace["__name__"]

    def record(
        name: str,
        globals: Any = None,
        locals: Any = None,
        fromlist: tuple[str, ...] | None = (),
        level: int = 0,
    ) -> Any:
        if globals is namespace and fromlist and not level:
            return _Module(name)
        return real(name, globals, locals, fromlist, level)  # another thread's

    with _LOCK:
        real, builtins.__import__ = builtins.__import__, record
        try:
            yield
        finally:
            builtins.__import__ = real
    promises = {k: v for k, v in namespace.items() if type(v) is _Promise}
    for name in promises:
        del namespace[name]
        if (loaded := sys.modules.get(f"{package}.{name}")) and promises[name].module == package:
            namespace[name] = loaded  # a module that something below has imported
    other: Callable[[str], Any] | None = namespace.get("__getattr__")

    def __getattr__(name: str) -> Any:
        if promise := promises.get(name):
            value = namespace[name] = _load(package, promise)
            return value
        if other is not None:
            return other(name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*namespace, *promises})

    namespace.update(__getattr__=__getattr__, __dir__=__dir__)
    namespace.setdefault("__all__", [n for n in __dir__() if not n.startswith("_") and n != "annotations"])


class Method:
    """A method of a class that is loaded when it is first used, and takes the place of this."""

    __slots__ = ("_owner", "_name", "_load")

    def __init__(self, owner: type, name: str, load: Callable[[], Callable[..., Any]]):
        self._owner, self._name, self._load = owner, name, load

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        setattr(self._owner, self._name, self._load())
        return getattr(owner if instance is None else instance, self._name)
