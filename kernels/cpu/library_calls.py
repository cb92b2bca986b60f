"""LAPACK and BLAS as kernels: SciPy's copies, called by address on raw memory, with nothing copied but the
input.

A wrapper is LLVM text with the kernels' signature; tile t is matrix t of a batch.  The library function's
address is its argument 0, because addresses differ from process to process: a planner gives a base of its own
to the name (`Table.symbols[base] = "dpotrf"`) and passes (base, 0).

Arrays are stored by rows, LAPACK's by columns: a matrix is its own transpose there, lower is upper and left
is right.

SciPy's OpenBLAS has threads of its own, for large matrices.  Rows that call it should have chunk 0 unless the
batch is large and its matrices are small.
"""

from __future__ import annotations

import ctypes
import functools
import importlib

from fnn.errors import UnsupportedError

_ELEMENTS = {
    "float32": ("float", 4, "s", "0x7FF8000000000000"),
    "float64": ("double", 8, "d", "0x7FF8000000000000"),
}


@functools.cache
def address(name: str) -> int:
    """The address of a BLAS or LAPACK function by its usual name, e.g. "spotrf" or "dtrsm".

    All parameters are pointers, integers are 32-bit.

    Raises:
        UnsupportedError: SciPy offers no such function.
    """
    for library in ("cython_blas", "cython_lapack"):
        module = importlib.import_module(f"scipy.linalg.{library}")  # only here: the import takes long
        capsule = module.__pyx_capi__.get(name)
        if capsule is not None:
            break
    else:
        raise UnsupportedError(f"there is no function {name!r} in SciPy's BLAS and LAPACK")
    api = ctypes.pythonapi
    name_of, pointer_of = api.PyCapsule_GetName, api.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature = name_of(capsule)
    if b"int *" not in signature:
        raise UnsupportedError(f"SciPy's {name!r} takes no 32-bit integers: {signature.decode()}")
    return pointer_of(capsule, signature)


def cholesky_function(dtype: str) -> str:
    """The function `cholesky_text`'s argument 0 is the address of."""
    return _element(dtype)[2] + "potrf"


def cholesky_text(symbol: str, dtype: str) -> str:
    """LLVM text of a kernel: the lower Cholesky factors of a batch of matrices.

    Arguments: 0 the function, 1 the matrices [tiles, n, n] (only lower triangles are read), 2 the factors
    [tiles, n, n], 3 words: n.  Above the diagonal the factors are 0; a matrix that is not positive definite
    gives NaN in its lower triangle.  The factors may overwrite the matrices.
    """
    kind, size, _, nan = _element(dtype)
    return _fill(_CHOLESKY, SYMBOL=symbol, T=kind, SIZE=size, NAN=nan)


def triangular_solve_function(dtype: str) -> str:
    """The function `triangular_solve_text`'s argument 0 is the address of."""
    return _element(dtype)[2] + "trsm"


def triangular_solve_text(
    symbol: str, dtype: str, *, left_side: bool, lower: bool, transpose_a: bool, unit_diagonal: bool
) -> str:
    """LLVM text of a kernel: X with op(A) X = B (left_side) or X op(A) = B, for a batch of triangular A.

    Arguments: 0 the function, 1 A [tiles, n, n], 2 B [tiles, rows, columns], 3 X like B, 4 words: rows,
    columns, elements from one A to the next (0: all tiles share one), elements from one B to the next (0
    likewise).  n is rows if left_side, else columns.  X may overwrite B where the tiles do not share it.  A
    zero on the diagonal gives infinities and NaN.
    """
    kind, size, _, _ = _element(dtype)
    # By columns the equation reads X' op(A)' = B': sides and triangles change places, and op stays.
    return _fill(
        _TRIANGULAR_SOLVE,
        SYMBOL=symbol,
        T=kind,
        SIZE=size,
        SIDE=ord("R" if left_side else "L"),
        TRIANGLE=ord("U" if lower else "L"),
        TRANSPOSE=ord("T" if transpose_a else "N"),
        DIAGONAL=ord("U" if unit_diagonal else "N"),
        ORDER="%rows" if left_side else "%columns",
    )


def _element(dtype: str) -> tuple[str, int, str, str]:
    if dtype not in _ELEMENTS:
        raise UnsupportedError(
            f"LAPACK works on float32 and float64, not {dtype}: convert with .astype first"
        )
    return _ELEMENTS[dtype]


def _fill(text: str, **values: object) -> str:
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text


_LOAD = """
  %function = load ptr, ptr %arguments
  %p1 = getelementptr ptr, ptr %arguments, i64 1
  %p2 = getelementptr ptr, ptr %arguments, i64 2
  %p3 = getelementptr ptr, ptr %arguments, i64 3
"""

