"""Runs the loop program of a primitive that lowers to a Kernel, on NumPy arrays, without the rest of the
compiler."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from loop_harness import run

from fnn import dtypes
from fnn.core.lowering import Kernel
from fnn.core.primitive import Primitive, Sample
from fnn.core.trace import aval_of
from fnn.kernels.loops import Buffer, Builder, code_of


@dataclass
class Operand:
    """What a Kernel's `write` is handed."""

    buffer: Buffer
    shape: tuple[int, ...]
    dtype: str


_SCRATCH = {"bf": dtypes.bfloat16, "b1": np.dtype(bool)}


def kernel_of(primitive: Primitive) -> Kernel:
    """Its lowering, which is a Kernel."""
    assert isinstance(primitive.lower, Kernel)
    return primitive.lower


def jvp(primitive: Primitive, *args: Any) -> Any:
    """Its forward rule on concrete arrays."""
    assert primitive.jvp is not None
    return primitive.jvp(*args)


def vjp(primitive: Primitive, *args: Any) -> Any:
    """Its reverse rule on concrete arrays."""
    assert primitive.vjp is not None
    return primitive.vjp(*args)


def holds_complex(primitive: Primitive, sample: Sample) -> bool:
    """Whether an operand or a result is complex; those become pairs of real ones before there are loops."""
    avals = tuple([aval_of(a) for a in sample.arrays(np.random.default_rng(0))])
    out = primitive.out_aval(avals, sample.params)
    return any(dtypes.is_complex(a.dtype) for a in (*avals, *(out if primitive.multiple else [out])))


def run_kernel(
    primitive: Primitive, args: Sequence[Any], params: dict[str, Any], printer: str, backwards: bool = False
) -> list[np.ndarray]:
    """The results. backwards: the tiles one at a time, the last one first, as another thread might run
    them."""
    lower = kernel_of(primitive)
    avals = tuple([aval_of(a) for a in args])
    arrays = [np.array(a, aval.dtype) for a, aval in zip(args, avals, strict=True)]
    found = primitive.out_aval(avals, params)
    out_avals = tuple(found) if primitive.multiple else (found,)
    b = Builder()

    def operand(shape: tuple[int, ...], code: str, output: bool) -> Operand:
        return Operand(b.argument(code, output=output), shape, code)

    inputs = [operand(a.shape, code_of(a.dtype), False) for a in avals]
    outputs = [operand(a.shape, code_of(a.dtype), True) for a in out_avals]
    results = [np.zeros(a.shape, a.dtype) for a in out_avals]
    for output, source in lower.in_place:
        results[output] = np.array(arrays[source])
    scratch = []
    for code, length in lower.workspace(avals, out_avals, params) if lower.workspace else []:
        outputs.append(operand((length,), code, True))
        scratch.append(np.zeros(length, _SCRATCH.get(code, code)))
    lower.write(b, inputs, outputs, params)
    tiles = lower.tiles(avals, out_avals, params)
    memory = [_plain(a) for a in (*arrays, *results, *scratch)]
    if backwards:
        for t in reversed(range(tiles)):
            run(b.program, memory, (t, t + 1), printer)
    elif tiles:
        run(b.program, memory, tiles, printer)
    return results


def _plain(a: np.ndarray) -> np.ndarray:
    """Keys as the words they are; the same memory."""
    return a.view(np.uint64) if a.dtype.names else a


def assert_same(got: np.ndarray, want: np.ndarray) -> None:
    """Equal shapes, dtypes and values, NaN being equal to NaN."""
    assert got.shape == want.shape and got.dtype == want.dtype
    if dtypes.is_float(got.dtype):
        got, want = got.astype(np.float64), want.astype(np.float64)
    np.testing.assert_array_equal(_plain(got), _plain(want))
