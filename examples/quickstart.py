"""fnn on one screen: a derivative, a batch, a compiled function, and what it was compiled to.

python examples/quickstart.py [--quick]
"""

from __future__ import annotations

import sys
from typing import Any

import fnn
import fnn.numpy as fnp


def show(title: str, text: Any) -> None:
    print(f"\n--- {title}")
    print(text)


def energy(w: Any, x: Any) -> Any:
    """A function of two arrays: Python, with fnn.numpy for NumPy."""
    return fnp.sum(fnp.tanh(x @ w) ** 2)


def main() -> None:
    sys.argv[1:] and sys.argv.remove("--quick")  # it is quick anyway
    key = fnn.random.key(0)
    w, x = fnn.random.normal(key, (3,)), fnp.arange(6.0).reshape(2, 3) / 6

    show("a value", energy(w, x))
    show("fnn.grad: its derivative in w", fnn.grad(energy)(w, x))

    # Transformations compose. One gradient for every row of x, without writing a loop:
    per_row = fnn.vmap(fnn.grad(energy), in_axes=(None, 0))
    show("fnn.vmap of fnn.grad: one derivative for each row of x", per_row(w, x))

    compiled = fnn.jit(per_row)
    difference = fnp.max(fnp.abs(compiled(w, x) - per_row(w, x)))
    show("fnn.jit of that: the greatest difference", difference)

    lowered = compiled.lower(w, x)
    show("the program, after differentiation, batching and simplification", lowered.graph(optimized=True))
    show("the kernels it runs (as Numba source)", "\n\n".join(lowered.kernels().values()))


if __name__ == "__main__":
    main()
