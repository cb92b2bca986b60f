"""Which arrays a program copies though it only changes a part of them, and why it could not work in their memory."""

from __future__ import annotations

from collections.abc import Iterable

from fnn import dtypes
from fnn.core.source import Source, short
from fnn.kernels.calls import Call, Value
from fnn.kernels.control import Assign, Copy, Loop, Run, Step, Switch, walk
from fnn.kernels.plan import Plan
from fnn.records import record

LEAST = 1024  # bytes of a copy that is worth a word


@record(frozen=True)
class CopyMade:
    """A copy: of what, for which operation and lines, and the reason."""

    array: str
    operation: str
    sources: tuple[Source, ...]
    reason: str
    nbytes: int

    def __str__(self) -> str:
        where = ", ".join(map(short, self.sources))
        return f"{where}: {self.operation} copies {self.array} ({self.nbytes} bytes): {self.reason}"


def copies_of(plan: Plan) -> list[CopyMade]:
    """The copies of a plan, in order: before an update of a part (`.at[...].set`), and at the start of a loop."""
    return _Search(plan).found()


class _Search:
    def __init__(self, plan: Plan):
        self.plan, self.program = plan, plan.program
        self.steps: list[Step] = list(walk(self.program.steps))
        self.inputs = {v: i for i, v in enumerate(self.program.inputs)}
        self.around: dict[Step, Loop] = {}
        for loop in (s for s in self.steps if isinstance(s, Loop)):  # outer ones first
            self.around.update((s, loop) for s in walk([*loop.test, *loop.body]))

    def found(self) -> list[CopyMade]:
        out = []
        for k, step in enumerate(self.steps):
            if isinstance(step, Run) and isinstance(step.call, Call) and step.call.label == "copy":
                if len(step.reads) == len(step.writes) == 1:  # it may prepare an update of a part
                    (target,), (source,) = step.writes, step.reads
                    user = next(
                        (
                            s
                            for s in self.steps[k + 1 :]
                            if isinstance(s, Run) and target in s.reads & s.writes
                        ),
                        None,
                    )
                    if user is not None and isinstance(user.call, Call):
                        out.append(self.made(step, source, user.call.label, user.call.sources, user))
            elif isinstance(step, Run) and isinstance(step.call, Call):
                for new, old in step.updates:
                    if not self.plan.memory.same(new, old):
                        out.append(self.made(step, old, step.call.label, step.call.sources, step))
            elif isinstance(step, Copy) and step.origin is not None:
                out.append(
                    self.made(step, step.source, "a loop's start or a branch's end", (step.origin,), None)
                )
        return [c for c in out if c.nbytes >= LEAST]

    def made(
        self, step: Step, source: Value, operation: str, sources: tuple[Source, ...], user: Step | None
    ) -> CopyMade:
        kind = f"{dtypes.short_name(source.dtype)}[{','.join(map(str, source.shape))}]"
        name = f"input{self.inputs[source]}, {kind}" if source in self.inputs else kind
        return CopyMade(name, operation, sources, self.reason(step, source, user), source.nbytes)

    def reason(self, step: Step, source: Value, user: Step | None) -> str:
        """Why the memory of source could not be used."""
        if source.const is not None:
            return "it is a constant of the program"
        if source in self.inputs and source not in self.plan.memory.storage:
            return f"input{self.inputs[source]} belongs to the caller; donate it (donate_argnums) if it is not needed again"
        loop = self.around.get(step)
        if loop is not None:
            if any(slot.value is source for slot in loop.slots):
                return "it is a part of a scanned array"
            if any(value is source for _, value in loop.assign.pairs):
                return "the loop hands on the old array too"
            inside = set().union(*(_writes(s) for s in walk([*loop.test, *loop.body])))
            if source not in inside and source not in loop.cells:
                return "every round of the loop reads it"
        for later in self.steps[self.steps.index(step) + 1 :]:
            if later is not user and source in _reads(later):
                return f"it is read again{_place(later)}"
        if source in self.program.outputs:
            return "it is a result itself"
        return "its memory could not be shared"


def _reads(step: Step) -> Iterable[Value]:
    if isinstance(step, Run):
        return step.reads
    if isinstance(step, Copy):
        return (step.source,)
    if isinstance(step, Assign):
        return [value for _, value in step.pairs]
    return (
        [step.index] if isinstance(step, Switch) else [slot.whole for slot in step.slots if not slot.written]
    )


def _writes(step: Step) -> Iterable[Value]:
    if isinstance(step, Run):
        return step.writes
    return (step.target,) if isinstance(step, Copy) else ()


def _place(step: Step) -> str:
    if isinstance(step, Run):
        call = step.call
        places = call.sources if isinstance(call, Call) else (call.source,) if call.source else ()
        label = call.label if isinstance(call, Call) else call.name
        return f" by {label}" + (f", {short(places[0])}" if places else "")
    return " to be a result" if isinstance(step, Copy) else " when a round ends"
