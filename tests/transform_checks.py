"""What the tests of the transformations compare with: differences, loops, and closeness of trees."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import fnn
from fnn import tree
from fnn.errors import FnnError


def close(got: Any, want: Any, tolerance: float = 1e-5) -> None:
    """Equal structures, shapes and, up to a tolerance, numbers."""
    for x, y in zip(tree.leaves(got), tree.leaves(want), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert x.shape == y.shape, (x, y)
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def every_way(f: Callable[..., Any], *args: Any) -> Iterator[Any]:
    """f(*args): as it is, compiled, and compiled with jit switched off."""
    yield f(*args)
    yield fnn.jit(f)(*args)
    with fnn.config.using(disable_jit=True):
        yield fnn.jit(f)(*args)


def agrees(f: Callable[..., Any], want: Any, *args: Any, tolerance: float = 1e-5) -> None:
    """f(*args) is `want`, compiled or not."""
    for got in every_way(f, *args):
        close(got, want, tolerance)


@contextmanager
def refused(
    error: type[FnnError], builtin: type[Exception], *words: str, here: bool = True
) -> Iterator[None]:
    """The block raises this error, which is also that builtin one; its message holds the words and, with `here`, a line
    of the calling test's own file, not far from the block."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    caller = frame.f_back.f_back
    assert caller is not None
    file, line = caller.f_code.co_filename, caller.f_code.co_firstlineno
    with pytest.raises(error) as caught:
        yield
    assert isinstance(caught.value, builtin)
    message = str(caught.value)
    for word in words:
        assert word in message, message
    if here:
        last = line + len(inspect.getsourcelines(caller.f_code)[0])
        assert any(f"{file}:{n}" in message for n in range(line, last + 1)), message
