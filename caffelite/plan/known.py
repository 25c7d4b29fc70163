"""The kernels of a net by what they were made for, so that a plan for other shapes makes only those that are new.

A net that meets images of many sizes, or whose layers find another number of boxes in each pass, is planned again and
again, and most of its layers see what they have seen before. Kernels live as long as some plan has them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from caffelite.graph.graph import Node
from caffelite.plan.kernel import Kernel, Operands, Site


@dataclass(frozen=True, eq=False)
class Choice:
    """The class of kernel that computes a node (None: the array body), and why not a better one."""

    cls: type[Kernel] | None
    reasons: list[str]


class KnownKernels:
    """Kernels and choices of one net on one engine. Each is made once for the same layer, shapes and gradients."""

    def __init__(self) -> None:
        self._choices: WeakValueDictionary[Hashable, Choice] = WeakValueDictionary()
        self._kernels: WeakValueDictionary[Hashable, Kernel] = WeakValueDictionary()

    def choice(self, key: Hashable, choose: Callable[[], Choice]) -> Choice:
        """What was chosen for a node at such a site (:func:`key_of`), or now is."""
        if (found := self._choices.get(key)) is None:
            found = self._choices[key] = choose()
        return found

    def kernel(self, key: Hashable, post: Node | None, choice: Choice, make: Callable[[], Kernel]) -> Kernel:
        """The kernel that the choice led to, with the activation ``post`` at its end, or a new one."""
        full = key, post.key if post else None
        if (found := self._kernels.get(full)) is None:
            found = self._kernels[full] = make()
        found.choice = choice  # which lives as long as the kernel
        return found


def key_of(node: Node, site: Site) -> Hashable:
    """The node and all of its site that may differ between plans of one net."""
    operands = tuple((name, _fixed(operand)) for name, operand in site.operands.items())
    return node.key, operands, site.propagate, tuple(site.learn.items()), site.backward


def _fixed(operands: Operands) -> Hashable:
    return tuple(operands) if isinstance(operands, list) else operands
