"""One kernel for each node, with the reasons, and the activations that kernels take over (fusion)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from functools import partial

from caffelite.graph.graph import Graph, Node, Value
from caffelite.graph.wiring import assign
from caffelite.layers.base import plain
from caffelite.plan.kernel import Engine, Kernel, Operand, Operands, Site
from caffelite.plan.known import Choice, KnownKernels, key_of
from caffelite.plan.layout import Layouts, is_view
from caffelite.plan.plan import Step


def choose_kernels(
    graph: Graph,
    engine: Engine,
    layouts: Layouts,
    *,
    backward: bool,
    observe: bool,
    fuse: bool,
    known: KnownKernels | None = None,
) -> list[Step]:
    """Steps with kernels, in forward order.

    Made from the last node to the first, so that a kernel can ask the one that follows whether it may take
    over its forward pass. ``known`` are kernels of earlier plans of the net.
    """
    known = known or KnownKernels()
    steps: dict[Node, Step] = {}
    for node in reversed(graph.nodes):
        site = _site(node, engine, layouts, backward)
        key = key_of(node, site)
        choice = known.choice(key, partial(_first_willing, site, engine))
        post = _post(node, site, choice.cls, steps, layouts, observe) if fuse else None
        kernel = _kernel(key, site, post, choice, known, engine)
        if post is not None and site.backward and plain(node.layer.tops[0]) in kernel.reads():
            post = None  # its backward needs the value in between
            kernel = _kernel(key, site, post, choice, known, engine)
        step = Step(node, kernel, choice.reasons, view=is_view(node, layouts), absorbs=post)
        if post is not None:
            post.absorbed_by = step
        steps[node] = step
    return [steps[node] for node in graph.nodes]


def _site(node: Node, engine: Engine, layouts: Layouts, backward: bool) -> Site:
    def operand(value: Value) -> Operand:
        return Operand(value.shape, layouts[value], engine.dtype)

    operands: dict[str, Operands] = {}
    for names, values in ((node.layer.bottoms, node.bottoms), (node.layer.tops, node.tops)):
        operands.update(assign(names, [operand(value) for value in values]))
    return Site(
        node.layer,
        operands,
        node.propagate,
        {use.spec.name: use.learn for use in node.params},
        backward and node.backward,
        engine.dtype,
        engine.precision,
    )


def _first_willing(site: Site, engine: Engine) -> Choice:
    """The first kernel without an objection (None: the array body) and the objections of those before it."""
    candidates = engine.kernels(site.layer.type)
    if not candidates:
        absent = engine.absent(site.layer.type)
        return Choice(None, [absent] if absent else [])
    reasons: list[str] = []
    for cls in candidates:
        objection = cls.refuses(site)
        if not objection:
            return Choice(cls, reasons)
        reasons.append(f"not {cls.name}: {objection}")
    return Choice(None, reasons)


def _kernel(
    key: Hashable, site: Site, post: Step | None, choice: Choice, known: KnownKernels, engine: Engine
) -> Kernel:
    full = replace(site, post=post.node.layer) if post else site
    make = partial(engine.make_kernel, choice.cls, full)
    return known.kernel(key, post.node if post else None, choice, make)


def _post(
    node: Node, site: Site, cls: type[Kernel] | None, steps: dict[Node, Step], layouts: Layouts, observe: bool
) -> Step | None:
    """The following activation if this kernel can apply it and nobody can tell the difference.

    In a plan that keeps every blob the activation must be in place, so that the value in between has no blob
    of its own; and its backward pass must not read that value.
    """
    if cls is None or len(node.tops) != 1:
        return None
    top = node.tops[0]
    reader = top.reader
    if reader is None or len(reader.tops) != 1 or len(reader.bottoms) != 1:
        return None
    step = steps[reader]
    same_blob = reader.tops[0].name == top.name
    if (observe and not same_blob) or layouts[top] != layouts[reader.tops[0]]:
        return None
    bottoms = [plain(name) for name in reader.layer.bottoms]
    reads_between = site.backward and reader.backward and not step.kernel.reads().isdisjoint(bottoms)
    if reads_between or step.kernel.saved() or not cls.accepts_post(site, reader.layer):
        return None
    return step
