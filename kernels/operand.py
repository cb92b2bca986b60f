"""What a primitive's own loop program is handed for each operand and result."""

from __future__ import annotations

from dataclasses import dataclass

from fnn.kernels.loops import Buffer


@dataclass(frozen=True)
class Operand:
    """A whole array, contiguous in row-major order. dtype: its element type's code."""

    buffer: Buffer
    shape: tuple[int, ...]
    dtype: str
