"""docs/compatibility.md: which names of JAX there are, where, and why the others are not.

`python -m tests.compatibility_table` writes the page. JAX is not needed: tests/data/jax_names.json holds the names of JAX's
public modules, and how many of 61 research repositories use which (tiers 1 to 3).
"""

from __future__ import annotations

import functools
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import fnn.numpy as fnp
from fnn.compat.jax.modules import MODULES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "compatibility.md"
NAMES: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "jax_names.json").read_text())

ABSENT = object()

NARROW = r"jax\.numpy\.(float[468]_\w+|u?int[124])$"

# The first pattern that the beginning of a name matches says why it is not there.
REASONS: tuple[tuple[str, str], ...] = (
    (r"jax\.lax\.\w+_p$", "a primitive of JAX's own IR; fnn's are in `fnn.primitives`"),
    (
        r"jax\.(core|interpreters|extend|_src|api_util|lib)\b",
        "an internal of JAX: its tracers and IR are not fnn's",
    ),
    (NARROW, "there are no arrays of numbers narrower than 8 bits, nor of 8-bit floats"),
    (
        r"jax\.nn\.(scaled_\w+|get_scaled\w+)|jax\.lax\.scaled_dot",
        "products of microscaled 8-bit floats: there are none",
    ),
    (
        r"jax\.lax\.(rng_uniform|rng_bit_generator|RandomAlgorithm)",
        "XLA's generators; `fnn.random` has JAX's bits",
    ),
    (r"jax\.lax\.(psend|precv|ragged_all_to_all)", "messages between devices; there is one"),
    (r"jax\.lax\.(ragged_dot_general|RaggedDotDimensionNumbers)", "`fnn.lax.ragged_dot` is there"),
    (
        r"jax\.lax\.(random_gamma_grad|igamma_grad_a)",
        "an internal derivative: differentiate `igamma` or `random.gamma`",
    ),
    (
        r"jax\.lax\.linalg\.",
        "a decomposition in LAPACK's own layout; `fnn.numpy.linalg` and `fnn.scipy.linalg` have the others",
    ),
    (r"jax\.lax\.(scatter_apply)", "use `x.at[i].apply(f)`"),
    (
        r"jax\.tree_util\.default_registry",
        "an object of JAX's; classes are registered with `register_pytree_node`",
    ),
    (r"jax\.experimental\.(pallas|jax2tf|layout)\b", "kernels, formats and exports of XLA's"),
    (
        r"jax\.(experimental\.shard_map|shard_map|reshard|set_mesh|make_mesh|sharding)\b",
        "placement on several devices",
    ),
    (
        r"jax\.\w*(shard|mesh|device|process|host|distributed|layout|memory|export|ffi|fused)\w*",
        "devices and processes: one CPU",
    ),
    (r"jax\.(scipy|numpy\.(linalg|fft))\.", "not there yet"),
)


@functools.cache
def module(name: str) -> Any:
    """A module, or None where there is none."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


@functools.cache
def place(name: str) -> str | None:
    """Where a name of JAX is found: "fnn.numpy.zeros"; None if nowhere."""
    setting = re.fullmatch(r'jax\.config\.(?:update\("(\w+)"\)|(jax_\w+))', name)
    if setting:
        config = importlib.import_module("fnn.compat.jax.top").config
        found = setting[1] or setting[2]
        return f"fnn.config, {found}" if hasattr(config, found) else None
    if re.match(NARROW, name):
        return None  # a name to compare with, of arrays that are not there
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        prefix, rest = ".".join(parts[:cut]), parts[cut:]
        if prefix not in MODULES:
            continue
        if not rest and any(module(source) is not None for source in MODULES[prefix]):
            return MODULES[prefix][0]
        for source in MODULES[prefix]:
            found = module(source) or ABSENT
            for part in rest:
                found = getattr(found, part, ABSENT)
            if rest and found is not ABSENT:
                return ".".join([source, *rest])
    return None


def spelled(name: str, others: list[str]) -> str | None:
    """Where a name is found under one of its spellings."""
    return next(filter(None, map(place, (name, *others))), None)


def reason(name: str) -> str:
    """Why a name is not there."""
    return next((text for pattern, text in REASONS if re.match(pattern, name)), "not there yet")


def tier(number: int, kind: str = "ordinary", removed: bool = False) -> tuple[list[str], list[str]]:
    """(names of a tier that are there, names that are not); what JAX itself has removed counts only if asked for."""
    names = [
        (name, others)
        for name, (at, of, _, others) in NAMES["tiers"].items()
        if (at, of) == (number, kind) and (removed or name not in NAMES["removed"])
    ]
    there = [name for name, others in names if spelled(name, others)]
    return there, [name for name, _ in names if name not in there]


def methods() -> dict[str, bool]:
    """The methods and attributes of JAX's arrays, and whether fnn's have them."""
    x = fnp.zeros((2, 2))
    return {name: hasattr(x, name) for name in NAMES["array"]}


HEAD = """# Compatibility with JAX

