"""What JAX splits over devices, on the one device there is: pmap, shard_map, pjit, and arrays for several devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fnn.numpy as fnp
from fnn import sharding, tree
from fnn.core.source import describe, function_place, here
from fnn.errors import ArgumentError
from fnn.sharding import make_mesh, with_sharding_constraint
from fnn.transforms.batching import vmap
from fnn.transforms.jit import jit

__all__ = [
    "create_device_mesh",
    "device_put_replicated",
    "device_put_sharded",
    "make_mesh",
    "pjit",
    "pmap",
    "process_allgather",
    "shard_map",
    "with_sharding_constraint",
]


def pmap(
    fun: Callable[..., Any],
    axis_name: Any = None,
    *,
    in_axes: Any = 0,
    out_axes: Any = 0,
    static_broadcasted_argnums: int | Sequence[int] = (),
    devices: Any = None,
    backend: str | None = None,
    axis_size: int | None = None,
    donate_argnums: int | Sequence[int] = (),
    global_arg_shapes: Any = None,
) -> Callable[..., Any]:
    """`jit(vmap(fun))` over an axis of one element: there is one device.

    Raises:
        ArgumentError: when it is called with more elements than there are devices.
    """
    static = (
        (static_broadcasted_argnums,)
        if isinstance(static_broadcasted_argnums, int)
        else static_broadcasted_argnums
    )
    donate = (donate_argnums,) if isinstance(donate_argnums, int) else tuple(donate_argnums)
    where = function_place(fun)

    def over_devices(*args: Any, **kwargs: Any) -> Any:
        chosen = {i % len(args) for i in static}

        def dynamic(*rest: Any, **named: Any) -> Any:
            given = iter(rest)
            return fun(*[args[i] if i in chosen else next(given) for i in range(len(args))], **named)

        axes = in_axes
        if isinstance(axes, (tuple, list)):
            axes = tuple(axis for i, axis in enumerate(axes) if i not in chosen)
        mapped = vmap(dynamic, in_axes=axes, out_axes=out_axes, axis_name=axis_name, axis_size=axis_size)
        return mapped(*[x for i, x in enumerate(args) if i not in chosen], **kwargs)

    compiled = jit(over_devices, static_argnums=tuple(static), donate_argnums=donate)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for i, x in enumerate(args):
            axis = in_axes[i] if isinstance(in_axes, (tuple, list)) else in_axes
            if i not in static and isinstance(axis, int):
                for leaf in tree.leaves(x):
                    size = np.shape(leaf)[axis] if np.ndim(leaf) > axis else None
                    if size is not None and size > 1:
                        raise ArgumentError(
                            f"pmap of {where}, called at {describe(here())}: argument {i} has {size} elements along axis "
                            f"{axis}, one for each device, and there is one device; use vmap"
                        )
        return compiled(*args, **kwargs)

    wrapped.lower = compiled.lower  # type: ignore[attr-defined]
    wrapped.__name__, wrapped.__doc__ = getattr(fun, "__name__", "pmap"), fun.__doc__
    return wrapped


def shard_map(
    f: Callable[..., Any] | None = None,
    mesh: Any = None,
    in_specs: Any = None,
    out_specs: Any = None,
    **options: Any,
) -> Callable[..., Any]:
    """`f` on whole arrays, inside of the mesh's named axes: the one device's part of an array is all of it."""
    if f is None:
        return lambda f: shard_map(f, mesh, in_specs, out_specs, **options)

    def wrapped(*args: Any) -> Any:
        function = f
        for name in (mesh or sharding.get_mesh()).axis_names:
            function = vmap(function, in_axes=None, axis_name=name, axis_size=1)
        out = function(*args)
        for _ in (mesh or sharding.get_mesh()).axis_names:
            out = tree.map(lambda x: x[0], out)
        return out

    return wrapped


def pjit(fun: Callable[..., Any], in_shardings: Any = None, out_shardings: Any = None, **options: Any) -> Any:
    """`jit`."""
    return jit(
        fun, **{k: v for k, v in options.items() if k not in ("in_axis_resources", "out_axis_resources")}
    )


def device_put_replicated(x: Any, devices: Sequence[Any]) -> Any:
    """A pytree with a leading axis of one element for each device."""
    return tree.map(lambda leaf: fnp.stack([fnp.asarray(leaf)] * len(devices)), x)


def device_put_sharded(shards: Sequence[Any], devices: Sequence[Any]) -> Any:
    """Pytrees, one for each device, stacked along a leading axis."""
    if len(shards) != len(devices):
        raise ArgumentError(
            f"device_put_sharded, at {describe(here())}: {len(shards)} shards for {len(devices)} devices"
        )
    return tree.map(lambda *leaves: fnp.stack([fnp.asarray(leaf) for leaf in leaves]), *shards)


def create_device_mesh(mesh_shape: Sequence[int], devices: Any = None, **options: Any) -> np.ndarray:
    """The devices as an array of a shape whose sizes are all 1."""
    return make_mesh(mesh_shape, [str(i) for i in range(len(mesh_shape))]).devices


def process_allgather(in_tree: Any, tiled: bool = False) -> Any:
    """The values of all processes: of this one, with a leading axis unless `tiled`."""
    return tree.map(lambda x: np.asarray(x) if tiled else np.asarray(x)[None], in_tree)


def sync_global_devices(name: str) -> None:
    """Wait for all processes; there is one."""


def broadcast_one_to_all(in_tree: Any, is_source: bool | None = None) -> Any:
    """The value of the first process: of this one."""
    return tree.map(np.asarray, in_tree)
