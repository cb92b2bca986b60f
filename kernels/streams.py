"""Which outputs of a nest are written past the caches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fnn.kernels.cpu import machine
from fnn.kernels.loops import BYTES

if TYPE_CHECKING:
    from fnn.kernels.nest import Nest


# A value of the cache's size is still found there in part by the kernel that reads it next: a residual network's step
# was a fifth slower with 1.
BEYOND = 2  # times the last cache


def streamed(nest: Nest) -> list[int]:
    """The arguments that are written in order, not read, and much larger than any cache: who reads them next finds
    nothing of their beginning there. A store that passes the caches spares memory the reading of what it is about
    to overwrite, a third of the traffic of a copy."""
    if nest.kind != "map" or nest.turned:
        return []
    size = math.prod(nest.outer) * math.prod(nest.inner)
    read = {nest.accesses[n[2]].argument for n in nest.nodes if n[0] == "load"}
    stored = [nest.accesses[k] for _, k in nest.stores]
    folded = nest.folded
    wide = {
        a.argument for a in stored if a.inner[-1] == 1 and not (folded and a.outer[-1] != nest.width)
    } - read
    return sorted(k for k in wide if size * BYTES[nest.codes[k]] >= BEYOND * machine.last_cache())
