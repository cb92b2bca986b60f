"""Which primitives are fnn's own: the name of another says nothing about what its kernels do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

from fnn.core.primitive import Primitive
from fnn.records import is_record, names_of


@functools.cache
def is_own(primitive: Primitive) -> bool:
    """Whether fnn itself defines how the primitive is lowered, so that versions and sources say what it
    means."""
    lower = primitive.lower
    if not is_record(lower):
        return False
    return all(is_own_function(getattr(lower, name)) for name in names_of(lower))


def is_own_function(f: Any) -> bool:
    """Of a function: whether it and what it closes over are fnn's; true of anything that is no function."""
    if isinstance(f, functools.partial):
        return is_own_function(f.func) and all(map(is_own_function, (*f.args, *f.keywords.values())))
    if not callable(f):
        return True
    module: Callable[..., str] | str | None = getattr(f, "__module__", None)
    if not isinstance(module, str) or module.partition(".")[0] not in ("fnn", "numpy", "builtins", "math"):
        return False
    if isinstance(f, FunctionType):
        try:
            return all(is_own_function(cell.cell_contents) for cell in f.__closure__ or ())
        except ValueError:  # a cell that is not filled yet
            return False
    return True