Which names of JAX {version} fnn has. `python -m tests.compatibility_table` writes this page from the code; a test holds it
up to date. `fnn.compat.jax` answers `import jax` with what is here, so a program for JAX runs as it is; what stands under
`fnn.compat.jax` is there for such programs only.

## By use

How many of the names that 61 public research repositories use are there. Tier 1: names that half of the repositories use,
tier 2: a fifth, tier 3: at least two of them. Names that JAX itself has removed since ({removed} of tier 3) are not counted.

| names | there | of | share | absent |
|---|--:|--:|--:|---|
"""


def row(title: str, there: list[str], absent: list[str]) -> str:
    total = len(there) + len(absent)
    listed = ", ".join(f"`{name.removeprefix('jax.')}`" for name in absent)
    return f"| {title} | {len(there)} | {total} | {len(there) / max(total, 1):.1%} | {listed or '–'} |"


def page() -> str:
    lines = [HEAD.format(version=NAMES["jax"], removed=len(NAMES["removed"])).rstrip("\n")]
    lines.append(row("tier 1", *tier(1)))
    lines.append(row("tier 2", *tier(2)))
    lines.append(row("tier 3", *tier(3)))
    lines.append(row("tier 3, devices and sharding", *tier(3, "devices")))
    there, absent = tier(3, "internals")
    lines.append(
        f"| tier 3, internals of JAX | {len(there)} | {len(there) + len(absent)} | | {reason('jax.core.')} |"
    )
    lines.append("\n## Modules\n\nEvery public name of each module of JAX's.")
    for name, public in NAMES["public"].items():
        where = {n: place(f"{name}.{n}") for n in public}
        found = {n: at for n, at in where.items() if at}
        lines.append(f"\n### {name}: {len(found)} of {len(public)}\n")
        homes: dict[str, list[str]] = {}
        for n, at in found.items():
            homes.setdefault(at.rpartition(".")[0], []).append(n)
        for home, names in sorted(homes.items()):
            lines.append(f"- In `{home}`: " + ", ".join(f"`{n}`" for n in names) + ".")
        why: dict[str, list[str]] = {}
        for n in public:
            if not where[n]:
                why.setdefault(reason(f"{name}.{n}"), []).append(n)
        for text, names in sorted(why.items()):
            lines.append(f"- Absent ({text}): " + ", ".join(f"`{n}`" for n in names) + ".")
    have = methods()
    lines.append(f"\n## Methods and attributes of arrays: {sum(have.values())} of {len(have)}\n")
    lines.append("- There: " + ", ".join(f"`{n}`" for n, has in have.items() if has) + ".")
    if not all(have.values()):
        lines.append(
            "- Absent (of XLA's memory, or deprecated): "
            + ", ".join(f"`{n}`" for n, has in have.items() if not has)
            + "."
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    PAGE.write_text(page())


if __name__ == "__main__":
    sys.exit(main())
