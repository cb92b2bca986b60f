"""Operations on arrays as people mean them: operands of any dtypes and shapes meet by promotion and broadcasting.

Primitives are strict; everything between them and a person's fingers is here. The operators and methods of arrays
(`fnn.array`) and the functions of `fnn.numpy` are these functions.
"""

from fnn.lazy import names as _names

with _names(globals()):
    from fnn.operations import (
        choice,
        creation,
        elementwise,
        operands,
        products,
        reading,
        reductions,
        selection,
        shaping,
    )

__all__ = [
    "choice",
    "creation",
    "elementwise",
    "operands",
    "products",
    "reading",
    "reductions",
    "selection",
    "shaping",
]
