"""Connects layers by blob names: values, versions, and every way in which names can be wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from caffelite.errors import NetError, UnknownNameError, layer_message
from caffelite.graph.graph import Node, Value
from caffelite.graph.problems import Problems
from caffelite.graph.state import Entry
from caffelite.layers.base import Layer, plain
from caffelite.prototxt.source import NetSource
from caffelite.prototxt.suggest import did_you_mean

AUTOMATIC = "(automatic)"


@dataclass
class Wires:
    """Names on the way through the net: the newest version of each blob, and who wrote it."""

    source: NetSource
    problems: Problems
    newest: dict[str, Value] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)  # blobs that a broken layer would have made

    def connect(self, index: int, layer: Layer, key: str, entry: Entry) -> Node | None:
        """The node of a layer with its bottoms and (shapeless) tops; None if its bottoms are not to be had."""
        message = entry.message
        found = len(self.problems.errors)
        bottoms = [self._bottom(entry, position, name) for position, name in enumerate(message.bottom)]
        self._check_counts(layer, message)
        if None in bottoms or len(self.problems.errors) > found:
            self.miss(message)
            return None
        node = Node(index, layer, key, tuple(value for value in bottoms if value is not None))
        for value in node.bottoms:
            value.reader = node
        node.tops = tuple(self._top(entry, node, position, name) for position, name in enumerate(message.top))
        node.tops += self._automatic_tops(layer, node)
        return node

    def abandon(self, entry: Entry) -> None:
        """For a layer that could not be made: its bottoms are looked up all the same, its tops are missing."""
        for position, name in enumerate(entry.message.bottom):
            self._bottom(entry, position, name)
        self.miss(entry.message)

    def miss(self, message: Any) -> None:
        """Remembers the tops of a layer that could not be built, so that their readers do not complain too."""
        self.missing.update(name for name in message.top if name not in self.newest)

    def _bottom(self, entry: Entry, position: int, name: str) -> Value | None:
        value = self.newest.get(name)
        if value is None and name not in self.missing:
            self.problems.add(self._unknown_bottom(entry, position, name))
        if value is not None and value.reader is not None:
            return None  # its next version was to come from a layer that is broken, which is told already
        return value

    def _top(self, entry: Entry, node: Node, position: int, name: str) -> Value:
        old = self.newest.get(name)
        inplace = position < len(entry.message.bottom) and entry.message.bottom[position] == name
        if old is not None and not inplace:
            self.problems.add(self._duplicate(entry, position, name, old))
        value = Value(name, old.version + 1 if old else 0, (), node)
        self.newest[name] = value
        return value

    def _automatic_tops(self, layer: Layer, node: Node) -> tuple[Value, ...]:
        """Losses may leave out their top; it then counts in the loss but cannot be named."""
        if not layer.loss or node.tops:
            return ()
        old = self.newest.get(AUTOMATIC)
        value = Value(AUTOMATIC, old.version + 1 if old else 0, (), node, visible=False)
        self.newest[AUTOMATIC] = value
        return (value,)

    # -- complaints -------------------------------------------------------------------------------------

    def _check_counts(self, layer: Layer, message: Any) -> None:
        with self.problems.collect():
            _check_count(layer, "bottom", layer.bottoms, len(message.bottom))
            auto = layer.loss and not message.top
            _check_count(layer, "top", layer.tops, 1 if auto else len(message.top))
            if layer.paired and len(message.bottom) != len(message.top):
                raise layer.error(
                    "as many tops as bottoms", f"{len(message.bottom)} bottoms and {len(message.top)} tops"
                )

    def _unknown_bottom(self, entry: Entry, position: int, name: str) -> NetError:
        message = entry.message
        near = did_you_mean(name, [blob for blob in self.newest if "_split" not in blob])
        fix = f"did you mean '{near}'?" if near else ""
        elsewhere = [
            (layer, where)
            for layer, where in zip(self.source.message.layer, self.source.origins, strict=True)
            if name in layer.top and (layer.name, where) != (message.name, entry.where)
        ]
        if elsewhere:
            layer, where = elsewhere[0]
            fix = (
                f"'{name}' is a top of layer '{layer.name}' at {where.at()}, which stands later in the file or "
                "belongs to another phase, level or stage; move that layer up or include it here"
            )
        return UnknownNameError(
            layer_message(
                message.name, message.type, entry.where.at("bottom", position),
                f"bottom '{name}' is produced by no earlier layer", fix=fix,
            )
        )  # fmt: skip

    def _duplicate(self, entry: Entry, position: int, name: str, old: Value) -> NetError:
        message = entry.message
        source = next((b for b in message.bottom if b.startswith(f"{name}_") and "_split_" in b), None)
        fix = f"rename the top of '{message.name}'"
        if source:
            fix = (
                f"'{message.name}' would overwrite '{name}' in place although another layer reads it too; "
                f'give it a top of its own, such as top: "{name}_{message.name}"'
            )
        elif not message.bottom and not old.producer.bottoms:
            fix = _fix_for_phases(message, old.producer)
        return NetError(
            layer_message(
                message.name, message.type, entry.where.at("top", position),
                f"top '{name}' is already produced by layer '{old.producer.name}'", fix=fix,
            )
        )  # fmt: skip


def _fix_for_phases(message: Any, old: Node) -> str:
    """Two layers that bring the same blob from outside are mostly one for training and one for tests."""
    first = f"'{old.name}' at {old.layer.location()}"
    layers = ((first, old.layer.spec), (f"'{message.name}'", message))
    bare = [name for name, layer in layers if not (layer.include or layer.exclude)]
    lack = (
        " and ".join(bare) + (" have none" if len(bare) > 1 else " has none")
        if bare
        else "both are in this one"
    )
    return (
        "if one is for training and the other for tests, let the one say include { phase: TRAIN } and the other "
        f"include {{ phase: TEST }}: {lack}"
    )


def _check_count(layer: Layer, what: str, names: tuple[str, ...], got: int) -> None:
    required = sum(not name.endswith(("?", "*")) for name in names) + sum(
        name.endswith("*") for name in names
    )
    most = None if any(name.endswith("*") for name in names) else len(names)
    if got < required or (most is not None and got > most):
        wanted = (
            f"at least {required}"
            if most is None
            else str(required)
            if most == required
            else f"{required} to {most}"
        )
        listed = ", ".join(plain(name) for name in names)
        raise layer.error(f"{wanted} {what} blob(s){f' ({listed})' if listed else ''}", got, field="")


def assign(names: tuple[str, ...], items: list[Any]) -> dict[str, Any]:
    """Pairs declared names with items: singles, None for absent optional ones, a list for a repeated one.

    One repeated name takes whatever the names before and after it leave over.
    """
    result: dict[str, Any] = {}
    for name, at in _positions(names, len(items)):
        if isinstance(at, list):
            result[name] = [items[position] for position in at]
        else:
            result[name] = None if at is None else items[at]
    return result


@cache
def _positions(names: tuple[str, ...], size: int) -> list[tuple[str, int | list[int] | None]]:
    """Which of ``size`` items a declared name has."""
    result: list[tuple[str, int | list[int] | None]] = []
    rest = list(range(size))
    for position, name in enumerate(names):
        later = sum(not other.endswith("?") for other in names[position + 1 :])
        if name.endswith("*"):
            size = len(rest) - later
            result.append((plain(name), rest[:size]))
            rest = rest[size:]
        else:
            result.append((plain(name), rest.pop(0) if rest else None))
    return result
