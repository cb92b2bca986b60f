"""The kernels of a plan as people read them: Python source under a heading that says what each is for."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator

from fnn import dtypes
from fnn.core.source import line_of, short
from fnn.kernels.calls import Value
from fnn.kernels.control import Run, walk
from fnn.kernels.cpu import numba_printer
from fnn.kernels.plan import Plan

MOST = 8  # lines of the user's that are quoted, and calls that are listed


def sources(plan: Plan) -> dict[str, str]:
    """key -> Numba source of each kernel, and of a library routine's wrapper the LLVM text."""
    found: dict[str, list[tuple[int, Run]]] = {}
    for number, run in enumerate((s for s in walk(plan.program.steps) if isinstance(s, Run)), 1):
        call = run.call
        found.setdefault(call.key, []).append((number, run))
    out = {}
    for key, kernel in plan.kernels.items():
        if kernel.foreign is not None:
            mark, text = "#", "a function of the user's own\n"
        elif kernel.program is None:
            assert kernel.text is not None
            mark, text = ";", kernel.text("k" + key)
        else:
            label = found[key][0][1].call.label if key in found else key
            mark, text = "#", numba_printer.emit(kernel.program(), _identifier(label))
        heading = _heading(key, found[key]) if key in found else []
        out[key] = "".join(f"{mark} {line}\n" for line in heading) + text
    return out


def _identifier(label: str) -> str:
    """A name for the function: "dot 8x4x2" -> "dot", "add+...+exp" -> "add_exp"."""
    name = re.sub(r"\W+", "_", label.split(" ")[0]).strip("_")
    return f"k_{name}" if not name or name[0].isdigit() else name


def _heading(key: str, runs: list[tuple[int, Run]]) -> Iterator[str]:
    number, run = runs[0]
    call = run.call
    calls = ", ".join(f"#{k}" for k, _ in runs[:MOST]) + (", ..." if len(runs) > MOST else "")
    yield f"{call.label}: kernel {key}, call{'s' if len(runs) > 1 else ''} {calls} of the plan"
    lines = dict.fromkeys(line for _, r in runs for line in _lines(r))
    for line in list(lines)[:MOST]:
        yield f"  {line}"
    if len(lines) > MOST:
        yield f"  and {len(lines) - MOST} other lines"
    if not call.functions:
        arguments = [f"a{k} {_type(value)}" for k, (value, _) in enumerate(call.args)]
        sizes = [f"s{k}={n}" for k, n in enumerate(call.sizes)]
        yield f"In #{number}: {', '.join([*arguments, *sizes])}; lo, hi within 0, {call.tiles}"


def _lines(run: Run) -> Iterator[str]:
    """The lines of the user's that a call comes from."""
    for source in run.call.sources:
        text = linecache.getline(source[0].co_filename, line_of(source)).strip()
        yield f"{short(source)}  {text}".rstrip()


def _type(value: Value) -> str:
    return f"{dtypes.short_name(value.dtype)}[{','.join(map(str, value.shape))}]"
