"""How far results may be from what they are compared with, per dtype: the one table."""

import numpy as np

from fnn import dtypes

# dtype -> (relative, absolute): two computations of the same numbers, in another order or by other formulas
ROUNDING = {
    dtypes.bfloat16: (2e-2, 2e-2),
    dtypes.float16: (4e-3, 4e-3),
    dtypes.float32: (2e-5, 2e-6),
    dtypes.float64: (1e-12, 1e-13),
}

# dtype -> (step, relative = absolute): central differences of values of that dtype, for arguments of size 1
DIFFERENCES = {
    dtypes.bfloat16: (2.0**-2, 0.15),
    dtypes.float16: (2.0**-4, 4e-2),
    dtypes.float32: (2.0**-7, 1e-2),
    dtypes.float64: (2.0**-18, 2e-6),
}


def narrowest(used: list[np.dtype]) -> np.dtype:
    """The least precise floating dtype of those used and of the parts of complex ones; float64 if there is none."""
    order = list(ROUNDING)
    used = [dtypes.real_of(d) for d in used]
    return order[min([order.index(d) for d in used if d in ROUNDING], default=-1)]


def assert_close(
    got: object, want: object, scale: float = 1.0, dtype: np.dtype | None = None, what: str = ""
) -> None:
    """Equal shapes and dtypes, and equal numbers but for rounding; integers, bools and keys equal exactly.

    dtype: the precision that counts, if it is not that of the arrays."""
    x, y = np.asarray(got), np.asarray(want)
    assert x.shape == y.shape, f"{what}: shapes {x.shape} and {y.shape}"
    assert x.dtype == y.dtype, f"{what}: dtypes {x.dtype} and {y.dtype}"
    if not dtypes.is_inexact(x.dtype):
        assert np.array_equal(x, y), f"{what}: {x} is not {y}"
        return
    relative, absolute = ROUNDING[dtypes.real_of(dtype or x.dtype)]
    wide = np.complex128 if dtypes.is_complex(x.dtype) else np.float64
    np.testing.assert_allclose(
        x.astype(wide), y.astype(wide), relative * scale, absolute * scale, equal_nan=True, err_msg=what
    )
