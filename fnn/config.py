"""Settings: one object, `config`, and the only place where environment variables are read.

>>> from fnn.config import config
>>> with config.using(enable_x64=True):
...     config.enable_x64
True
>>> config.enable_x64
False

A setting is changed for the whole process with `config.update(name, value)`, for a block of code in one
thread with `config.using(name=value)`, and from outside with its environment variable. JAX's spellings
(`"jax_enable_x64"`) are understood. `print(config)` lists every setting, its value and its variable.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fnn.errors import ArgumentError, UnsupportedError

__all__ = ["Config", "Setting", "cache_folder", "config", "disable_jit", "enable_x64", "usable_cpus"]


# ------------------------------------------------------------------------------ what a setting's value may be


def _flag(value: object) -> bool:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("1", "true", "yes", "on"):
            return True
        if word in ("0", "false", "no", "off"):
            return False
    elif isinstance(value, (bool, int)) and value in (0, 1):
        return bool(value)
    raise ValueError("true or false (1, 0, yes, no, on, off)")


def _choice(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if isinstance(value, str) and value.strip().lower() in words:
            return value.strip().lower()
        raise ValueError("one of " + ", ".join(words))

    return parse


def _key_reuse(value: object) -> str:
    """The words, or a flag, as JAX has it: true is "error"."""
    if isinstance(value, (bool, int)) and value in (0, 1):
        return "error" if value else "off"
    return _choice("warn", "error", "off")(value)


def _count(least: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        message = f"a whole number of at least {least}"
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError(message)
        try:
            number = int(value)
        except ValueError:
            raise ValueError(message) from None
        if number < least:
            raise ValueError(message)
        return number

    return parse


_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def _bytes(value: object) -> int:
    message = "a size in bytes of at least 0, with or without a unit: 1000000, 500MB, 2GB"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        text = value.strip().lower()
        digits = text.rstrip("bikmgt ")
        unit = text[len(digits) :].strip().removesuffix("b").removesuffix("i")
        if unit in _UNITS:
            with contextlib.suppress(ValueError, OverflowError):
                number = int(float(digits) * _UNITS[unit])
                if number >= 0:
                    return number
    raise ValueError(message)


def _folder(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise ValueError("a folder, '' for none, or None for the user's cache folder")


def usable_cpus() -> int:
    """How many processors this process may use: the affinity mask and, on Linux, the container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        if quota != "max":
            count = min(count, -(-int(quota) // int(period)))
    return max(1, count)


class Setting(NamedTuple):
    """What is known of one setting: its name, environment variable, default, reader and meaning."""

    name: str
    variable: str
    default: Callable[[], Any]
    parse: Callable[[object], Any]
    meaning: str
    empty_is_value: bool = False  # an empty environment variable is a value of its own, not "unset"


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting("enable_x64", "FNN_ENABLE_X64", lambda: False, _flag, "64-bit inputs stay 64-bit"),
        Setting(
            "narrow_explicit",
            "FNN_NARROW_EXPLICIT",
            lambda: False,
            _flag,
            "64-bit dtypes that a program asks for become 32-bit, as in JAX, unless enable_x64",
        ),
        Setting("disable_jit", "FNN_DISABLE_JIT", lambda: False, _flag, "jit runs functions op by op"),
        Setting(
            "traceback",
            "FNN_TRACEBACK",
            lambda: "filtered",
            _choice("filtered", "full"),
            "whether tracebacks leave out fnn's own frames",
        ),
        Setting(
            "printer",
            "FNN_PRINTER",
            lambda: "vector",
            _choice("vector", "numba"),
            "what kernels are printed as: explicit vectors, or Numba source",
        ),
        Setting(
            "num_threads", "FNN_NUM_THREADS", usable_cpus, _count(1), "threads a compiled program may use"
        ),
        Setting(
            "cache_dir",
            "FNN_CACHE_DIR",
            lambda: None,
            _folder,
            "where compiled programs are kept; None: the user's cache folder; '': nowhere",
            empty_is_value=True,
        ),
        Setting("cache_size", "FNN_CACHE_SIZE", lambda: 2**30, _bytes, "the most bytes the cache may take"),
        Setting(
            "compile_workers", "FNN_COMPILE_WORKERS", usable_cpus, _count(1), "threads that compile kernels"
        ),
        Setting(
            "log",
            "FNN_LOG",
            lambda: "off",
            _choice("off", "compile", "copies"),
            "compile: a line on stderr for each function traced or compiled, why, and the time it took; copies: one for "
            "each array that a compiled program copies to change a part of it, and why",
        ),
        Setting("debug_nans", "FNN_DEBUG_NANS", lambda: False, _flag, "a NaN that is computed is an error"),
        Setting(
            "debug_infs", "FNN_DEBUG_INFS", lambda: False, _flag, "an infinity that is computed is an error"
        ),
        Setting(
            "check_indices",
            "FNN_CHECK_INDICES",
            lambda: False,
            _flag,
            "an index out of bounds is an error everywhere",
        ),
        Setting(
            "debug_key_reuse",
            "FNN_DEBUG_KEY_REUSE",
            lambda: "warn",
            _key_reuse,
            "what happens when a random key is used twice: warn, error or off",
        ),
        Setting("check_graphs", "FNN_CHECK", lambda: False, _flag, "check every graph after every pass"),
    )
}

