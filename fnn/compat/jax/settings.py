"""`jax.config`: fnn's settings under JAX's names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fnn.config import config as _config

# Settings of JAX's compiler, backends and logging that change no result; reading one gives what was last set.
_WITHOUT_EFFECT: dict[str, Any] = dict.fromkeys(
    (
        "jax_backend_target", "jax_check_tracer_leaks", "jax_compilation_cache_dir",
        "jax_cpu_collectives_implementation", "jax_cpu_enable_async_dispatch", "jax_cuda_visible_devices",
        "jax_debug_log_modules", "jax_default_device", "jax_disable_most_optimizations", "jax_dump_ir_to",
        "jax_enable_checks", "jax_enable_compilation_cache", "jax_enable_custom_prng",
        "jax_exec_time_optimization_effort", "jax_explain_cache_misses", "jax_include_full_tracebacks_in_locations",
        "jax_legacy_prng_key", "jax_log_compiles", "jax_logging_level", "jax_memory_fitting_level",
        "jax_num_cpu_devices", "jax_optimization_level",
        "jax_persistent_cache_enable_xla_caches", "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes", "jax_pmap_shmap_merge",
        "jax_random_seed_offset", "jax_softmax_custom_jvp", "jax_spmd_mode", "jax_transfer_guard",
        "jax_use_shardy_partitioner",
    )
)  # fmt: skip
_DEFAULTS: dict[str, Any] = {
    "jax_numpy_rank_promotion": "allow",
    "jax_num_cpu_devices": 1,
    "jax_platforms": "cpu",
    "jax_default_prng_impl": "threefry2x32",
    "jax_numpy_dtype_promotion": "standard",
    "jax_threefry_partitionable": True,
    "jax_default_matmul_precision": None,
    "jax_platform_name": "cpu",
    "jax_debug_nans": False,
    "jax_debug_infs": False,
}


class Config:
    """Settings by JAX's names; those that fnn shares are its own (`fnn.config`)."""

    def __init__(self) -> None:
        object.__setattr__(self, "_values", {**_WITHOUT_EFFECT, **_DEFAULTS})

    def update(self, name: str, value: Any) -> None:
        """Change a setting for the whole process.

        Raises:
            ArgumentError: neither JAX nor fnn has the setting.
            UnsupportedError: fnn cannot do what is asked.
        """
        if name not in _WITHOUT_EFFECT:
            _config.update(name, value)
        self._values[name] = value

    def read(self, name: str) -> Any:
        """The value of a setting."""
        return getattr(self, name)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            with contextlib.suppress(AttributeError):
                return getattr(_config, name)
            if name in self._values:
                return self._values[name]
        raise AttributeError(f"jax.config has no setting {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        self.update(name, value)

    @contextlib.contextmanager
    def using(self, name: str, value: Any) -> Iterator[None]:
        """Inside the block a setting has another value."""
        before = getattr(self, name)
        self.update(name, value)
        try:
            yield
        finally:
            self.update(name, before)

    @property
    def values(self) -> dict[str, Any]:
        """All settings."""
        return dict(self._values)

    def parse_flags_with_absl(self) -> None:
        """Settings come from fnn's environment variables; absl's flags are left to absl."""

    config_with_absl = parse_flags_with_absl


config = Config()
