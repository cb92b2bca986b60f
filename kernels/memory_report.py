"""What a compiled program needs of memory, in numbers and as a picture."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fnn import dtypes
from fnn.errors import MissingDependency
from fnn.records import field, record

if TYPE_CHECKING:
    from fnn.kernels.copies import CopyMade


@record(frozen=True)
class MemoryReport:
    """Bytes. arena: scratch memory, of which every concurrent call has its own; without_reuse: what it would
    be if every value had memory of its own; constants; inputs; outputs; donated: bytes of outputs that lie in
    donated inputs. in_place: how many kernels overwrite an operand. peak: all that is in use during one
    call."""

    arena: int
    without_reuse: int
    constants: int
    inputs: int
    outputs: int
    donated: int
    in_place: int
    pieces: Callable[[], Any] = field(repr=False, compare=False)

    @property
    def copies(self) -> list[CopyMade]:
        """The arrays that are copied because a part of them is changed and their memory could not be used, each with
        the line and the reason."""
        from fnn.kernels.copies import copies_of

        return copies_of(self.pieces())

    @property
    def peak(self) -> int:
        return self.arena + self.constants + self.inputs + self.outputs - self.donated

    def __str__(self) -> str:
        saved = f", {1 - self.arena / self.without_reuse:.0%} saved by reuse" if self.without_reuse else ""
        donated = f" ({_bytes(self.donated)} in donated inputs)" if self.donated else ""
        return "\n".join((
            f"peak       {_bytes(self.peak):>12}",
            f"inputs     {_bytes(self.inputs):>12}",
            f"outputs    {_bytes(self.outputs):>12}{donated}",
            f"constants  {_bytes(self.constants):>12}",
            f"arena      {_bytes(self.arena):>12}  of {_bytes(self.without_reuse)} without reuse{saved}",
            f"in place   {self.in_place:>12}",
            *(f"copy       {copy}" for copy in self.copies),
        ))  # fmt: skip

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the arena over time: a rectangle for every piece of memory while it is in use. The file's name
        says the format (.png, .svg, .pdf).

        Raises:
            MissingDependency: matplotlib is not installed."""
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
            from matplotlib.patches import Rectangle
        except ImportError as error:
            raise MissingDependency.of("matplotlib", "a picture of the memory plan") from error
        memory = self.pieces().memory
        figure = Figure(figsize=(10, 5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        inside = dict.fromkeys(s for s in memory.storage.values() if s.offset >= 0)
        for number, piece in enumerate(inside):
            for start, end in piece.spans:
                box = Rectangle((start, piece.offset), end - start + 1, piece.nbytes)
                box.set(facecolor=f"C{number % 10}", alpha=0.6, edgecolor="black", linewidth=0.3)
                axes.add_patch(box)
                value = piece.members[0]
                text = f"{dtypes.short_name(value.dtype)}{list(value.shape)}"
                if end - start + 1 >= memory.lifetimes.end / 12 and piece.nbytes >= self.arena / 30:
                    middle = (start + end + 1) / 2, piece.offset + piece.nbytes / 2
                    axes.annotate(text, middle, ha="center", va="center", fontsize=7)
        axes.set_xlim(0, memory.lifetimes.end + 1)
        axes.set_ylim(0, max(memory.arena, 1))
        axes.set_xlabel("step of the plan: what stands above a step is in use during it")
        axes.set_ylabel("byte of the arena")
        axes.set_title(f"arena {_bytes(self.arena)}, {_bytes(self.without_reuse)} without reuse")
        figure.savefig(path)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{count} B" if unit == "B" else f"{size:.2f} {unit}"
