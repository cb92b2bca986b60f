"""Primitives that are functions of BLAS and LAPACK, on every matrix of a batch.

A rule describes what is done with one matrix, once, through a `Routine`: which arrays are copied, which functions are
called with which arguments, what becomes NaN where LAPACK reports a failure. Eager evaluation follows the description
with SciPy's copies of the functions, called by address; compiled programs print it (`fnn.kernels.library`).
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.lowering import Library
from fnn.core.primitive import Primitive
from fnn.core.source import describe, here
from fnn.errors import DtypeError, ShapeError, UnsupportedError
from fnn.primitives.rules import lift
from fnn.records import field, record

LETTERS = {
    "f4": "s",
    "f8": "d",
    "c8": "c",
    "c16": "z",
}  # the first letter of a function's name, by element type
REALS = {"f4": "f4", "f8": "f8", "c8": "f4", "c16": "f8"}


def code(dtype: Any) -> str:
    """f4, f8, c8, c16, i4: an element type."""
    dtype = np.dtype(dtype)
    return f"{dtype.kind}{dtype.itemsize}"


@record(frozen=True)
class Place:
    """An array a routine works on. kind: in, out or work; number: among these; size: elements a matrix."""

    kind: str
    number: int
    code: str
    size: int


@record(frozen=True)
class Ask:
    """Workspace, which stands for two arguments of a function: the array, and the length that the function itself asks
    for (a call with all lengths -1 has it written into the arrays)."""

    code: str


@record(frozen=True)
class Zero:
    """target becomes 0."""

    target: Place


@record(frozen=True)
class Swaps:
    """Row i of a matrix, stored by columns, is exchanged with row pivots[i], counted from 1, in order; in reverse order,
    that is undone. LAPACK's own laswp starts threads even for small matrices."""

    target: Place
    pivots: Place
    rows: int
    columns: int
    reverse: bool


@record(frozen=True)
class Lines:
    """An inner loop of NumPy's, by name, over all lines (matrices) at once: source and factor to target."""

    function: str
    source: Place
    target: Place
    factor: float


Argument = Place | int | float | str | Ask | None


@record(frozen=True)
class Copy:
    """target becomes equal to source."""

    target: Place
    source: Place


@record(frozen=True)
class Clear:
    """Zeros above the diagonal of a matrix of that order, stored by rows."""

    target: Place
    order: int


@record(frozen=True)
class Call:
    """A function by its name in SciPy. Integers are passed by reference as 32 bits, strings as characters, floats in
    the matrices' own type; None is INFO. spoils: what is NaN where INFO is not 0."""

    function: str
    arguments: tuple[Argument, ...]
    spoils: tuple[Place, ...] = ()


@record()
class Routine:
    """What is done with each matrix of a batch, in order.

    inputs, outputs: the arrays of the operation, stored by rows, or by columns where the primitive declares it. order:
    of the matrices, by which it is judged whether the library starts threads of its own. flops: for one matrix."""

    inputs: list[Place]
    outputs: list[Place]
    letter: str
    steps: list[Copy | Clear | Zero | Swaps | Call | Lines] = field(default_factory=list)
    works: list[Place] = field(default_factory=list)
    order: int = 0
    flops: float = 0.0

    @property
    def complex(self) -> bool:
        return self.letter in "cz"

    @property
    def real(self) -> str:
        """The element type of real parts."""
        return "f4" if self.letter in "sc" else "f8"

    @property
    def element(self) -> str:
        return {"s": "f4", "d": "f8", "c": "c8", "z": "c16"}[self.letter]

    def copy(self, target: Place, source: Place) -> None:
        self.steps.append(Copy(target, source))

    def clear(self, target: Place, order: int) -> None:
        self.steps.append(Clear(target, order))

    def zero(self, target: Place) -> None:
        self.steps.append(Zero(target))

    def swap_rows(self, target: Place, pivots: Place, rows: int, columns: int, reverse: bool) -> None:
        self.steps.append(Swaps(target, pivots, rows, columns, reverse))

    def lines(self, function: str, source: Place, target: Place, factor: float) -> None:
        """The one step of a routine whose function walks the batch itself."""
        self.steps.append(Lines(function, source, target, factor))

    def work(self, code: str, size: int) -> Place:
        """Scratch memory, uninitialised."""
        place = Place("work", len(self.works), code, max(1, int(size)))
        self.works.append(place)
        return place

    def call(self, function: str, *arguments: Argument, spoils: Sequence[Place] = ()) -> None:
        """Call a function, named without its first letter."""
        name = self.letter + function
        if any(isinstance(a, Ask) for a in arguments):
            lengths = iter(
                _asked(name, tuple([a if not isinstance(a, Place) else a.code for a in arguments]))
            )
            full: list[Argument] = []
            for a in arguments:
                if isinstance(a, Ask):
                    length = next(lengths)
                    full += [self.work(a.code, length), length]
                else:
                    full.append(a)
            arguments = tuple(full)
        self.steps.append(Call(name, tuple(arguments), tuple(spoils)))


