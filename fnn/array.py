"""What arrays can do: their operators, methods, conversions and printing, installed on `fnn.Array`; and devices.

>>> import fnn.numpy as fnp
>>> x = fnp.array([1.0, 2.0, 3.0])
>>> x * 2 + x[::-1]
Array([5., 6., 7.], dtype=float32)
>>> x.mean(), (x @ x).item()
(Array(2., dtype=float32), 14.0)
"""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fnn import dtypes, tree
from fnn import operations as O
from fnn import primitives as P
from fnn.core.array import SCALAR_TYPES, Array, ConcreteArray, from_numpy
from fnn.core.source import describe, here
from fnn.core.trace import Tracer
from fnn.errors import ArgumentError, ImmutableError, UnsupportedError
from fnn.lazy import Method

# -- operators --------------------------------------------------------------------------------------------------------

_KNOWN = (Array, np.ndarray, np.generic, bool, int, float, complex)
_LISTS = (list, tuple, str, bytes, dict, set)


def _accepts(symbol: str, other: Any, comparing: bool) -> bool:
    """Whether an operator takes the operand; lists and strings are refused with the way out."""
    if isinstance(other, _KNOWN) or hasattr(other, "__fnn_array__") or hasattr(other, "__jax_array__"):
        return True
    if isinstance(other, (list, tuple)) or (isinstance(other, _LISTS) and not comparing):
        O.operands.operand(f"the operator {symbol}", other)  # raises
    return False


def _operator(
    symbol: str, f: Callable[[Any, Any], Any], reflected: bool = False, comparing: bool = False
) -> Any:
    quick = frozenset({ConcreteArray, Tracer, *SCALAR_TYPES})
    if reflected:

        def method(self: Any, other: Any) -> Any:
            if type(other) in quick or _accepts(symbol, other, comparing):
                return f(other, self)
            return NotImplemented

    else:

        def method(self: Any, other: Any) -> Any:
            if type(other) in quick or _accepts(symbol, other, comparing):
                return f(self, other)
            return NotImplemented

    return method


_ARITHMETIC = {
    "add": ("+", "add"), "sub": ("-", "subtract"), "mul": ("*", "multiply"), "truediv": ("/", "divide"),
    "floordiv": ("//", "floor_divide"), "mod": ("%", "remainder"), "and": ("&", "bitwise_and"), "or": ("|", "bitwise_or"),
    "xor": ("^", "bitwise_xor"), "lshift": ("<<", "left_shift"), "rshift": (">>", "right_shift"),
}  # fmt: skip
_COMPARISON = {
    "eq": ("==", "equal"), "ne": ("!=", "not_equal"), "lt": ("<", "less"),
    "le": ("<=", "less_equal"), "gt": (">", "greater"), "ge": (">=", "greater_equal"),
}  # fmt: skip
_ONE = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}
_WRITTEN: dict[str, tuple[str, Callable[[], Any]]] = {
    **{name: (symbol, lambda f=f: O.elementwise.BINARY[f]) for name, (symbol, f) in _ARITHMETIC.items()},
    "divmod": ("divmod", lambda: O.elementwise.divmod_of),
    "pow": ("**", lambda: O.elementwise.power),
    "matmul": ("@", lambda: O.products.matmul),
}


def _round(self: Any, ndigits: int | None = None) -> Any:
    rounded = O.choice.round(self, ndigits or 0)
    return O.choice.astype(rounded, int) if ndigits is None and self.aval.is_float else rounded


# -- Python's own conversions -----------------------------------------------------------------------------------------


def _one_value(self: Any, what: str, any_rank: bool = False) -> Any:
    value = self.value
    if value.ndim and not (any_rank and value.size == 1):
        many = (
            "an array with no elements has no truth value"
            if any_rank and not value.size
            else "write x.any() or x.all(), or compare element by element with fnn.numpy.where"
            if any_rank
            else "x.item() takes the value of an array with one element, x[0] one of several"
        )
        raise ArgumentError(
            f"{what} of an array with shape {self.shape}, at {describe(here())}: there is no single value; {many}"
        )
    return value.item() if value.dtype != dtypes.bfloat16 else float(value.item())


