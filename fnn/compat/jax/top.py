"""The names of `jax` itself, and of the modules that hold little else."""

from __future__ import annotations

import contextlib
import gc
import importlib
from collections.abc import Callable, Iterator
from typing import Any

from fnn import sharding as _sharding
from fnn.array import Device, default_backend, device_count, local_devices
from fnn.compat.jax.core import get_aval as typeof
from fnn.compat.jax.core import make_jaxpr
from fnn.compat.jax.parallel import device_put_replicated, device_put_sharded, pmap, shard_map
from fnn.compat.jax.settings import config
from fnn.dtypes import float0
from fnn.sharding import NamedSharding, P, make_mesh, reshard, set_mesh
from fnn.transforms.jit import Jitted

fnn: Any = importlib.import_module("fnn")  # whose names these are
__version__ = "0.10.2"  # of the JAX whose names these are
__version_info__ = (0, 10, 2)
version = __version__

# What is fnn's under the same name. A name that fnn lacks is missed when it is used.
_SAME = {
    "Array", "ShapeDtypeStruct", "block_until_ready", "checkpoint", "checkpoint_policies",
    "closure_convert", "custom_gradient", "custom_jvp", "custom_vjp", "debug_infs", "debug_nans",
    "device_get", "devices", "disable_jit", "effects_barrier", "enable_x64", "ensure_compile_time_eval", "eval_shape",
    "grad", "hessian", "jacfwd", "jacobian", "jacrev", "jit", "jvp", "linear_transpose", "linearize", "live_arrays",
    "named_call", "named_scope", "pure_callback", "remat", "value_and_grad", "vjp", "vmap",
}  # fmt: skip
__all__ = [
    "checking_leaks",     "Device", "NamedSharding", "P", "check_tracer_leaks", "clear_caches", "config", "default_backend",
    "default_device", "default_matmul_precision", "default_prng_impl", "device_count", "device_put",
    "device_put_replicated", "device_put_sharded", "enable_checks", "enable_custom_prng", "float0", "host_count",
    "host_id", "host_ids", "legacy_prng_key", "local_device_count", "local_devices", "log_compiles", "make_jaxpr",
    "make_mesh",
    "numpy_dtype_promotion", "numpy_rank_promotion", "pmap", "print_environment_info", "process_count",
    "process_index", "process_indices", "reshard", "set_mesh", "shard_map", "softmax_custom_jvp",
    "threefry_partitionable", "transfer_guard", "typeof",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _SAME:
        with contextlib.suppress(AttributeError):
            return getattr(fnn, name)
    raise AttributeError(f"module 'jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *(name for name in _SAME if hasattr(fnn, name))]


def device_put(x: Any, device: Any = None, **options: Any) -> Any:
    """The pytree as arrays; there is one device."""
    return fnn.device_put(x)


def local_device_count(backend: str | None = None) -> int:
    """How many devices this process has: one."""
    return device_count(backend)


def process_count(backend: str | None = None) -> int:
    """How many processes share the work: one."""
    return 1


def process_index(backend: str | None = None) -> int:
    """The number of this process."""
    return 0


def process_indices(backend: str | None = None) -> list[int]:
    """The numbers of all processes."""
    return [0]


host_count, host_id, host_ids = process_count, process_index, process_indices


@contextlib.contextmanager
def _nothing(*_: Any, **__: Any) -> Iterator[None]:
    """Inside the block nothing differs: fnn has no such choice to make."""
    yield


default_device = transfer_guard = log_compiles = checking_leaks = _nothing
enable_checks = check_tracer_leaks = enable_custom_prng = legacy_prng_key = softmax_custom_jvp = _nothing


def _config_block(name: str) -> Callable[..., Any]:
    @contextlib.contextmanager
    def block(value: Any = True) -> Iterator[None]:
        with config.using(name, value):
            yield

    block.__name__ = name
    block.__doc__ = f"Inside the block, `jax.config.{name}` is the value."
    return block


debug_key_reuse = _config_block("jax_debug_key_reuse")
default_matmul_precision = _config_block("jax_default_matmul_precision")
default_prng_impl = _config_block("jax_default_prng_impl")
numpy_dtype_promotion = _config_block("jax_numpy_dtype_promotion")
numpy_rank_promotion = _config_block("jax_numpy_rank_promotion")
threefry_partitionable = _config_block("jax_threefry_partitionable")


def clear_caches() -> None:
    """Forget everything that jit traced and compiled in this process; the cache on disk stays."""
    for thing in gc.get_objects():
        if type(thing) is Jitted:
            thing.clear_cache()


def print_environment_info(return_string: bool = False) -> str | None:
    """The versions of fnn and of what it stands on."""
    import platform

    import numpy as np

    text = f"fnn {fnn.__version__} in JAX's place; numpy {np.__version__}; python {platform.python_version()}"
    if return_string:
        return text
    print(text)
    return None


def visualize_array_sharding(arr: Any, **options: Any) -> None:
    """Print how an array lies on devices: on the one there is."""
    print(f"{arr.shape} on {_sharding.CPU}")


visualize_sharding = inspect_array_sharding = visualize_array_sharding
to_dlpack = lambda x, **options: x.__dlpack__()
