"""The private names of JAX (`jax._src`) and of `jax.extend` that well-known libraries import, as far as they mean
something here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fnn import primitives
from fnn.compat.jax.primitives import Absent
from fnn.core.primitive import Primitive
from fnn.core.source import describe, here, is_internal
from fnn.errors import UnsupportedError
from fnn.transforms.calls import jit_call, remat_call
from fnn.transforms.control import cond_p
from fnn.transforms.custom import custom_jvp_call, custom_vjp_call
from fnn.transforms.scan import scan_p
from fnn.transforms.while_loop import while_p

_CONTROL: dict[str, Primitive] = {
    "cond": cond_p, "custom_jvp_call": custom_jvp_call, "custom_vjp_call": custom_vjp_call, "jit": jit_call, "pjit": jit_call,
    "remat": remat_call, "scan": scan_p, "while": while_p,
}  # fmt: skip
_OTHER_NAMES = {
    "and": "bitwise_and", "convert_element_type": "convert", "not": "bitwise_not", "or": "bitwise_or", "select_n": "select",
    "xor": "bitwise_xor",
}  # fmt: skip


# Those that JAX's graphs hold and fnn's do not: a library asks whether an equation has one, and none does.
_ABSENT = {name: Absent(name) for name in ("call", "closed_call", "core_call", "xla_pmap", "named_call")}


def __getattr__(name: str) -> Any:
    """`jax.lax.sin_p` is fnn's primitive `sin`."""
    if name.endswith("_p"):
        own = _OTHER_NAMES.get(name[:-2], name[:-2])
        found = getattr(primitives, own, None) or _CONTROL.get(own)
        if isinstance(found, Primitive):
            return found
        if own in _ABSENT:
            return _ABSENT[own]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def register_exclusion(path: str) -> None:
    """Whose frames `include_frame` leaves out. fnn's own tracebacks leave out its own (`fnn.config.traceback`)."""
    _excluded.add(path)


_excluded: set[str] = set()


def include_frame(frame: Any) -> bool:
    """Whether a frame is the user's: of no file that was excluded, nor of fnn's."""
    path = frame.f_code.co_filename
    return not is_internal(path) and path not in _excluded


class AbstractRef:
    """In JAX the type of an array that is written to in place. fnn has none."""


def api_boundary(fun: Callable[..., Any], **_: Any) -> Callable[..., Any]:
    """The function itself."""
    return fun


def backend_compile_and_load(backend: Any, *args: Any, **kwargs: Any) -> Any:
    """What compiles programs in JAX, for those who watch it. fnn does not call it: there is one backend."""
    raise UnsupportedError(f"jax._src.compiler, at {describe(here())}: fnn compiles in its own way, with jit")


def wait_for_tokens() -> None:
    """Nothing: what a program does to the outside is done when its call returns."""


def current() -> Any:
    """Where the user's program is."""
    return here()