def _bool(self: Any) -> bool:
    return bool(_one_value(self, "bool() (an `if`, `while`, `and`, `or` or `not`)", any_rank=True))


def _index(self: Any) -> int:
    if self.dtype.kind not in "iu":
        raise ArgumentError(
            f"an array of {self.dtype} is no index or size, at {describe(here())}; convert it with astype(int)"
        )
    return operator.index(_one_value(self, "use as an index or a size"))


def _format(self: Any, spec: str) -> str:
    if not spec:
        return str(self)
    if isinstance(self, Tracer):
        raise ArgumentError(
            f"the format {spec!r} needs the value of a traced {self.aval}, at {describe(here())}; format it "
            "outside of the transformed function"
        )
    return format(_one_value(self, f"the format {spec!r}"), spec)


def _iterate(self: Any) -> Iterator[Any]:
    if not self.shape:
        raise ArgumentError(
            f"an array with no axes cannot be iterated over, at {describe(here())}; its shape is ()"
        )
    return iter([O.reading.index(self, i) for i in range(self.shape[0])])


def _contains(self: Any, value: Any) -> bool:
    return bool(O.reductions.any(O.elementwise.BINARY["equal"](self, value)))


def _reversed(self: Any) -> Iterator[Any]:
    return iter(list(_iterate(self))[::-1])


# -- printing ---------------------------------------------------------------------------------------------------------

_WIDTH = 75


def _repr(self: Any) -> str:
    dtype, value = self.dtype, self.value
    if dtypes.is_key(dtype):
        words = value.view(np.uint64)
        pairs = np.stack([words >> np.uint64(32), words & np.uint64(0xFFFFFFFF)], -1).astype(np.uint32)
        return f"Array({self.shape}, dtype={dtypes.short_name(dtype)}<fry>) overlaying:\n{pairs}"
    tail = f"dtype={dtype.name}" + (", weak_type=True)" if self.weak_type else ")")
    if not value.size:
        return f"Array([], shape={self.shape}, {tail}"
    body = np.array2string(value, prefix="Array(", suffix=",", separator=", ")
    last = len("Array(" + body) - (body.rfind("\n") + 1)
    gap = "\n      " if last + len(tail) + 1 > _WIDTH else " "
    return f"Array({body},{gap}{tail}"


# -- what may not be done ---------------------------------------------------------------------------------------------


def _written(key: Any) -> str:
    """An index as one would write it."""
    if isinstance(key, slice):
        part = lambda v: "" if v is None else _written(v)
        return f"{part(key.start)}:{part(key.stop)}" + (f":{part(key.step)}" if key.step is not None else "")
    if key is Ellipsis:
        return "..."
    if isinstance(key, tuple):
        return ", ".join(map(_written, key)) or "()"
    return repr(key) if isinstance(key, (int, type(None))) else "i"


def _refuse_assignment(self: Any, key: Any, value: Any) -> None:
    i = _written(key)
    raise ImmutableError(
        f"arrays never change, so x[{i}] = v is not possible, at {describe(here())}; make a changed copy: "
        f"x = x.at[{i}].set(v), or x = x.at[{i}].add(v) for x[{i}] += v"
    )


def _refuse_deletion(self: Any, key: Any) -> None:
    raise ImmutableError(
        f"arrays never change, so del x[...] is not possible, at {describe(here())}; fnn.numpy.delete makes a copy"
    )


# -- methods ----------------------------------------------------------------------------------------------------------


def _at(self: Any) -> Any:
    from fnn.indexing import IndexUpdateHelper  # with all that reading and writing need

    return IndexUpdateHelper(self)


def _shape_arguments(sizes: tuple[Any, ...]) -> Any:
    """x.reshape(2, 3) and x.reshape((2, 3)) alike."""
    return sizes[0] if len(sizes) == 1 else sizes


