"""Attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import dtypes, lax
from fnn import numpy as fnp
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, DtypeError, ShapeError
from fnn.nn.activations import floating
from fnn.primitives.attention_kernels import MASKED, Pattern
from fnn.transforms.attention import attention, wide


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    *,
    scale: Any = None,
    is_causal: bool = False,
    query_seq_lengths: Any = None,
    key_value_seq_lengths: Any = None,
    local_window_size: int | tuple[int, int] | None = None,
    implementation: str | None = None,
    return_residual: bool = False,
) -> Any:
    """softmax(scale * query @ key^T + bias) @ value for each head, as jax.nn.dot_product_attention.

    Compiled, the matrix of scores never lies in memory, neither here nor in the gradient, which computes it
    again block by block: memory grows with T + S, not T * S. (The gradient of a bias is as large as the scores;
    forward mode and second derivatives keep them.) float16 and bfloat16 are computed in float32.

    query: [B, T, N, H] or [T, N, H]. key, value: [B, S, K, H] or [S, K, H], of the same dtype; N is a multiple
    of K, and N/K neighbouring heads of the query share one of the key (grouped-query attention). bias: numbers
    added to the scores; mask: bool, False where a pair does not count; both broadcast to [B, N, T, S] with each
    axis whole or 1. scale: by default 1/sqrt(H). is_causal: a query sees the keys up to its own place.
    query_seq_lengths, key_value_seq_lengths: integers [B]; what lies beyond does not count, and results of
    queries beyond are 0. local_window_size: (left, right), or one number for both: how far from its place a
    query sees. A query without any key takes the mean of all values, as in JAX.
    implementation: None or "xla", which is the same here.

    Returns [B, T, N, H] or [T, N, H]; with return_residual also log(sum(exp(scores))), [B, T, N] or [T, N], as a
    constant for derivatives.

    Raises ShapeError, DtypeError or ArgumentError for operands that do not fit.

    The method is that of Rabe and Staats, "Self-attention does not need O(n^2) memory" (2021, arXiv:2112.05682),
    and Dao et al., "FlashAttention" (2022, arXiv:2205.14135).

    >>> import fnn.numpy as fnp
    >>> x = fnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])[:, None]  # 3 places, 1 head, 2 features
    >>> print(dot_product_attention(x, x, x, is_causal=True)[:, 0].round(3))
    [[1.    0.   ]
     [0.33  0.67 ]
     [0.752 0.752]]
    """
    if implementation not in (None, "xla"):
        raise ArgumentError(
            f"dot_product_attention: there is no implementation {implementation!r}, at {describe(here())}; "
            "leave it out"
        )
    q, k, v = floating(query), floating(key), floating(value)
    rank = q.ndim
    if rank not in (3, 4):
        raise ShapeError(
            f"dot_product_attention: the query {q.aval} is neither [batch, length, heads, features] nor "
            f"[length, heads, features], at {describe(here())}"
        )
    q, k, v = _four(q), _four(k), _four(v)
    left, right = _window(local_window_size)
    if is_causal:
        right = 0 if right is None else min(right, 0)
    narrow = q.aval.dtype
    if scale is None:
        scale = 1 / math.sqrt(max(1, q.shape[3]))
    elif not isinstance(scale, (int, float, np.number)):  # an array, perhaps traced
        q = lax.convert_element_type(q, wide(narrow)) * scale
        q, k, v = (lax.convert_element_type(x, wide(narrow)) for x in (q, k, v))
        scale = 1.0
    extra = []
    if bias is not None:
        extra.append(_four(floating(bias)))
    if mask is not None:
        mask = _four(as_array(mask))
        if mask.aval.dtype != np.dtype(bool):
            raise DtypeError(
                f"dot_product_attention: the mask {mask.aval} is not of bool, at {describe(here())}; numbers to "
                "be added to the scores are a bias"
            )
        extra.append(mask)
    if key_value_seq_lengths is not None:
        extra.append(_lengths("key_value_seq_lengths", key_value_seq_lengths, q))
    pattern = Pattern(
        float(scale), left, right, bias is not None, mask is not None, key_value_seq_lengths is not None
    )
    out, lse = attention(q, k, v, *extra, pattern=pattern)
    if out.dtype != narrow:
        out = lax.convert_element_type(out, narrow)
    if query_seq_lengths is not None:
        lengths = _lengths("query_seq_lengths", query_seq_lengths, q)
        inside = fnp.arange(q.shape[1])[None] < lengths[:, None]
        out = fnp.where(inside[:, :, None, None], out, fnp.zeros_like(out))
        lse = fnp.where(inside[:, None], lse, fnp.full_like(lse, MASKED))
    out = out[0] if rank == 3 else out
    if not return_residual:
        return out
    lse = lax.stop_gradient(lax.convert_element_type(fnp.swapaxes(lse, 1, 2), narrow))
    return out, lse[0] if rank == 3 else lse


def _four(x: Array) -> Array:
    """With leading axes of size 1 up to four axes."""
    return x if x.ndim >= 4 else fnp.reshape(x, (1,) * (4 - x.ndim) + x.shape)


def _window(size: int | tuple[int, int] | None) -> tuple[int | None, int | None]:
    if size is None:
        return None, None
    left, right = (size, size) if isinstance(size, int) else size
    return int(left), int(right)


def _lengths(name: str, x: Any, query: Array) -> Array:
    lengths = as_array(x)
    if lengths.shape != query.shape[:1] or not dtypes.is_integer(lengths.aval.dtype):
        raise ShapeError(
            f"dot_product_attention: {name} {lengths.aval} are not integers[{query.shape[0]}], at "
            f"{describe(here())}"
        )
    return lax.convert_element_type(lengths, np.dtype(np.int32))
