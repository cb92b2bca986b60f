"""The private names of JAX (`jax._src`) and of `jax.extend` that well-known libraries import, as far as they mean
something here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fnn import primitives
from fnn.core.primitive import Primitive
from fnn.core.source import describe, here
from fnn.errors import UnsupportedError

_OTHER_NAMES = {
    "and": "bitwise_and", "convert_element_type": "convert", "not": "bitwise_not", "or": "bitwise_or", "select_n": "select",
    "xor": "bitwise_xor",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """`jax.lax.sin_p` is fnn's primitive `sin`."""
    if name.endswith("_p"):
        found = getattr(primitives, _OTHER_NAMES.get(name[:-2], name[:-2]), None)
        if isinstance(found, Primitive):
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def register_exclusion(path: str) -> None:
    """Accepted: which frames a traceback leaves out is fnn's own choice (`fnn.config.traceback`)."""


def api_boundary(fun: Callable[..., Any], **_: Any) -> Callable[..., Any]:
    """The function itself."""
    return fun


def backend_compile_and_load(backend: Any, *args: Any, **kwargs: Any) -> Any:
    """What compiles programs in JAX, for those who watch it. fnn does not call it: there is one backend."""
    raise UnsupportedError(f"jax._src.compiler, at {describe(here())}: fnn compiles in its own way, with jit")


def wrap_init(f: Callable[..., Any], params: Any = None, **_: Any) -> Any:
    """JAX's wrapper of functions for its interpreters, which fnn has not."""
    raise UnsupportedError(
        f"jax.extend.linear_util, at {describe(here())}: fnn has no interpreters of JAX's kind; its graphs are read with "
        "fnn.make_ir(f)(*args)"
    )


transformation = transformation_with_aux = wrap_init
