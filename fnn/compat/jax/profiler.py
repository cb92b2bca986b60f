"""`jax.profiler`: accepted, so that programs run. To see where time goes, use `fnn.jit(f).lower(...).compile().profile`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

__all__ = [
    "StepTraceAnnotation",
    "TraceAnnotation",
    "annotate_function",
    "record_event",
    "register_event_listener",
    "save_device_memory_profile",
    "start_server",
    "start_trace",
    "stop_server",
    "stop_trace",
    "trace",
]


class TraceAnnotation(contextlib.ContextDecorator):
    """A named stretch of a program; the name is shown nowhere."""

    def __init__(self, name: str, **options: Any):
        self.name = name

    def __enter__(self) -> TraceAnnotation:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


StepTraceAnnotation = TraceAnnotation


def annotate_function(
    func: Callable[..., Any], name: str | None = None, **options: Any
) -> Callable[..., Any]:
    """The function itself."""
    return func


@contextlib.contextmanager
def trace(log_dir: Any, *args: Any, **options: Any) -> Iterator[None]:
    """No trace is written: this raises nothing and records nothing."""
    yield


def _nothing(*args: Any, **options: Any) -> None:
    """There is no server and no trace."""


start_server = stop_server = start_trace = stop_trace = save_device_memory_profile = _nothing
record_event = register_event_listener = _nothing