def _reshape(self: Any, *shape: Any, order: str = "C") -> Any:
    return O.shaping.reshape(self, _shape_arguments(shape), order)


def _transpose(self: Any, *axes: Any) -> Any:
    return O.shaping.transpose(
        self,
        None if not axes or axes[0] is None else O.operands.sizes_of("transpose", _shape_arguments(axes)),
    )


def _item(self: Any, *position: int) -> Any:
    """The one element, or the one at a position (one number counts through the flattened array), as a Python number."""
    if position:
        place = _shape_arguments(position)
        return O.reading.index(self if isinstance(place, tuple) else O.shaping.ravel(self), place).item()
    array = self.concrete("item()") if isinstance(self, Tracer) else self
    if array.size != 1:
        raise ArgumentError(
            f"item() of an array with shape {self.shape}, at {describe(here())}: it has {self.size} elements, "
            "not one; say which one: x.item(i), or x[i].item()"
        )
    return np.asarray(array).item()


def _copied(self: Any) -> Any:
    """The array in memory of its own."""
    return P.copy(self)


def _tolist(self: Any) -> Any:
    """The elements as nested lists of Python numbers."""
    return np.asarray(self.concrete("tolist()") if isinstance(self, Tracer) else self).tolist()


def _ready(self: Any) -> Any:
    """The array itself: results are computed when they are returned."""
    return self


def _devices(self: Any) -> set[Device]:
    """Where the array lives."""
    return {CPU}


def _dlpack(
    self: Any,
    *,
    stream: None = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """The array for other libraries, without a copy where its memory allows it; see the DLPack protocol."""
    value = self.value
    if copy is not False and not (value.flags.c_contiguous and value.flags.writeable):
        value = np.array(value, order="C")  # consumers may write; and some know no strides
    try:
        return value.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)
    except (TypeError, BufferError, ValueError) as error:
        raise UnsupportedError(f"DLPack export of {self.aval}, at {describe(here())}: {error}") from None


def _buffer(self: Any, flags: int) -> memoryview:
    return memoryview(np.asarray(self))  # type: ignore[arg-type]  # NumPy's arrays are buffers


def _namespace(self: Any, *, api_version: str | None = None) -> Any:
    """fnn.numpy, as the array API standard asks; ArgumentError for a version it is not."""
    if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
        raise ArgumentError(f"the array API {api_version!r} is not there, at {describe(here())}; 2024.12 is")
    return importlib.import_module("fnn.numpy")


def _to_device(self: Any, device: Any, *, stream: Any = None) -> Any:
    """The array on a device; there is one."""
    return device_put(self, device)


def _sharding(self: Any) -> Any:
    return importlib.import_module("fnn.sharding").SINGLE


def _delete(self: Any) -> None:
    """Accepted for JAX's sake: memory is freed when the last reference goes."""


class Shard:
    """The part of an array that one device holds: all of it."""

    __slots__ = ("data",)
    replica_id = 0

    def __init__(self, data: Any):
        self.data = data

    @property
    def device(self) -> Device:
        """The device that holds the part."""
        return CPU

    @property
    def index(self) -> tuple[slice, ...]:
        """Where in the array the part lies."""
        return (slice(None),) * self.data.ndim

    def __repr__(self) -> str:
        return f"Shard(device={CPU!r}, index={self.index}, replica_id=0, data={self.data})"


def _part(self: Any, index: int) -> Any:
    """The part of the array on a device of this process: the array itself on the only one."""
    if index != 0:
        raise ArgumentError(
            f"there is no part {index} of an array, at {describe(here())}; one device holds all of it"
        )
    return self


def _compressed(self: Any, condition: Any, axis: int | None = None, **options: Any) -> Any:
    """The slices along an axis (of the flattened array for None) where a condition holds; see fnn.numpy.compress."""
    return importlib.import_module("fnn.numpy.sets").compress(condition, self, axis, **options)


def _tobytes(self: Any, order: str = "C") -> bytes:
    """The elements as bytes, row by row."""
    return np.asarray(self.concrete("tobytes()") if isinstance(self, Tracer) else self).tobytes(order)  # type: ignore[arg-type]  # NumPy checks


