"""Padding of windows by name: how many elements "SAME" and "VALID" put around an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError

Pads = tuple[tuple[int, int], ...]


def padtype_to_pads(
    in_shape: Sequence[int], window_shape: Sequence[int], window_strides: Sequence[int], padding: Any
) -> list[tuple[int, int]]:
    """(low, high) per axis: "SAME" makes ceil(size / stride) windows, the odd element coming after, with "SAME_LOWER"
    before; "VALID" pads nothing.

    >>> padtype_to_pads((28, 28), (5, 4), (2, 1), "SAME")
    [(1, 2), (1, 2)]
    """
    kind = padding.upper() if isinstance(padding, str) else getattr(padding, "name", padding)
    if kind not in ("SAME", "SAME_LOWER", "VALID"):
        raise ArgumentError(
            f"the padding is 'SAME', 'SAME_LOWER', 'VALID' or pairs (low, high), not {padding!r}, at "
            f"{describe(here())}"
        )
    if kind == "VALID":
        return [(0, 0)] * len(in_shape)
    out = []
    for size, window, stride in zip(in_shape, window_shape, window_strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        less = total // 2
        out.append((less, total - less) if kind == "SAME" else (total - less, less))
    return out


def explicit_pads(
    what: str, sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Any
) -> Pads:
    """Padding by name or by pairs, as pairs; ShapeError where there are not as many as axes."""
    if isinstance(padding, str):
        return tuple(padtype_to_pads(sizes, window, strides, padding))
    try:
        pads = tuple([(int(low), int(high)) for low, high in padding])
    except (TypeError, ValueError):
        raise ArgumentError(
            f"lax.{what}: the padding is 'SAME', 'SAME_LOWER', 'VALID' or pairs (low, high), not "
            f"{padding!r}, at {describe(here())}"
        ) from None
    if len(pads) != len(sizes):
        raise ShapeError(
            f"lax.{what}: {len(pads)} pairs of padding for {len(sizes)} axes, at {describe(here())}"
        )
    return pads
