"""Looking inside of transformed and compiled functions: print, callback, check, breakpoint."""

from __future__ import annotations

import string
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import tree
from fnn.core.array import Array
from fnn.core.source import describe, here
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError
from fnn.transforms.callbacks import debug_callback
from fnn.transforms.checks import check

__all__ = ["breakpoint", "callback", "check", "print"]

_show = print


class _Format(string.Formatter):
    """`str.format` that wants every argument used."""

    def check_unused_args(self, used_args: Any, args: Any, kwargs: Any) -> None:
        unused = [repr(i) for i in range(len(args)) if i not in used_args]
        unused += [repr(k) for k in kwargs if k not in used_args]
        if unused:
            raise ArgumentError(
                f"debug.print: the format string does not use the argument(s) {', '.join(unused)}, at {describe(here())}"
            )

    def format_field(self, value: Any, format_spec: str) -> str:
        return ""  # while tracing there is nothing to show


_checking = _Format()


class _Printing:
    """What a debug.print does with its arguments."""

    def __init__(self, fmt: str):
        self.fmt, self.__name__ = fmt, f"print {fmt!r}"

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        shown = [_value(a) for a in args]
        _show(self.fmt.format(*shown, **{k: _value(v) for k, v in kwargs.items()}))


def _value(x: Any) -> Any:
    if hasattr(x, "__array__") and getattr(getattr(x, "dtype", None), "names", None) is None:
        x = np.asarray(x)
        return x if x.ndim else x[()]
    return x


@filtered
def print(fmt: str, *args: Any, ordered: bool = False, partitioned: bool = False, skip_format_check: bool = False,
          **kwargs: Any) -> None:  # fmt: skip
    """Print fmt.format(*args, **kwargs) each time the program comes here, with the arrays' values then.

    Works inside jit, grad, vmap (a line for each element), scan, while_loop and cond, and is kept though nothing uses
    it. Lines appear in the program's order whether `ordered` or not. Derivatives print what the function prints. A
    format string that does not use an argument raises ArgumentError.

    >>> import fnn
    >>> @fnn.jit
    ... def f(x):
    ...     fnn.debug.print("x is {x:.2f}", x=x)
    ...     return 2.0 * x
    >>> _ = f(3.0)
    x is 3.00
    """
    if not skip_format_check:
        _checking.vformat(fmt, args, kwargs)
    debug_callback(_Printing(fmt), *args, ordered=ordered, partitioned=partitioned, **kwargs)


@filtered
def callback(
    callback: Callable[..., Any], *args: Any, ordered: bool = False, partitioned: bool = False, **kwargs: Any
) -> None:
    """callback(*args, **kwargs) each time the program comes here; what it returns is ignored, what it raises is raised
    by the program. Arguments that are no arrays are handed on as they are.

    >>> import fnn
    >>> seen = []
    >>> _ = fnn.vmap(lambda x: fnn.debug.callback(lambda v: seen.append(float(v)), x))(fnn.numpy.arange(3.0))
    >>> seen
    [0.0, 1.0, 2.0]
    """
    debug_callback(callback, *args, ordered=ordered, partitioned=partitioned, **kwargs)


@filtered
def breakpoint(
    *, backend: str | None = None, filter_frames: bool = True, num_frames: int | None = None, ordered: bool = False,
    token: Any = None, stdin: Any = None, stdout: Any = None, **kwargs: Any,
) -> Any:  # fmt: skip
    """Stop here each time the program comes here, in compiled programs too, and read commands: names and expressions show
    the values that the local variables have then, `c` goes on, `q` ends the program.

    stdin, stdout: files to read commands from and write to, instead of the terminal. backend, filter_frames and
    num_frames are accepted for JAX's sake; the prompt sees the function that called this one. Returns token.
    """
    frame = sys._getframe(2)  # beyond `filtered`
    source, names, scope = here(), dict(frame.f_locals), frame.f_globals
    arrays = {k: v for k, v in names.items() if _is_data(v)}

    def stop(given: dict[str, Any]) -> None:
        from fnn.debugger import Prompt

        Prompt(source, {**names, **given}, scope, stdin, stdout).cmdloop()

    debug_callback(stop, arrays, ordered=ordered)
    return token


def _is_data(x: Any) -> bool:
    """Whether a local value is a pytree with arrays in it."""
    try:
        return any(isinstance(leaf, Array) for leaf in tree.leaves(x))
    except Exception:  # of an object's own flattening, say
        return False
