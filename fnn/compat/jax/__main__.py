"""`python -m fnn.compat.jax script.py [arguments]` and `python -m fnn.compat.jax -m module [arguments]`."""

from __future__ import annotations

import os
import runpy
import sys

from fnn.compat.jax import install


def main() -> None:
    """Run a script or a module whose `import jax` fnn answers."""
    arguments = sys.argv[1:]
    module = arguments[:1] == ["-m"]
    if len(arguments) < 1 + module or (arguments[0].startswith("-") and not module):
        print(
            "usage: python -m fnn.compat.jax script.py [arguments]\n"
            "       python -m fnn.compat.jax -m module [arguments]",
            file=sys.stderr,
        )
        raise SystemExit(2)
    install()
    sys.argv = arguments[module:]
    if module:
        sys.path.insert(0, os.getcwd())
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        if not os.path.isfile(sys.argv[0]):
            print(f"python -m fnn.compat.jax: there is no file {sys.argv[0]!r}", file=sys.stderr)
            raise SystemExit(2)
        sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
