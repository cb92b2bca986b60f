"""Programs written for JAX, run by fnn: `import jax` is answered with fnn's functions.

From a shell, with the script's own arguments after it:

    python -m fnn.compat.jax script.py

or inside a program, before anything imports jax:

>>> import fnn.compat.jax
>>> fnn.compat.jax.install()
>>> import jax, jax.numpy as jnp
>>> print(jax.grad(lambda x: jnp.sum(jnp.sin(x)))(jnp.zeros(2)))
[1. 1.]
>>> fnn.compat.jax.uninstall()

As in JAX, 64-bit dtypes that a program asks for become 32-bit unless it sets `jax_enable_x64`; the setting is
`fnn.config.narrow_explicit`.

Libraries on top of JAX (optax, chex, ...) are installed with ``pip install --no-deps``. A name that fnn has no
counterpart of raises an error that says so; docs/compatibility.md lists all names.
"""

from __future__ import annotations

import sys

from fnn.compat.jax.modules import MODULES, Finder, answered
from fnn.config import config
from fnn.errors import ArgumentError

__all__ = ["install", "uninstall"]

_FINDER = Finder()


def install() -> None:
    """Answer every later `import jax` with fnn. Doing so twice is harmless.

    JAX's environment variables (`JAX_ENABLE_X64=1`) are followed where fnn's own are not set.

    Raises:
        ArgumentError: JAX itself was imported already, or such a variable has a value that is none.
    """
    if _FINDER in sys.meta_path:
        return
    for name in ("jax", "jaxlib"):
        if name in sys.modules:
            raise ArgumentError(
                f"fnn.compat.jax.install: {name} itself is imported already; install before anything imports it"
            )
    config.take_jax_environment()
    sys.meta_path.insert(0, _FINDER)
    config.update("narrow_explicit", True)


def uninstall() -> None:
    """Leave later imports of jax to Python again; modules that were imported meanwhile stay with who has them."""
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)
        config.update("narrow_explicit", False)
        for name in [*MODULES, *answered]:
            sys.modules.pop(name, None)
