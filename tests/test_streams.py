"""What is written past the caches is the same; where large buffers lie."""

import ctypes

import numpy as np
import pytest
from loop_harness import PRINTERS, VECTORS, compiled, run

import fnn
import fnn.numpy as fnp
from fnn.kernels import streams
from fnn.kernels.cpu import buffers, llvm_printer
from fnn.kernels.loops import Builder, Program


def scaled(dtype: str, n: int, streamed: bool = True) -> Program:
    b = Builder()
    x, out = b.argument(dtype), b.argument(dtype, output=True, streamed=streamed)
    size = b.size(n)
    with b.tiles() as tile, b.lanes(tile * 100, b.op("min", tile * 100 + 100, size), 2) as i:
        b.store(out, i, b.load(x, i) * 2)
    return b.program


@pytest.mark.parametrize("printer", VECTORS)
@pytest.mark.parametrize("code", ["i1", "i2", "f4", "f8"])
def test_streams_of_any_alignment(printer: str, code: str) -> None:
    item = np.dtype(code).itemsize
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
        compiled(scaled(code, 370), printer)
    )
    for at, other in ((0, 0), (0, 64), (64, 16), (3 * item, 128), (2048, 64)):
        x = buffers.aligned(1 << 14)[other : other + 370 * item].view(code)
        whole = buffers.aligned(1 << 14)
        whole[:] = 7
        out = whole[at : at + 370 * item].view(code)
        x[:] = np.arange(370) % 50
        sizes = np.array([370], np.int64)
        table = np.array([x.ctypes.data, out.ctypes.data, sizes.ctypes.data], np.uint64)
        kernel(table.ctypes.data, 0, 4)
        np.testing.assert_array_equal(out, x * np.dtype(code).type(2))
        assert (whole[:at] == 7).all() and (whole[at + 370 * item :] == 7).all()


@pytest.mark.parametrize("printer", PRINTERS)
def test_streams_on_every_printer(printer: str) -> None:
    x, out = np.arange(370, dtype=np.float32), np.zeros(370, np.float32)
    run(scaled("f4", 370), [x, out], 4, printer)
    np.testing.assert_array_equal(out, x * 2)


def test_only_streamed_outputs_pass_the_caches() -> None:
    assert "!nontemporal" in llvm_printer.emit(scaled("f4", 300), "kernel", 64)
    assert "!nontemporal" not in llvm_printer.emit(scaled("f4", 300, False), "kernel", 64)


def test_outputs_beyond_the_caches_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x):
        return fnp.tanh(x) + 1.0, x[::2] * x[1::2], fnp.sum(x)

    for n in (1 << 10, (1 << 16) + 38):
        x = np.random.default_rng(n).standard_normal(n).astype(np.float32)
        keys = []
        for size in (1 << 30, 1 << 15):
            monkeypatch.setattr(streams.machine, "last_cache", lambda size=size: size)
            y, z, total = fnn.jit(lambda x: f(x))(x)
            np.testing.assert_allclose(np.asarray(y), np.tanh(x) + 1, atol=3e-7)
            np.testing.assert_array_equal(np.asarray(z), x[::2] * x[1::2])
            np.testing.assert_allclose(np.asarray(total), x.sum(dtype=np.float64), rtol=1e-4)
            keys.append(set(fnn.jit(lambda x: f(x)).lower(x).kernels()))
        assert (keys[0] == keys[1]) == (n == 1 << 10)


def test_very_large_buffers_begin_with_a_page() -> None:
    x = fnn.jit(lambda x: x + 1.0)(fnp.zeros(buffers.PAGED // 4))
    assert np.asarray(x).ctypes.data % buffers.PAGE == 0
    assert buffers.aligned(buffers.PAGED).ctypes.data % buffers.PAGE == 0
    assert buffers.aligned(100).ctypes.data % buffers.ALIGNMENT == 0