_CHOLESKY = (
    """
define void @{SYMBOL}(ptr %arguments, i64 %lo, i64 %hi) {
entry:
"""
    + _LOAD
    + """
  %in = load ptr, ptr %p1
  %out = load ptr, ptr %p2
  %words = load ptr, ptr %p3
  %n = load i64, ptr %words
  %triangle = alloca i8
  store i8 85, ptr %triangle
  %order = alloca i32
  %n32 = trunc i64 %n to i32
  store i32 %n32, ptr %order
  %one = icmp slt i32 %n32, 1
  %stride32 = select i1 %one, i32 1, i32 %n32
  %stride = alloca i32
  store i32 %stride32, ptr %stride
  %info = alloca i32
  %area = mul i64 %n, %n
  br label %tile
tile:
  %t = phi i64 [%lo, %entry], [%t1, %tile.end]
  %more = icmp slt i64 %t, %hi
  br i1 %more, label %start, label %out.of
out.of:
  ret void
start:
  %at = mul i64 %t, %area
  %a = getelementptr {T}, ptr %in, i64 %at
  %l = getelementptr {T}, ptr %out, i64 %at
  br label %copy
copy:
  %i = phi i64 [0, %start], [%i1, %copy.row]
  %rows.left = icmp slt i64 %i, %n
  br i1 %rows.left, label %copy.row, label %factor
copy.row:
  %row = mul i64 %i, %n
  %i1 = add i64 %i, 1
  %a.row = getelementptr {T}, ptr %a, i64 %row
  %l.row = getelementptr {T}, ptr %l, i64 %row
  %lower = mul i64 %i1, {SIZE}
  call void @llvm.memmove.p0.p0.i64(ptr %l.row, ptr %a.row, i64 %lower, i1 false)
  %rest = sub i64 %n, %i1
  %upper = mul i64 %rest, {SIZE}
  %u.row = getelementptr {T}, ptr %l.row, i64 %i1
  call void @llvm.memset.p0.i64(ptr %u.row, i8 0, i64 %upper, i1 false)
  br label %copy
factor:
  store i32 0, ptr %info
  call void %function(ptr %triangle, ptr %order, ptr %l, ptr %stride, ptr %info)
  %result = load i32, ptr %info
  %failed = icmp ne i32 %result, 0
  br i1 %failed, label %spoil, label %tile.end
spoil:
  %j = phi i64 [0, %factor], [%j1, %spoil.end]
  %j1 = add i64 %j, 1
  %spoil.more = icmp slt i64 %j, %n
  br i1 %spoil.more, label %spoil.row, label %tile.end
spoil.row:
  %k = phi i64 [0, %spoil], [%k1, %spoil.one]
  %inside = icmp sle i64 %k, %j
  br i1 %inside, label %spoil.one, label %spoil.end
spoil.one:
  %j.row = mul i64 %j, %n
  %where = add i64 %j.row, %k
  %spot = getelementptr {T}, ptr %l, i64 %where
  store {T} {NAN}, ptr %spot
  %k1 = add i64 %k, 1
  br label %spoil.row
spoil.end:
  br label %spoil
tile.end:
  %t1 = add i64 %t, 1
  br label %tile
}
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""
)

_TRIANGULAR_SOLVE = (
    """
define void @{SYMBOL}(ptr %arguments, i64 %lo, i64 %hi) {
entry:
"""
    + _LOAD
    + """
  %p4 = getelementptr ptr, ptr %arguments, i64 4
  %a.all = load ptr, ptr %p1
  %b.all = load ptr, ptr %p2
  %x.all = load ptr, ptr %p3
  %words = load ptr, ptr %p4
  %w1 = getelementptr i64, ptr %words, i64 1
  %w2 = getelementptr i64, ptr %words, i64 2
  %w3 = getelementptr i64, ptr %words, i64 3
  %rows = load i64, ptr %words
  %columns = load i64, ptr %w1
  %a.step = load i64, ptr %w2
  %b.step = load i64, ptr %w3
  %area = mul i64 %rows, %columns
  %bytes = mul i64 %area, {SIZE}
  %letters = alloca [4 x i8]
  %l1 = getelementptr i8, ptr %letters, i64 1
  %l2 = getelementptr i8, ptr %letters, i64 2
  %l3 = getelementptr i8, ptr %letters, i64 3
  store i8 {SIDE}, ptr %letters
  store i8 {TRIANGLE}, ptr %l1
  store i8 {TRANSPOSE}, ptr %l2
  store i8 {DIAGONAL}, ptr %l3
  %numbers = alloca [4 x i32]
  %n1 = getelementptr i32, ptr %numbers, i64 1
  %n2 = getelementptr i32, ptr %numbers, i64 2
  %n3 = getelementptr i32, ptr %numbers, i64 3
  %rows32 = trunc i64 %rows to i32
  %columns32 = trunc i64 %columns to i32
  %order32 = trunc i64 {ORDER} to i32
  %order.low = icmp slt i32 %order32, 1
  %lda = select i1 %order.low, i32 1, i32 %order32
  %columns.low = icmp slt i32 %columns32, 1
  %ldb = select i1 %columns.low, i32 1, i32 %columns32
  store i32 %columns32, ptr %numbers
  store i32 %rows32, ptr %n1
  store i32 %lda, ptr %n2
  store i32 %ldb, ptr %n3
  %alpha = alloca {T}
  store {T} 1.0, ptr %alpha
  br label %tile
tile:
  %t = phi i64 [%lo, %entry], [%t1, %start]
  %more = icmp slt i64 %t, %hi
  br i1 %more, label %start, label %out.of
out.of:
  ret void
start:
  %a.at = mul i64 %t, %a.step
  %b.at = mul i64 %t, %b.step
  %x.at = mul i64 %t, %area
  %a = getelementptr {T}, ptr %a.all, i64 %a.at
  %b = getelementptr {T}, ptr %b.all, i64 %b.at
  %x = getelementptr {T}, ptr %x.all, i64 %x.at
  call void @llvm.memmove.p0.p0.i64(ptr %x, ptr %b, i64 %bytes, i1 false)
  call void %function(ptr %letters, ptr %l1, ptr %l2, ptr %l3, ptr %numbers, ptr %n1, ptr %alpha, ptr %a,
    ptr %n2, ptr %x, ptr %n3)
  %t1 = add i64 %t, 1
  br label %tile
}
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
"""
)