def _byteswapped(self: Any) -> Any:
    """The array with the bytes of every element in the opposite order."""
    return from_numpy(
        np.asarray(self.concrete("byteswap()") if isinstance(self, Tracer) else self).byteswap(), self.dtype
    )


_METHODS: dict[str, Any] = {
    "addressable_data": _part, "tobytes": _tobytes, "byteswap": _byteswapped, "clone": _copied,
    "is_deleted": lambda self: False, "is_ready": lambda self: True, "copy_to_host_async": lambda self: None,
    "on_device_size_in_bytes": lambda self: self.nbytes, "platform": lambda self: CPU.platform,
    "unsafe_buffer_pointer": lambda self: self.value.ctypes.data,
    "reshape": _reshape, "transpose": _transpose, "copy": _copied, "item": _item, "tolist": _tolist,
    "block_until_ready": _ready, "devices": _devices, "to_device": _to_device, "delete": _delete,
    "__array_namespace__": _namespace, "__iter__": _iterate, "__contains__": _contains, "__reversed__": _reversed,
    "__format__": _format, "__round__": _round, "__setitem__": _refuse_assignment, "__delitem__": _refuse_deletion,
}  # fmt: skip
# Methods that are operations, by where they are: a module of `fnn.operations` is imported when one is first used.
_OPERATIONS: dict[str, Callable[[], Any]] = {
    "astype": lambda: O.choice.astype, "view": lambda: O.choice.view, "flatten": lambda: O.shaping.ravel,
    "ravel": lambda: O.shaping.ravel, "squeeze": lambda: O.shaping.squeeze, "swapaxes": lambda: O.shaping.swapaxes,
    "sum": lambda: O.reductions.sum, "prod": lambda: O.reductions.prod, "mean": lambda: O.reductions.mean,
    "var": lambda: O.reductions.var, "std": lambda: O.reductions.std, "max": lambda: O.reductions.max_of,
    "min": lambda: O.reductions.min_of, "all": lambda: O.reductions.all, "any": lambda: O.reductions.any,
    "ptp": lambda: O.reductions.ptp, "argmax": lambda: O.reductions.argmax, "argmin": lambda: O.reductions.argmin,
    "cumsum": lambda: O.reductions.cumsum, "cumprod": lambda: O.reductions.cumprod, "dot": lambda: O.products.dot,
    "clip": lambda: O.choice.clip, "round": lambda: O.choice.round, "conj": lambda: O.choice.conjugate,
    "conjugate": lambda: O.choice.conjugate, "sort": lambda: O.selection.sort, "argsort": lambda: O.selection.argsort,
    "take": lambda: O.selection.take, "repeat": lambda: O.selection.repeat, "diagonal": lambda: O.selection.diagonal,
    "trace": lambda: O.selection.trace, "nonzero": lambda: O.selection.nonzero,
    "searchsorted": lambda: O.selection.searchsorted, "argpartition": lambda: O.selection.argpartition,
    "__getitem__": lambda: O.reading.index,
    "choose": lambda: importlib.import_module("fnn.numpy.indexing_tricks").choose, "compress": lambda: _compressed,
}  # fmt: skip
_CONCRETE: dict[str, Any] = {
    "__bool__": _bool, "__index__": _index, "__repr__": _repr, "__dlpack__": _dlpack, "__buffer__": _buffer,
    "__int__": lambda self: int(_one_value(self, "int()")),
    "__float__": lambda self: float(_one_value(self, "float()")),
    "__complex__": lambda self: complex(_one_value(self, "complex()")),
    "__str__": lambda self: str(self.value) if not dtypes.is_key(self.dtype) else _repr(self),
    "__dlpack_device__": lambda self: (1, 0),
    "__copy__": lambda self: self,
    "__deepcopy__": lambda self, memo: self,
}  # fmt: skip
_PROPERTIES: dict[str, Any] = {
    "addressable_shards": (
        lambda self: [Shard(self)],
        "The parts of the array on devices of this process: one.",
    ),
    "global_shards": (lambda self: [Shard(self)], "The parts of the array on all devices: one."),
    "is_fully_addressable": (lambda self: True, "Whether this process can read all of the array: it can."),
    "is_fully_replicated": (lambda self: True, "Whether every device holds all of the array: the one does."),
    "committed": (lambda self: True, "Whether the array stays on its device: there is one."),
    "T": (lambda self: O.shaping.transpose(self), "The array with its axes reversed."),
    "mT": (lambda self: O.shaping.matrix_transpose(self), "The array with its last two axes exchanged."),
    "real": (lambda self: O.choice.real(self), "The real part; the array itself if it is real."),
    "imag": (lambda self: O.choice.imag(self), "The imaginary part; zeros if the array is real."),
    "at": (_at, "x.at[i].set(v) and its kin: x with some elements changed."),
    "device": (lambda self: CPU, "The device the array lives on."),
    "sharding": (_sharding, "How the array lies on devices: `fnn.sharding`."),
}


