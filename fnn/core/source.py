"""Where in the user's program something happened: kept cheaply, named only when an error or a printout
needs it."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

Source = tuple[CodeType, int] | tuple[CodeType, int, str]  # code, instruction, and the scope if there is one

_package = os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# In a checkout three of the sub-packages are links to folders beside the package.
_homes = tuple(
    os.path.realpath(path) + os.sep
    for path in (
        _package,
        *(os.path.join(_package, name) for name in ("transforms", "primitives", "kernels")),
    )
)
_internal: dict[str, bool] = {}


def is_internal(filename: str) -> bool:
    """Does this file belong to the library (and not to its user)?"""
    known = _internal.get(filename)
    if known is None:
        known = os.path.realpath(filename).startswith(_homes)
        _internal[filename] = known
    return known


class _Current(threading.local):
    source: Source | None = (
        None  # set while a recorded operation is transformed: what it gives rise to keeps its line
    )
    scope: str = ""  # the names of the scopes around, "encoder/attention"


current = _Current()


def here(depth: int = 1) -> Source | None:
    """The innermost frame of the user as (code, instruction): no line is looked up, no string made. depth: how many
    frames from here on are fnn's for certain."""
    if current.source is not None:
        return current.source
    frame = sys._getframe(depth)
    internal = _internal
    while frame is not None:
        code = frame.f_code
        known = internal.get(code.co_filename)
        if known is None:
            known = is_internal(code.co_filename)
        if not known:
            scope = current.scope
            return (code, frame.f_lasti, scope) if scope else (code, frame.f_lasti)
        frame = frame.f_back  # type: ignore[assignment]  # None ends the loop
    return None


def line_of(source: Source) -> int:
    """The line of a source."""
    code, instruction = source[:2]
    return next(
        (line for lo, hi, line in code.co_lines() if lo <= instruction < hi and line is not None),
        code.co_firstlineno,
    )


def describe(source: Source | None) -> str:
    """'path/file.py:12 (function)' for a source made by `here`."""
    if source is None:
        return "an unknown place"
    return f"{source[0].co_filename}:{line_of(source)} ({source[0].co_name}){_scope(source)}"


def _scope(source: Source) -> str:
    return f" in {source[2]}" if len(source) > 2 else ""


def short(source: Source | None) -> str:
    """'file.py:12', for the margin of a printed graph."""
    if source is None:
        return "?"
    return f"{os.path.basename(source[0].co_filename)}:{line_of(source)}{_scope(source)}"


@contextlib.contextmanager
def named_scope(name: str) -> Iterator[None]:
    """What is computed inside of the `with` block carries a name, which plans, profiles, printed graphs and errors show
    beside the line: `with fnn.named_scope("attention"): ...`. Scopes nest: "encoder/attention".

    >>> import fnn
    >>> with fnn.named_scope("scale"):
    ...     graph = fnn.make_ir(lambda x: x * 2.0)(1.0)
    >>> print(graph.text(sources=True).splitlines()[1].split(" ")[-2:])
    ['in', 'scale']
    """
    outer = current.scope
    current.scope = f"{outer}/{name}" if outer else name
    try:
        yield
    finally:
        current.scope = outer


def named_call(f: F | None = None, *, name: str | None = None) -> Any:
    """f in a `named_scope` of its own name, or the one given; also as a decorator: `@fnn.named_call(name="block")`."""
    if f is None:
        return lambda f: named_call(f, name=name)
    scope = name or getattr(f, "__name__", "call")

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        with named_scope(scope):
            return f(*args, **kwargs)

    return call


def function_place(f: Any) -> str:
    """'name (file.py:12)' for a function of the user."""
    while hasattr(f, "__wrapped__"):
        f = f.__wrapped__
    code = getattr(getattr(f, "func", f), "__code__", None)
    name = getattr(f, "__name__", None) or type(f).__name__
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code is not None else name


def code_chain(f: Any) -> tuple[CodeType, ...]:
    """The code of a function and of what it wraps: equal for what one line of a program makes again and again."""
    chain = []
    while f is not None:
        code = getattr(getattr(f, "func", f), "__code__", None)
        chain += [code] if code is not None else []
        f = getattr(f, "__wrapped__", None)
    return tuple(chain)
