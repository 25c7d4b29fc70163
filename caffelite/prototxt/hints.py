"""What to say about a field that a message does not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffelite.prototxt.schema import MessageType, message_type
from caffelite.prototxt.suggest import did_you_mean

# What people write, for what the schema calls it; one counts only where the message has the target.
ALIASES = {
    "kernel": "kernel_size",
    "filter_size": "kernel_size",
    "padding": "pad",
    "strides": "stride",
    "groups": "group",
    "dilate": "dilation",
    "bias": "bias_term",
    "use_bias": "bias_term",
    "out_channels": "num_output",
    "nout": "num_output",
    "num_filter": "num_output",
    "units": "num_output",
    "ratio": "dropout_ratio",
    "size": "local_size",
    "slope": "negative_slope",
    "epsilon": "eps",
    "momentum": "moving_average_fraction",
    "decay": "moving_average_fraction",
    "op": "operation",
    "method": "pool",
    "input": "bottom",
    "inputs": "bottom",
    "output": "top",
    "outputs": "top",
    "params": "param",
    "weight": "loss_weight",
    "rule": "include",
    "lr": "lr_mult",
    "wd": "weight_decay",
    "learning_rate": "base_lr",
    "initial_lr": "base_lr",
    "policy": "lr_policy",
    "step": "stepsize",
    "steps": "stepvalue",
    "iters": "max_iter",
    "iterations": "max_iter",
    "seed": "random_seed",
    "mode": "solver_mode",
    "optimizer": "type",
    "mean": "mean_value",
    "crop": "crop_size",
    "flip": "mirror",
    "path": "source",
    "batch": "batch_size",
}

# Fields of old layers that the current layer spells as a message.
_FORMER = {
    ("LayerParameter", "blobs_lr"): "param { lr_mult: ... }, one for each blob",
    ("LayerParameter", "weight_decay"): "param { decay_mult: ... }, one for each blob",
    ("LayerParameter", "blob_share_mode"): "param { share_mode: ... }, one for each blob",
    ("LayerParameter", "lr"): "param { lr_mult: ... }, one for each blob",
}
_ROOTS = {"NetParameter": "net", "SolverParameter": "solver"}


@dataclass(frozen=True, slots=True)
class Frame:
    """A message that is being read: its type, the name of the field that opened it, and where."""

    type: MessageType
    name: str
    offset: int

    def __str__(self) -> str:
        root = _ROOTS.get(self.type.name)
        return self.name or (f"the {root}" if root else self.type.name)


def nearest_field(word: str, type_: MessageType) -> str | None:
    """The field that a word was probably meant to be."""
    if (type_.name, word) in _FORMER:
        return None
    return did_you_mean(word, type_.fields, ALIASES)


def fix_for_unknown(word: str, frames: Sequence[Frame], layer_type: str) -> str:
    """Where a field that exists elsewhere belongs, or nothing. The last frame is the message without it."""
    here = frames[-1]
    if (here.type.name, word) in _FORMER:
        return f"write {_FORMER[here.type.name, word]}"
    other = next((n for n in _ROOTS if n != here.type.name and word in message_type(n).fields), None)
    other = other if len(frames) == 1 and here.type.name in _ROOTS else None
    inside = _messages_with(word, here.type, layer_type)
    if other and (not inside or here.type.name == "SolverParameter"):
        return f"'{word}' belongs in a {_ROOTS[other]}; is this the file of a {_ROOTS[other]}?"
    if inside:
        return f"'{word}' belongs in {inside} {{ ... }}"
    outside = next((frame for frame in reversed(frames[:-1]) if word in frame.type.fields), None)
    if outside:
        return f"'{word}' belongs in {outside}; close {here} before it"
    return ""


def _messages_with(word: str, type_: MessageType, layer_type: str) -> str:
    """The message fields of a type that have a field of this name: the layer's own if it does, or a few.

    Layers of old generations are not proposed.
    """
    messages = [f for f in type_.fields.values() if f.kind == "message" and f.name not in ("layers", "blobs")]
    owners = [field.name for field in messages if word in message_type(field.type).fields]
    own = "convolution" if layer_type == "Deconvolution" else layer_type.lower()
    for owner in owners:
        if owner.replace("_", "").removesuffix("param") == own:
            return owner
    return " or ".join(owners[:3])