def routine(way: Library, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> Routine:
    """The description of a primitive's work on one matrix of operands of these types."""
    tiles = way.tiles(ins)
    places = [
        [Place(kind, k, code(a.dtype), a.size // max(tiles, 1)) for k, a in enumerate(avals)]
        for kind, avals in (("in", ins), ("out", outs))
    ]
    element = next(LETTERS[code(a.dtype)] for a in (*ins, *outs) if code(a.dtype) in LETTERS)
    found = Routine(places[0], places[1], element)
    way.write(found, ins, outs, params)
    return found


# -- SciPy's functions ---------------------------------------------------------------------------------------


_MODULES = {"pocketfft": "fnn.primitives.fourier"}
_SOURCES: dict[str, Callable[[str], int]] = {}


def register_addresses(prefix: str, find: Callable[[str], int]) -> None:
    """Names that begin with this word are addresses that `find` knows."""
    _SOURCES[prefix] = find


@functools.cache
def address(name: str) -> int:
    """The address of a BLAS or LAPACK function by its usual name, e.g. "spotrf" or "dtrsm".

    All parameters are pointers, integers are 32-bit.

    Raises:
        UnsupportedError: SciPy offers no such function.
    """
    prefix, _, rest = name.partition(" ")
    if rest:
        importlib.import_module(_MODULES[prefix])  # a stored program names it before anything else has
        return _SOURCES[prefix](name)
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


@functools.cache
def _function(name: str, count: int) -> Callable[..., None]:
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * count)(address(name))


@functools.lru_cache(1024)
def _asked(name: str, arguments: tuple[Any, ...]) -> list[int]:
    """The lengths of workspaces a function asks for; element types stand for arrays."""
    cells: list[Any] = []
    asked: list[tuple[str, Any]] = []
    for a in arguments:
        if isinstance(a, Ask):
            asked.append((a.code, np.zeros(4, a.code)))
            cells += [asked[-1][1], np.array(-1, np.int32)]
        elif isinstance(a, int):
            cells.append(np.array(a, np.int32))
        elif isinstance(a, str) and len(a) == 1:
            cells.append(np.frombuffer(a.encode(), np.uint8))
        else:
            cells.append(np.zeros(16, np.int64))
    _function(name, len(cells))(*[c.ctypes.data for c in cells])
    lengths = []
    for kind, cell in asked:
        length = float(cell[0].real)
        # A float32 has 24 bits: what it rounded down would be too little.
        lengths.append(
            max(
                1,
                int(length * (1 + 2.0**-22)) + 1 if kind in ("f4", "c8") and length > 2**20 else int(length),
            )
        )
    return lengths


# -- evaluation ----------------------------------------------------------------------------------------------


def swapped(aval: Aval) -> Aval:
    """The type of a matrix stored by columns."""
    return aval.update(shape=(*aval.shape[:-2], aval.shape[-1], aval.shape[-2]))


def evaluate(
    way: Library, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any], args: Any
) -> list[Any]:
    """Run a routine on NumPy arrays, matrix after matrix."""
    inputs = [np.asarray(a) for a in args]
    inputs = [
        np.ascontiguousarray(a.swapaxes(-1, -2) if k in way.columns_in else a) for k, a in enumerate(inputs)
    ]
    outputs = [
        np.zeros((swapped(a) if k in way.columns_out else a).shape, a.dtype) for k, a in enumerate(outs)
    ]
    tiles = way.tiles(ins)
    if tiles and any(o.size for o in outputs):
        _run(routine(way, ins, outs, params), inputs, outputs, tiles)
    return [
        np.ascontiguousarray(o.swapaxes(-1, -2)) if k in way.columns_out else o for k, o in enumerate(outputs)
    ]


def _run(found: Routine, inputs: list[np.ndarray], outputs: list[np.ndarray], tiles: int) -> None:
    arrays = {"in": inputs, "out": outputs, "work": [np.empty(w.size, w.code) for w in found.works]}
    flat = {
        (kind, k): a.reshape(-1) if kind == "work" else a.reshape(tiles, -1)
        for kind, group in arrays.items()
        for k, a in enumerate(group)
    }

    def at(place: Place, tile: int) -> np.ndarray:
        array = flat[place.kind, place.number]
        return array if place.kind == "work" else array[tile]

    info = np.zeros((), np.int32)
    ready = []
    for step in found.steps:
        if isinstance(step, Lines):
            raise AssertionError("a function that walks the batch itself is evaluated by its primitive")
        if isinstance(step, Call):
            cells, moving = _cells(step, found, info, flat)
            ready.append(
                (step, _function(step.function, len(cells)), cells, [c.ctypes.data for c in cells], moving)
            )
        else:
            ready.append((step, None, (), [], []))
    for tile in range(tiles):
        for step, function, _, addresses, moving in ready:
            if isinstance(step, Copy):
                at(step.target, tile)[: step.source.size] = at(step.source, tile)
            elif isinstance(step, Zero):
                at(step.target, tile)[:] = 0
            elif isinstance(step, Swaps):
                matrix = at(step.target, tile).reshape(step.columns, step.rows)
                order = list(enumerate(at(step.pivots, tile) - 1))
                for i, j in reversed(order) if step.reverse else order:
                    matrix[:, [i, j]] = matrix[:, [j, i]]
            elif isinstance(step, Clear):
                matrix = at(step.target, tile).reshape(step.order, step.order)
                matrix[np.triu_indices(step.order, 1)] = 0
            else:
                assert function is not None
                for k, start, nbytes in moving:
                    addresses[k] = start + tile * nbytes
                info[()] = 0
                function(*addresses)
                if info:
                    for place in step.spoils:
                        at(place, tile)[:] = (
                            math.nan if place.code in REALS and not found.complex else _nan(place)
                        )


def _nan(place: Place) -> Any:
    return complex(math.nan, math.nan) if place.code[0] == "c" else math.nan


def _cells(
    step: Call, found: Routine, info: np.ndarray, flat: Any
) -> tuple[list[Any], list[tuple[int, int, int]]]:
    """What the arguments of a call refer to, and of which the address moves from matrix to matrix: (argument,
    address of the first, bytes)."""
    cells: list[Any] = []
    moving = []
    for k, a in enumerate(step.arguments):
        if isinstance(a, Place):
            array = flat[a.kind, a.number]
            if a.kind != "work":
                moving.append((k, array.ctypes.data, array.shape[1] * array.itemsize))
            cells.append(array)
        elif a is None:
            cells.append(info)
        elif isinstance(a, str):
            cells.append(np.frombuffer(a.encode(), np.uint8))
        else:
            cells.append(np.array(a, np.int32 if isinstance(a, int) else found.element))
    return cells, moving


# -- primitives ----------------------------------------------------------------------------------------------


def check_floats(name: str, *operands: Aval) -> None:
    """Raises DtypeError unless the operands have one dtype that LAPACK works in."""
    for x in operands:
        if code(x.dtype) not in LETTERS:
            raise DtypeError(
                f"{name} works in float32, float64, complex64 and complex128, not on {x}, at {describe(here())}; "
                "convert with x.astype(fnp.float32)"
            )
        if x.dtype != operands[0].dtype:
            raise DtypeError(
                f"{name}: {operands[0]} and {x} have different dtypes, at {describe(here())}; convert one with "
                "x.astype(dtype)"
            )


def check_matrices(name: str, a: Aval, square: bool = True) -> None:
    """Raises an error unless a holds (square) matrices of numbers that LAPACK knows along its last two axes."""
    check_floats(name, a)
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        raise ShapeError(
            f"{name} needs {'square ' * square}matrices along the last two axes, not {a}, at {describe(here())}"
        )


def real_type(dtype: np.dtype) -> np.dtype:
    """The dtype of real and imaginary parts."""
    return np.dtype(REALS[code(dtype)])


def library(
    name: str,
    *,
    shape: Callable[..., Any],
    write: Callable[..., None],
    columns_in: tuple[int, ...] = (),
    columns_out: tuple[int, ...] = (),
    rank: int = 2,
    multiple: bool = False,
    **rules: Any,
) -> Primitive:
    """A primitive that a routine computes.

    write(routine, in_avals, out_avals, params) describes it for one matrix. columns_in, columns_out: operands and
    results it wants stored by columns. rank: axes of a matrix of the first operand; those before are a batch, and an
    operand that a vmap does not batch is repeated."""
    way = Library(write, columns_in, columns_out, rank)

    def run(*args: Any, **params: Any) -> Any:
        ins = [Aval(np.shape(a), np.asarray(a).dtype) for a in args]
        outs = shape(*ins, **params)
        found = evaluate(way, ins, outs if multiple else [outs], params, args)
        return found if multiple else found[0]

    def batch(
        frame: Any, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
    ) -> tuple[Any, Any]:
        lifted = [lift(frame.size, a, flag) for a, flag in zip(args, flags, strict=True)]
        out = made(*lifted, **params)
        return out, [True] * len(out) if multiple else True

    rules.setdefault("batch", batch)
    made = Primitive(name, shape=shape, evaluate=run, lower=way, multiple=multiple, **rules)
    return made
