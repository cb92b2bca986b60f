"""Where arrays lie, under JAX's names. fnn runs on one device, so every sharding comes to the same: the whole array.

Programs that are written for many devices run unchanged on a mesh of one:

>>> import fnn.numpy as fnp
>>> from fnn.sharding import NamedSharding, PartitionSpec, make_mesh
>>> mesh = make_mesh((1,), ("data",))
>>> NamedSharding(mesh, PartitionSpec("data"))
NamedSharding(mesh=Mesh('data': 1), spec=PartitionSpec('data'))
>>> fnp.ones(3).sharding.is_fully_replicated
True
"""

from __future__ import annotations

import contextlib
import enum
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fnn import tree
from fnn.array import CPU, Device, devices
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, UnsupportedError

__all__ = [
    "AbstractMesh",
    "AxisType",
    "Mesh",
    "NamedSharding",
    "P",
    "PartitionSpec",
    "Sharding",
    "SingleDeviceSharding",
    "get_abstract_mesh",
    "get_mesh",
    "make_mesh",
    "reshard",
    "set_mesh",
    "use_mesh",
    "with_sharding_constraint",
]


class AxisType(enum.Enum):
    """Who decides how arrays are split along an axis of a mesh; on one device nobody has to."""

    Auto = enum.auto()
    Explicit = enum.auto()
    Manual = enum.auto()


class AbstractMesh:
    """The names and sizes of a mesh's axes, without its devices."""

    def __init__(
        self,
        axis_sizes: Sequence[int],
        axis_names: Sequence[str] = (),
        *,
        axis_types: Sequence[AxisType] | None = None,
    ):
        if len(axis_sizes) != len(axis_names):
            raise ArgumentError(
                f"a mesh of {len(axis_sizes)} axes with the names {tuple(axis_names)}, at {describe(here())}: give "
                "one name for each axis"
            )
        self.axis_sizes, self.axis_names = tuple(axis_sizes), tuple(axis_names)
        self.axis_types = tuple(axis_types or (AxisType.Auto,) * len(self.axis_names))

    @property
    def shape(self) -> dict[str, int]:
        """The size of each axis by its name."""
        return dict(zip(self.axis_names, self.axis_sizes, strict=True))

    @property
    def size(self) -> int:
        return int(np.prod(self.axis_sizes, dtype=int))

    @property
    def empty(self) -> bool:
        """Whether this is the mesh of no axes, which stands for none."""
        return not self.axis_names

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self)
            and isinstance(other, AbstractMesh)
            and other.shape == self.shape
            and other.axis_types == self.axis_types
        )

    def __hash__(self) -> int:
        return hash((self.axis_sizes, self.axis_names, self.axis_types))

    def __repr__(self) -> str:
        axes = ", ".join(f"{name!r}: {size}" for name, size in self.shape.items())
        return f"{type(self).__name__}({axes})"


class Mesh(AbstractMesh):
    """Devices in an array whose axes have names; a context manager that makes it the current mesh.

    Raises:
        UnsupportedError: there are several devices in it.
    """

    def __init__(self, devices: Any, axis_names: Any = (), *, axis_types: Sequence[AxisType] | None = None):
        self.devices = np.asarray(devices, dtype=object)
        names = (axis_names,) if isinstance(axis_names, str) else tuple(axis_names)
        if self.devices.size > 1:
            raise UnsupportedError(
                f"a mesh of {self.devices.size} devices, at {describe(here())}: fnn runs on one; give every axis the "
                "size 1, or use vmap where devices shared the work"
            )
        super().__init__(self.devices.shape, names, axis_types=axis_types)

    @property
    def device_ids(self) -> np.ndarray:
        return np.zeros(self.devices.shape, int)

    @property
    def local_devices(self) -> list[Device]:
        return list(self.devices.flat)

    @property
    def local_mesh(self) -> Mesh:
        return self

    @property
    def abstract_mesh(self) -> AbstractMesh:
        return AbstractMesh(self.axis_sizes, self.axis_names, axis_types=self.axis_types)

    @property
    def is_multi_process(self) -> bool:
        return False

    def __enter__(self) -> Mesh:
        _current.stack.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _current.stack.pop()


class _Current(threading.local):
    def __init__(self) -> None:
        self.stack: list[Mesh] = []


_current = _Current()
_EMPTY = Mesh(np.empty((), object), ())


class PartitionSpec(tuple):
    """Which axes of a mesh split which axes of an array: names, tuples of names, or None."""

    UNCONSTRAINED = "UNCONSTRAINED"

    def __new__(cls, *partitions: Any, unreduced: Any = frozenset(), reduced: Any = frozenset()) -> Any:
        return super().__new__(cls, partitions)

    def __repr__(self) -> str:
        return f"PartitionSpec({', '.join(map(repr, self))})"

    def __reduce__(self) -> tuple:
        return PartitionSpec, tuple(self)


P = PartitionSpec
tree.register_pytree_node(PartitionSpec, lambda spec: ((), spec), lambda spec, _: spec)