def _install() -> None:
    late: dict[str, Callable[[], Any]] = dict(_OPERATIONS)
    for name, (symbol, f) in _WRITTEN.items():
        late[f"__{name}__"] = lambda symbol=symbol, f=f: _operator(symbol, f())
        late[f"__r{name}__"] = lambda symbol=symbol, f=f: _operator(symbol, f(), reflected=True)
    for name, (symbol, f) in _COMPARISON.items():
        late[f"__{name}__"] = lambda symbol=symbol, f=f: _operator(
            symbol, O.elementwise.BINARY[f], comparing=symbol in ("==", "!=")
        )
    for name, f in _ONE.items():
        late[f"__{name}__"] = lambda f=f: O.elementwise.UNARY[f]
    for name, load in late.items():
        setattr(Array, name, Method(Array, name, load))
    for name, f in _METHODS.items():
        setattr(Array, name, f)
    for name, f in _CONCRETE.items():
        setattr(ConcreteArray, name, f)
    for name, (f, text) in _PROPERTIES.items():
        setattr(Array, name, property(f, doc=text))


# -- devices ----------------------------------------------------------------------------------------------------------


class Device:
    """A device arrays live on."""

    __slots__ = ("id", "platform", "device_kind", "process_index")

    def __init__(self, platform: str, number: int):
        self.platform, self.id, self.device_kind, self.process_index = platform, number, platform, 0

    def __repr__(self) -> str:
        return f"{self.platform.capitalize()}Device(id={self.id})"

    def __str__(self) -> str:
        return f"{self.platform.upper()}_{self.id}"


CPU = Device("cpu", 0)


def devices(backend: str | None = None) -> list[Device]:
    """The devices there are: one CPU, whose cores share the work. Raises UnsupportedError for other backends."""
    if backend not in (None, "cpu"):
        raise UnsupportedError(
            f"Unknown backend {backend!r}: there is no device of this kind, at {describe(here())}; programs run on the CPU"
        )
    return [CPU]


def local_devices(process_index: int | None = None, backend: str | None = None) -> list[Device]:
    """The devices of this process."""
    return devices(backend)


def device_count(backend: str | None = None) -> int:
    """How many devices there are."""
    return len(devices(backend))


def default_backend() -> str:
    """The kind of device programs run on."""
    return CPU.platform


def device_put(x: Any, device: Any = None, **options: Any) -> Any:
    """A pytree with every leaf an array; there is one device, so nothing moves."""
    from fnn.core.array import as_array

    return tree.map(as_array, x)


def device_get(x: Any) -> Any:
    """A pytree with every array as a NumPy array; other leaves stay. Raises for traced arrays."""
    return tree.map(lambda leaf: np.asarray(leaf) if isinstance(leaf, Array) else leaf, x)


def block_until_ready(x: Any) -> Any:
    """The pytree itself: results are computed when they are returned. For timing code written for JAX."""
    return x


_install()