# JAX's options that need no setting here: the values under which fnn already behaves as asked, and why.
_JAX_ONLY: dict[str, tuple[tuple[object, ...], str]] = {
    "threefry_partitionable": ((True, "1", "true"), "fnn's random numbers are always the partitionable ones"),
    "default_prng_impl": (("threefry2x32",), "threefry2x32 is the only generator"),
    "numpy_rank_promotion": (("allow",), "operands of unequal rank always broadcast"),
    "numpy_dtype_promotion": (("standard",), "the standard promotion is the only one"),
    "default_matmul_precision": (
        (None, "default", "highest", "float32"),
        "products of float32 are computed in float32",
    ),
    "platform_name": ((None, "", "cpu"), "programs run on the CPU"),
    "platforms": ((None, "", "cpu"), "programs run on the CPU"),
    "check_tracer_leaks": ((False,), "a leaked tracer is reported when it is used"),
}
_ALIASES = {"x64_enabled": "enable_x64", "traceback_filtering": "traceback"}


class Config:
    """The settings of this process; use the one instance, `fnn.config`.

    Each setting is an attribute. Reading one is a plain slot read, because hot paths do: while some thread
    overrides a setting, its slot is empty and reads go through `__getattr__`, which knows the threads'
    overrides.
    """

    enable_x64: bool
    narrow_explicit: bool
    disable_jit: bool
    traceback: str
    printer: str
    num_threads: int
    cache_dir: str | None
    cache_size: int
    compile_workers: int
    log: str
    debug_nans: bool
    debug_infs: bool
    check_indices: bool
    check_graphs: bool
    debug_key_reuse: str

    __slots__ = (*SETTINGS, "_lock", "_overrides", "_overriding", "_values")

    def __init__(self, environ: dict[str, str] | os._Environ[str] = os.environ):
        self._lock = threading.RLock()
        self._overrides = threading.local()
        self._overriding = dict.fromkeys(SETTINGS, 0)
        self._values: dict[str, Any] = {}
        for setting in SETTINGS.values():
            text = environ.get(setting.variable)
            if text is None or (text == "" and not setting.empty_is_value):
                value = setting.default()
            else:
                value = _parse(setting, text, f"the environment variable {setting.variable}")
            self._store(setting.name, value)

    def update(self, name: str, value: object) -> None:
        """Change a setting for the whole process, e.g. `fnn.config.update("enable_x64", True)`.

        Raises:
            ArgumentError: there is no such setting, or the value is not one it can have.
            UnsupportedError: the name is an option of JAX that fnn has no counterpart of.
        """
        resolved = self._resolve(name, value)
        if resolved is not None:
            self._store(*resolved)

    def take_jax_environment(self, environ: dict[str, str] | os._Environ[str] = os.environ) -> None:
        """Follow JAX's environment variables (`JAX_ENABLE_X64`) where fnn's own are not set, as programs written for JAX
        expect that run on `fnn.compat.jax`."""
        for name in ("enable_x64", "disable_jit", "debug_nans", "debug_infs", "traceback_filtering"):
            text = environ.get(f"JAX_{name.upper()}")
            if text and not environ.get(SETTINGS[_ALIASES.get(name, name)].variable):
                self.update(f"jax_{name}", text)

    @contextlib.contextmanager
    def using(self, **changes: object) -> Iterator[None]:
        """Change settings in this thread inside a `with` block: `with config.using(enable_x64=True): ...`."""
        resolved = dict(filter(None, (self._resolve(name, value) for name, value in changes.items())))
        own = self._overrides.__dict__  # this thread's
        before = {name: own[name] for name in resolved if name in own}
        with self._lock:
            for name, value in resolved.items():
                own[name] = value
                self._overriding[name] += 1
                if self._overriding[name] == 1:
                    object.__delattr__(self, name)
        try:
            yield
        finally:
            with self._lock:
                for name in resolved:
                    del own[name]
                    self._overriding[name] -= 1
                    if not self._overriding[name]:
                        object.__setattr__(self, name, self._values[name])
                own.update(before)

    def read(self, name: str) -> Any:
        """The value of a setting by name."""
        return getattr(self, name)

    def _resolve(self, name: str, value: object) -> tuple[str, Any] | None:
        """The setting a name (fnn's or JAX's) means, and its checked value; None: nothing is to be done."""
        plain = name.removeprefix("jax_")
        if plain == "traceback_filtering":
            value = "full" if value == "off" else "filtered"
        plain = _ALIASES.get(plain, plain)
        setting = SETTINGS.get(plain)
        if setting is not None:
            return plain, _parse(setting, value, f"the setting {name!r}")
        if plain in _JAX_ONLY:
            accepted, reason = _JAX_ONLY[plain]
            if value in accepted:
                return None
            raise UnsupportedError(f"config: {name!r} cannot be {value!r} in fnn: {reason}")
        import difflib  # only a mistake needs it

        near = difflib.get_close_matches(plain, SETTINGS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ArgumentError(
            f"config: there is no setting {name!r}{hint} The settings are: {', '.join(SETTINGS)}"
        )

    def _store(self, name: str, value: Any) -> None:
        with self._lock:
            self._values[name] = value
            if not self._overriding[name]:
                object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:  # only where the slot is empty, or there is none
        plain = name.removeprefix("jax_")
        plain = _ALIASES.get(plain, plain)
        if plain not in SETTINGS:
            raise AttributeError(f"config has no setting {name!r}; the settings are: {', '.join(SETTINGS)}")
        own = self._overrides.__dict__
        return own[plain] if plain in own else self._values[plain]

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self.update(name, value)

    def __repr__(self) -> str:
        rows = [
            f"  {s.name} = {getattr(self, s.name)!r}".ljust(32) + f"{s.variable.ljust(20)} {s.meaning}"
            for s in SETTINGS.values()
        ]
        return "Config(\n" + "\n".join(rows) + "\n)"


def _parse(setting: Setting, value: object, where: str) -> Any:
    try:
        return setting.parse(value)
    except ValueError as error:
        raise ArgumentError(f"{where} is {value!r}; it must be {error} ({setting.meaning})") from None


config = Config()


def enable_x64(new_val: bool = True) -> contextlib.AbstractContextManager[None]:
    """Inside the `with` block, in this thread, 64-bit inputs stay 64-bit: `with fnn.enable_x64(): ...`."""
    return config.using(enable_x64=new_val)


def disable_jit(disable: bool = True) -> contextlib.AbstractContextManager[None]:
    """In the `with` block, in this thread, `jit` runs functions op by op: `with fnn.disable_jit(): ...`."""
    return config.using(disable_jit=disable)


def debug_nans(new_val: bool = True) -> contextlib.AbstractContextManager[None]:
    """In the `with` block, in this thread, the first NaN that is computed raises `fnn.errors.NonFiniteError`, which
    names the operation and the line: `with fnn.debug_nans(): ...`."""
    return config.using(debug_nans=new_val)


def debug_infs(new_val: bool = True) -> contextlib.AbstractContextManager[None]:
    """As `debug_nans`, for infinities."""
    return config.using(debug_infs=new_val)


def cache_folder() -> str | None:
    """Where compiled programs are kept (the folder may not exist yet); None if the cache is off."""
    chosen = config.cache_dir
    if chosen is not None:
        return os.path.expanduser(chosen) if chosen else None
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or os.path.expanduser(r"~\AppData\Local")
        return os.path.join(local, "fnn", "Cache")
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Caches/fnn")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return (
        None if base.startswith("~") else os.path.join(base, "fnn")
    )  # nobody's home: no place to keep anything
