"""The plan of a net: for each node its kernel and why, for each value its memory. Data only; prints as a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from caffelite.graph.graph import Graph, Node, Value
from caffelite.plan.kernel import Kernel, Operand
from caffelite.types import Shape


@dataclass(eq=False)
class Buffer:
    """A piece of memory. ``first`` and ``last`` are moments of a pass: forward steps, then backward steps."""

    name: str
    nbytes: int
    kind: str  # "data", "diff", "saved"
    blob: str = ""  # the blob whose content a user sees here; empty for private memory
    first: int = 0
    last: int = 0
    offset: int | None = None  # in the arena; None: memory of its own
    source: bool = False  # holds data from outside: what users write there is what the next pass reads

    def use(self, moment: int) -> None:
        self.first, self.last = min(self.first, moment), max(self.last, moment)


@dataclass(frozen=True)
class Placement:
    """Where an array lies: a buffer seen with a shape and a layout."""

    buffer: Buffer
    operand: Operand


@dataclass(frozen=True)
class Copy:
    """A copy between two placements, so that a blob's own memory shows what Caffe's would."""

    source: Placement
    target: Placement


@dataclass(eq=False)
class Step:
    """One node in the plan."""

    node: Node
    kernel: Kernel
    reasons: list[str] = field(default_factory=list)  # why better kernels were not taken
    view: bool = False  # tops are the bottom's memory: nothing runs forward
    grad_view: bool = False  # dx is dy's memory: nothing runs backward
    absorbs: Step | None = None  # the activation that this kernel applies to its top
    absorbed_by: Step | None = None
    saved: dict[str, Placement] = field(default_factory=dict)
    before: list[Copy] = field(default_factory=list)  # before forward
    after: list[Copy] = field(default_factory=list)  # after forward
    after_backward: list[Copy] = field(default_factory=list)
    enter: list[Copy] = field(
        default_factory=list
    )  # before forward, in a pass that starts behind the first layer
    enter_backward: list[Copy] = field(
        default_factory=list
    )  # before backward, in one that starts before the last
    fills: list[tuple[Placement, float]] = field(default_factory=list)  # diffs of unread tops


@dataclass(eq=False)
class Plan:
    """All steps in forward order; backward runs them in reverse."""

    graph: Graph
    engine: str
    precision: str
    observe: bool
    steps: list[Step]
    data: dict[Value, Placement]
    diff: dict[Value, Placement]
    buffers: list[Buffer]
    notes: list[str] = field(default_factory=list)
    arena_bytes: int = 0
    backward: bool = True  # False: inference alone

    @property
    def unshared_bytes(self) -> int:
        """What the buffers would take without any reuse."""
        return sum(buffer.nbytes for buffer in self.buffers)

    @property
    def total_bytes(self) -> int:
        """What the plan's buffers take."""
        return self.arena_bytes + sum(buffer.nbytes for buffer in self.buffers if buffer.offset is None)

    def step(self, name: str) -> Step | None:
        """The step of a layer."""
        return next((step for step in self.steps if step.node.name == name), None)

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _lines(plan: Plan) -> Iterator[str]:
    graph = plan.graph
    keeps = "keeps every blob" if plan.observe else "reuses memory"
    yield f"plan of '{graph.name}' phase {graph.phase.name} on {plan.engine}, {plan.precision}, {keeps}"
    rows: list[tuple[str, ...]] = [("#", "layer", "type", "kernel", "back", "top", "memory", "note")]
    rows += [_row(plan, step) for step in plan.steps]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        yield "  ".join(
            [cell.ljust(width) for cell, width in zip(row, widths, strict=False)] + [row[-1]]
        ).rstrip()
    yield from (f"note  {note}" for note in plan.notes)
    yield f"memory {plan.total_bytes} bytes, {plan.unshared_bytes} without reuse"


def _row(plan: Plan, step: Step) -> tuple[str, ...]:
    node = step.node
    tops = " ".join(f"{value}{_shape(value.shape)}" for value in node.tops) or "-"
    return (
        str(node.index), node.name, node.type, _kernel(step), _back(step) if plan.backward else "-", tops, _memory(plan, node), _note(plan, step)
    )  # fmt: skip


def _shape(shape: Shape) -> str:
    return "(" + ",".join(map(str, shape)) + ")"


def _kernel(step: Step) -> str:
    if step.view:
        return "view"
    if step.absorbed_by:
        return f"in {step.absorbed_by.node.name}"
    return step.kernel.name + (f"+{step.absorbs.node.type}" if step.absorbs else "")


def _back(step: Step) -> str:
    if not step.node.backward:
        return "-"
    if step.grad_view:
        return "view"
    wanted = "".join("x" if wanted else "." for wanted in step.node.propagate)
    params = "w" if any(use.learn for use in step.node.params) else ""
    return wanted + params


def _memory(plan: Plan, node: Node) -> str:
    return " ".join(_place(plan.data[value]) for value in node.tops if value in plan.data) or "-"


def _place(placement: Placement) -> str:
    buffer, layout = placement.buffer, placement.operand.layout
    where = buffer.name if buffer.offset is None else f"{buffer.offset}+{buffer.nbytes}"
    return where if layout == "plain" else f"{where} {layout}"


def _note(plan: Plan, step: Step) -> str:
    notes = [step.kernel.note()] if not step.view else []
    same = [
        top for bottom, top in step.node.inplace_pairs() if plan.data[top].buffer is plan.data[bottom].buffer
    ]
    if same:
        notes.append("in place")
    return "; ".join(filter(None, notes + step.reasons))
