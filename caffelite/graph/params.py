"""Parameters of a net: who owns them, who shares them, and the multipliers that sharers agree on.

Source: ``Net::AppendParam`` of BVLC Caffe's ``net.cpp``.
"""

from __future__ import annotations

from typing import Any

from caffelite.errors import NetError, layer_message
from caffelite.graph.graph import Node, ParamUse
from caffelite.layers.base import Layer
from caffelite.types import count, shape_text

PERMISSIVE = 1


def declare_params(node: Node, owners: dict[str, ParamUse]) -> tuple[ParamUse, ...]:
    """The parameters of a node; shared names are looked up in, and added to, ``owners``. Raises NetError."""
    layer, specs = node.layer, node.layer.spec.param
    if len(specs) > len(layer.params):
        raise NetError(
            layer_message(
                layer.name, layer.type, layer.location("param", len(layer.params)),
                f"expected at most {len(layer.params)} param entries", str(len(specs)), "remove the param entries in excess",
            )
        )  # fmt: skip
    uses = []
    for index in range(len(layer.params)):
        use = _use(layer, node.store, index)
        if use.shared_name:
            owner = owners.setdefault(use.shared_name, use)
            if owner is not use:
                _share(use, owner, layer)
        uses.append(use)
    return tuple(uses)


def _use(layer: Layer, store: str, index: int) -> ParamUse:
    spec = layer.params[index]
    written: Any = layer.spec.param[index] if index < len(layer.spec.param) else None
    if written is None:
        return ParamUse(store, index, spec, float(spec.learnable), 1.0)
    rate = written.lr_mult if spec.learnable else 0.0  # some layers take a rate for what they do not learn
    return ParamUse(
        store, index, spec, rate, written.decay_mult, written.name,
        has_lr=written.HasField("lr_mult"), has_decay=written.HasField("decay_mult"),
    )  # fmt: skip


def _share(use: ParamUse, owner: ParamUse, layer: Layer) -> None:
    _check_shapes(use, owner, layer)
    use.owner = owner
    for what, flag in (("lr_mult", "has_lr"), ("decay_mult", "has_decay")):
        if not getattr(use, flag):
            continue
        mine, theirs = getattr(use, what), getattr(owner, what)
        if getattr(owner, flag) and mine != theirs:
            raise _conflict(
                use, owner, layer, f"{what} {theirs:g}", f"{mine:g}", f"write {what} once, or the same twice"
            )
        setattr(owner, what, mine)
        setattr(owner, flag, True)


def _check_shapes(use: ParamUse, owner: ParamUse, layer: Layer) -> None:
    mine, theirs = use.spec.shape, owner.spec.shape
    permissive = layer.spec.param[use.index].share_mode == PERMISSIVE
    fits = count(mine) == count(theirs) if permissive else mine == theirs
    if not fits:
        what = "count" if permissive else "shape"
        alike = count(mine) == count(theirs)
        fix = "share_mode: PERMISSIVE shares blobs of equal count and different shape" if alike else ""
        raise _conflict(use, owner, layer, f"{what} {shape_text(theirs)}", shape_text(mine), fix)


def _conflict(use: ParamUse, owner: ParamUse, layer: Layer, expected: str, got: str, fix: str) -> NetError:
    who = f"expected of param '{use.shared_name}', shared with layer '{owner.layer}', {expected}"
    return NetError(layer_message(layer.name, layer.type, layer.location("param", use.index), who, got, fix))