class Sharding:
    """How an array lies on devices. There is one device, which holds all of it."""

    memory_kind: str | None = None

    @property
    def device_set(self) -> set[Device]:
        return {CPU}

    addressable_devices = device_set

    @property
    def num_devices(self) -> int:
        return 1

    @property
    def is_fully_replicated(self) -> bool:
        return True

    @property
    def is_fully_addressable(self) -> bool:
        return True

    @property
    def spec(self) -> PartitionSpec:
        return PartitionSpec()

    @property
    def mesh(self) -> Mesh:
        return _EMPTY

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of a device's part of an array: all of it."""
        return tuple(global_shape)

    def is_equivalent_to(self, other: Any, ndim: int) -> bool:
        return isinstance(other, Sharding)

    def devices_indices_map(self, global_shape: Sequence[int]) -> dict[Device, tuple[slice, ...]]:
        """Which part of an array each device holds."""
        return {CPU: (slice(None),) * len(tuple(global_shape))}

    def with_memory_kind(self, kind: str) -> Sharding:
        return self


class SingleDeviceSharding(Sharding):
    """An array that one device holds."""

    def __init__(self, device: Device = CPU, *, memory_kind: str | None = None):
        self._device = device

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SingleDeviceSharding)

    def __hash__(self) -> int:
        return hash(SingleDeviceSharding)

    def __repr__(self) -> str:
        return f"SingleDeviceSharding(device={self._device!r})"


class NamedSharding(Sharding):
    """An array split over the named axes of a mesh.

    Raises:
        ArgumentError: the specification names an axis that the mesh has not.
    """

    def __init__(self, mesh: AbstractMesh, spec: Any, *, memory_kind: str | None = None):
        used = [name for part in spec for name in (part if isinstance(part, tuple) else (part,))]
        unknown = [
            n
            for n in used
            if n is not None and n is not PartitionSpec.UNCONSTRAINED and n not in mesh.axis_names
        ]
        if unknown:
            raise ArgumentError(
                f"NamedSharding, at {describe(here())}: the mesh has the axes {mesh.axis_names}, not {unknown[0]!r}"
            )
        self._mesh, self._spec = mesh, spec if isinstance(spec, PartitionSpec) else PartitionSpec(*spec)

    @property
    def mesh(self) -> Any:
        return self._mesh

    @property
    def spec(self) -> PartitionSpec:
        return self._spec

    def update(self, **changes: Any) -> NamedSharding:
        return NamedSharding(changes.get("mesh", self._mesh), changes.get("spec", self._spec))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedSharding) and (other._mesh, other._spec) == (self._mesh, self._spec)

    def __hash__(self) -> int:
        return hash((self._mesh, self._spec))

    def __repr__(self) -> str:
        return f"NamedSharding(mesh={self._mesh!r}, spec={self._spec!r})"


SINGLE = SingleDeviceSharding()


@functools.cache
def unsplit(ndim: int) -> NamedSharding:
    """Of an array's type: none of its axes is split."""
    return NamedSharding(_EMPTY, PartitionSpec(*[None] * ndim))


def make_mesh(
    axis_shapes: Sequence[int],
    axis_names: Sequence[str],
    *,
    axis_types: Sequence[AxisType] | None = None,
    devices: Sequence[Device] | None = None,
) -> Mesh:
    """A mesh of this machine's device; every axis has the size 1.

    Raises:
        UnsupportedError: more devices are asked for than there are.
    """
    sizes = tuple(axis_shapes)
    if int(np.prod(sizes, dtype=int)) != 1:
        raise UnsupportedError(
            f"a mesh of shape {sizes}, at {describe(here())}, needs {int(np.prod(sizes))} devices; there is one"
        )
    return Mesh(np.array(_devices(), object).reshape(sizes), axis_names, axis_types=axis_types)


_devices: Callable[[], list[Device]] = devices


@contextlib.contextmanager
def _using(mesh: Mesh) -> Iterator[Mesh]:
    try:
        yield mesh
    finally:
        _current.stack.remove(mesh)


def set_mesh(mesh: Mesh) -> Any:
    """Make a mesh the current one; as a context manager, inside the block only."""
    _current.stack.append(mesh)
    return _using(mesh)


def use_mesh(mesh: Mesh) -> Any:
    """A context manager: inside the block the mesh is the current one."""
    return mesh


def get_mesh() -> Mesh:
    """The current mesh; the empty one where none was set."""
    return _current.stack[-1] if _current.stack else _EMPTY


def get_abstract_mesh() -> AbstractMesh:
    """The names and sizes of the current mesh's axes."""
    return get_mesh().abstract_mesh


def with_sharding_constraint(x: Any, shardings: Any = None) -> Any:
    """The pytree itself: it lies on the one device there is."""
    return x


def reshard(xs: Any, out_shardings: Any = None) -> Any:
    """The pytree itself: it lies on the one device there is."""
    return xs
