"""Memory that layers use one after the other: what is in it lasts until the next layer runs."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from caffelite.cuda.device import Device

_pieces: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def scratch(device: Device, name: str, count: int) -> Any:
    """At least ``count`` float32 numbers of a device; two names never share memory."""
    pieces = _pieces.setdefault(device, {})
    if name not in pieces or pieces[name].size < count:
        pieces[name] = device.zeros(4 * max(count, 1)).view("float32")
    return pieces[name]
