"""From a graph to its plan: layouts, kernels, places, lifetimes, offsets. Each pass is a function of its own."""

from __future__ import annotations

from caffelite.errors import NetError
from caffelite.graph.graph import Graph
from caffelite.layers.base import measures
from caffelite.plan.choose import choose_kernels
from caffelite.plan.kernel import Engine
from caffelite.plan.known import KnownKernels
from caffelite.plan.layout import choose_layouts
from caffelite.plan.memory import assign_offsets
from caffelite.plan.place import Placer
from caffelite.plan.plan import Buffer, Plan


def make_plan(
    graph: Graph,
    engine: Engine,
    *,
    observe: bool = True,
    backward: bool = True,
    fuse: bool = True,
    memory_limit: int | None = None,
    known: KnownKernels | None = None,
) -> Plan:
    """Plans a graph for an engine.

    ``observe`` keeps every named blob, as the Python API promises; without it memory is reused and activations
    may vanish into the kernels before them. ``backward=False`` plans inference alone. ``memory_limit`` in bytes:
    a plan that needs more is refused with NetError, before anything is allocated.
    ``known``: kernels of earlier plans of the same net, which this one takes where nothing has changed.
    """
    measuring = [node for node in graph.nodes if measures(node.layer)]
    observe = observe or bool(measuring)  # such a net goes over to another plan in the middle of a pass
    layouts = choose_layouts(graph, engine.channels_last)
    steps = choose_kernels(graph, engine, layouts, backward=backward, observe=observe, fuse=fuse, known=known)
    placer = Placer(graph, steps, layouts, engine.dtype, observe=observe, backward=backward)
    placer.place()
    placer.notes += [
        f"{node.name}: decides the shapes of its tops during a pass, so memory is not reused"
        for node in measuring
    ]
    arena = 0 if observe else assign_offsets(_shareable(placer))
    plan = Plan(
        graph, engine.name, engine.precision, observe, steps,
        placer.data, placer.diff, placer.buffers, placer.notes, arena, backward,
    )  # fmt: skip
    if memory_limit is not None and plan.total_bytes > memory_limit:
        raise _too_large(plan, memory_limit)
    return plan


def _shareable(placer: Placer) -> list[Buffer]:
    """Buffers that may lie in the arena: all but those whose content must outlive a pass (tops of sources)."""
    kept = {
        placer.data[value].buffer for node in placer.graph.nodes if node.layer.source for value in node.tops
    }
    return [buffer for buffer in placer.buffers if buffer not in kept]


def _too_large(plan: Plan, limit: int) -> NetError:
    value, place = max(plan.data.items(), key=lambda item: item[1].buffer.nbytes)
    return NetError(
        f"net '{plan.graph.name}' needs {plan.total_bytes / 2**30:,.1f} GiB for its blobs, this machine has "
        f"{limit / 2**30:,.1f} GiB; the largest is '{value.name}' {value.shape} with {place.buffer.nbytes / 2**30:,.1f} GiB\n"
        "  Fix: a smaller batch_size, or check num_output and shape of that layer"
    )
