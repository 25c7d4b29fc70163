"""Gives each value and each gradient its memory: views, in-place writes granted or refused, buffers.

In place is a request. A top that repeats its bottom's name gets the bottom's memory only if nothing still reads
the old value, in this pass or in the backward one; otherwise it gets its own, and, where users may look, the
blob's memory is kept as Caffe's would be by a copy that stands in the plan.
"""

from __future__ import annotations

from collections import defaultdict

from caffelite.graph.graph import Graph, Node, Value
from caffelite.graph.wiring import assign
from caffelite.layers.base import plain
from caffelite.plan.kernel import Operand
from caffelite.plan.layout import Layouts
from caffelite.plan.plan import Buffer, Copy, Placement, Step

FOREVER = 1 << 30


class Placer:
    """Places data, saved arrays and gradients of a graph whose kernels are chosen."""

    def __init__(
        self, graph: Graph, steps: list[Step], layouts: Layouts, dtype: str, *, observe: bool, backward: bool
    ):
        self.graph, self.steps, self.layouts, self.dtype = graph, steps, layouts, dtype
        self.observe, self.backward = observe, backward
        self.buffers: list[Buffer] = []
        self.data: dict[Value, Placement] = {}
        self.diff: dict[Value, Placement] = {}
        self.notes: list[str] = []
        self._sharing: dict[Buffer, list[Value]] = defaultdict(list)
        self._weighted: set[Buffer] = set()  # gradients that hold a loss weight from one pass to the next

    def place(self) -> None:
        """Fills in data, diff, buffers, notes, and the steps' saved arrays, copies and fills."""
        for step in self.steps:
            self._place_tops(step)
            self._place_saved(step)
        if self.backward:
            for step in reversed(self.steps):
                if step.node.backward:
                    self._place_gradients(step)
        self._name_blobs()
        self._set_lifetimes()

    # -- data -------------------------------------------------------------------------------------------

    def _place_tops(self, step: Step) -> None:
        node = step.node
        inplace = {top: bottom for bottom, top in node.inplace_pairs()}
        for top in node.tops:
            operand = Operand(top.shape, self.layouts[top], self.dtype)
            buffer = None
            if step.view or step.absorbed_by is not None:  # if absorbed, nobody looks at the value in between
                buffer = self.data[node.bottoms[0]].buffer
            elif top in inplace:
                buffer = self._grant(step, inplace[top])
            if buffer is None:
                buffer = self._new(str(top), operand.nbytes, "data")
                buffer.source = node.layer.source
            self.data[top] = Placement(buffer, operand)
            self._sharing[buffer].append(top)

    def _grant(self, step: Step, bottom: Value) -> Buffer | None:
        """The bottom's buffer if it may be overwritten, else None and a note that says who still reads it."""
        buffer = self.data[bottom].buffer
        refusal = "" if step.kernel.inplace else f"its kernel '{step.kernel.name}' cannot"
        for value in self._sharing[buffer]:
            refusal = refusal or self._still_read(value, step.node)
        if not refusal:
            return buffer
        self.notes.append(
            f"{step.node.name}: not in place, {refusal} (+{self.data[bottom].operand.nbytes} bytes)"
        )
        return None

    def _still_read(self, value: Value, writer: Node) -> str:
        if value.reader is None:
            return f"{value} is an output of the net"
        if value.reader is not None and value.reader.index > writer.index:
            return f"'{value.reader.name}' still reads {value}"
        if self.backward and value in backward_reads(self._step(value.producer)):
            return f"backward of '{value.producer.name}' ({value.producer.type}) reads its top {value}"
        if self.backward and value.reader is not None and value in backward_reads(self._step(value.reader)):
            return f"backward of '{value.reader.name}' ({value.reader.type}) reads its bottom {value}"
        return ""

    def _place_saved(self, step: Step) -> None:
        for spec in step.kernel.saved():
            operand = Operand(spec.shape, dtype=self.dtype if spec.dtype == "float" else spec.dtype)
            buffer = self._new(f"{step.node.key}.{spec.name}", operand.nbytes, "saved")
            step.saved[spec.name] = Placement(buffer, operand)

    # -- gradients --------------------------------------------------------------------------------------

    def _place_gradients(self, step: Step) -> None:
        """Places dy where no reader gives it, then dx."""
        node = step.node
        repeated = {name for name in node.layer.tops if name.endswith("*")}
        for top in node.tops:
            read = top.reader is not None and wants(top.reader, top)
            if not read and (top.reader is None or not repeated):
                self._place_fill(step, top)
        with_diff = [top for top in node.tops if top in self.diff]
        step.grad_view = step.view and len(with_diff) == 1
        for bottom in (bottom for bottom in node.bottoms if wants(node, bottom)):
            operand = Operand(bottom.shape, self.layouts[bottom], self.dtype)
            shared = with_diff[0] if step.grad_view else self._overwritable(step, bottom)
            buffer = self.diff[shared].buffer if shared else self._new(f"{bottom}'", operand.nbytes, "diff")
            self.diff[bottom] = Placement(buffer, operand)

    def _overwritable(self, step: Step, bottom: Value) -> Value | None:
        """The top whose gradient dx may overwrite: never a loss weight, which the next pass needs again."""
        if not step.kernel.inplace:
            return None
        tops = (top for b, top in step.node.inplace_pairs() if b is bottom and top in self.diff)
        return next((top for top in tops if self.diff[top].buffer not in self._weighted), None)

    def _place_fill(self, step: Step, top: Value) -> None:
        operand = Operand(top.shape, self.layouts[top], self.dtype)
        self.diff[top] = Placement(self._new(f"{top}'", operand.nbytes, "diff"), operand)
        if top.loss_weight:
            self._weighted.add(self.diff[top].buffer)
        step.fills.append((self.diff[top], top.loss_weight))

    # -- what users see ---------------------------------------------------------------------------------

    def _name_blobs(self) -> None:
        """Names the memory of each blob; earlier versions that lie elsewhere are copied to where users look."""
        blobs = self.graph.blobs
        for name, last in blobs.items():
            self.data[last].buffer.blob = self.data[last].buffer.blob or name
            if last in self.diff:
                self.diff[last].buffer.blob = self.diff[last].buffer.blob or name
        if not self.observe:
            return
        for value in self.graph.values:
            last = blobs[value.name]
            if self.data[value].buffer is not self.data[last].buffer:
                self._show(value, last)
            if (
                value in self.diff
                and last in self.diff
                and self.diff[value].buffer is not self.diff[last].buffer
            ):
                self._show_gradient(value, last)

    def _show(self, value: Value, last: Value) -> None:
        """Copies to the blob's memory what Caffe would have there, and from it what users may have written."""
        shown, own = self.data[last], self.data[value]
        if value.producer.type != "Input":
            self._step(value.producer).after.append(Copy(own, shown))
        if value.reader is not None:
            reader = self._step(value.reader)
            (reader.before if value.producer.type == "Input" else reader.enter).append(Copy(shown, own))

    def _show_gradient(self, value: Value, last: Value) -> None:
        shown, own = self.diff[last], self.diff[value]
        if value.reader is not None and shown.buffer not in self._weighted:
            self._step(value.reader).after_backward.append(Copy(own, shown))
            self._step(value.producer).enter_backward.append(Copy(shown, own))

    # -- lifetimes --------------------------------------------------------------------------------------

    def _set_lifetimes(self) -> None:
        total = len(self.steps)
        for step in self.steps:
            forward, back = step.node.index, 2 * total - 1 - step.node.index
            for value in (*step.node.bottoms, *step.node.tops):
                self.data[value].buffer.use(forward)
            for placement in step.saved.values():
                placement.buffer.use(forward)
            if self.backward and step.node.backward:
                self._use_backward(step, back)
        for value in self.graph.values:
            if value.reader is None:
                self.data[value].buffer.use(FOREVER)

    def _use_backward(self, step: Step, moment: int) -> None:
        node = step.node
        for value in backward_reads(step):
            self.data[value].buffer.use(moment)
        for placement in step.saved.values():
            placement.buffer.use(moment)
        for value in (*node.tops, *(bottom for bottom in node.bottoms if wants(node, bottom))):
            if value in self.diff:
                self.diff[value].buffer.use(moment)

    def _new(self, name: str, nbytes: int, kind: str) -> Buffer:
        buffer = Buffer(name, nbytes, kind, first=FOREVER, last=-1)
        self.buffers.append(buffer)
        return buffer

    def _step(self, node: Node) -> Step:
        return self.steps[node.index]


def wants(node: Node, bottom: Value) -> bool:
    """Whether a node writes the gradient of one of its bottoms."""
    return any(value is bottom and wanted for value, wanted in zip(node.bottoms, node.propagate, strict=True))


def backward_reads(step: Step) -> set[Value]:
    """The values that a step's backward pass reads."""
    if not step.node.backward or step.grad_view:
        return set()
    node, reads = step.node, step.kernel.reads()
    named = assign(node.layer.bottoms, list(node.bottoms)) | assign(node.layer.tops, list(node.tops))
    result: set[Value] = set()
    for name, values in named.items():
        if plain(name) in reads and values is not None:
            result.update(values if isinstance(values, list) else [values])
    return result
