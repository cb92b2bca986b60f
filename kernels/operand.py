"""What a primitive's own loop program is handed for each operand and result."""

from __future__ import annotations

from fnn.kernels.loops import Buffer
from fnn.kernels.views import contiguous
from fnn.records import record


@record(frozen=True)
class Operand:
    """An array. dtype: its element type's code; layout: the strides of its axes, in elements, where it is not
    contiguous in row-major order, for primitives that take such operands (`fnn.core.lowering.Kernel`)."""

    buffer: Buffer
    shape: tuple[int, ...]
    dtype: str
    layout: tuple[int, ...] | None = None

    @property
    def strides(self) -> tuple[int, ...]:
        return contiguous(self.shape) if self.layout is None else self.layout
