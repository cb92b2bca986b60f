"""Tracebacks without fnn's own frames, so that an error shows the user's lines one after the other."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from fnn.config import config
from fnn.core.source import is_internal

F = TypeVar("F", bound=Callable[..., Any])


def users_frames(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of fnn; the innermost one is kept where there is no other."""
    frames = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    kept = [t for t in frames if not is_internal(t.tb_frame.f_code.co_filename)] or frames[-1:]
    out: TracebackType | None = None
    for t in reversed(kept):
        out = TracebackType(out, t.tb_frame, t.tb_lasti, t.tb_lineno)
    return out


def shortened(error: Exception) -> None:
    """Take the frames of fnn off an error that is about to be raised again (unless FNN_TRACEBACK=full)."""
    if config.traceback != "full":
        error.__traceback__ = users_frames(error.__traceback__)


def filtered(f: F) -> F:
    """f, whose errors leave it without the frames of fnn (unless FNN_TRACEBACK=full)."""

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return f(*args, **kwargs)
        except Exception as error:
            shortened(error)
            raise

    return call  # type: ignore[return-value]  # it takes and gives what f does
