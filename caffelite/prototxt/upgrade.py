"""Old forms of nets and solvers to the current one, as Caffe does when it reads a file.

Four generations of nets are in use: layers of 2013 (V0, a ``layer`` inside ``layers``), of 2014 (V1,
``layers`` with an enumerated type), current ones with ``input`` fields, and current ones with an ``Input``
layer.
Semantics: Caffe's src/caffe/util/upgrade_proto.cpp; where that ends the process, an exception names the line.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from caffelite.errors import NetError, Problem, PrototxtError
from caffelite.prototxt.positions import Where
from caffelite.prototxt.schema import Message, enum_name, message
from caffelite.prototxt.upgrade_v0 import UpgradeError, upgrade_v0
from caffelite.prototxt.upgrade_v1 import move_data_transforms, upgrade_v1
from caffelite.types import Location


@dataclass
class Upgraded:
    """A net of current layers, the place that each of them comes from, and what was done to it."""

    net: Message
    origins: list[Where]
    notes: list[str]


def upgrade_net(net: Message, where: Where) -> Upgraded:
    """A copy of a NetParameter with current ``layer`` fields only. Raises NetError."""
    _check_one_generation(net, where)
    kind = "layers" if net.layers else "layer"
    result = message("NetParameter")()
    result.CopyFrom(net)
    origins = [where.inside(kind, index) for index in range(len(getattr(net, kind)))]
    upgraded = Upgraded(result, origins, [])
    if any(layer.HasField("layer") for layer in result.layers):
        _upgrade_v0(upgraded)
    if result.layers:
        _upgrade_v1(upgraded)
    _replace_input_fields(upgraded, where)
    _freeze_batch_norm(upgraded)
    _rename_holes(upgraded)
    return upgraded


def upgrade_solver(solver: Message, file: str, where: Where) -> list[str]:
    """Brings a SolverParameter up to date in place and says what changed.

    ``file`` is what a missing ``snapshot_prefix`` is made of; empty for none. Raises NetError if both
    ``solver_type`` and ``type`` are given.
    """
    notes = []
    if solver.HasField("solver_type"):
        if solver.HasField("type"):
            raise refusal(
                where.at("solver_type"),
                "both solver_type and type are given, of which solver_type is the old form",
                "remove solver_type",
            )
        solver.type = _SOLVERS[enum_name("SolverParameter.SolverType", solver.solver_type)]
        solver.ClearField("solver_type")
        notes.append(f'solver_type became type: "{solver.type}"')
    return notes + _complete_snapshot_prefix(solver, file)


def refusal(location: Location, text: str, fix: str = "") -> NetError:
    """The error for a message that cannot be upgraded: a PrototxtError if its place is known."""
    if location:
        return PrototxtError([Problem(location, text, fix)])
    return NetError(f"{text}\n  Fix: {fix}" if fix else text)


_SOLVERS = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
    "SAG": "SAG",
}


def _check_one_generation(net: Message, where: Where) -> None:
    if net.layer and net.layers:
        raise refusal(
            where.at("layers", 0),
            "the net has both 'layer' (current form) and 'layers' (form of 2014) fields",
            'write all layers in the current form: layer { type: "Convolution" ... }',
        )


def _upgrade_v0(upgraded: Upgraded) -> None:
    try:
        upgraded.net, kept, notes = upgrade_v0(upgraded.net)
    except UpgradeError as error:
        raise refusal(upgraded.origins[error.layer].at(*error.fields), error.message, error.fix) from None
    upgraded.origins = [upgraded.origins[index] for index in kept]
    upgraded.notes += notes


def _upgrade_v1(upgraded: Upgraded) -> None:
    upgraded.notes += move_data_transforms(upgraded.net)
    try:
        upgraded.notes += upgrade_v1(upgraded.net)
    except UpgradeError as error:
        raise refusal(upgraded.origins[error.layer].at(*error.fields), error.message, error.fix) from None


def _replace_input_fields(upgraded: Upgraded, where: Where) -> None:
    """``input`` with ``input_shape`` or ``input_dim`` becomes an Input layer "input" in the first place."""
    net = upgraded.net
    if not net.input:
        return
    if net.input_shape or net.input_dim:
        layer = message("LayerParameter")(name="input", type="Input", top=net.input)
        layer.input_param.shape.extend(_input_shapes(net, where))
        layers = [layer, *net.layer]
        del net.layer[:]
        net.layer.extend(layers)
        upgraded.origins.insert(0, where.inside("input", 0))
        upgraded.notes.append("the input fields became an Input layer named 'input'")
    else:
        upgraded.notes.append("input fields without input_shape or input_dim were dropped")
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)


def _input_shapes(net: Message, where: Where) -> list[Message]:
    inputs, shape = len(net.input), message("BlobShape")
    if net.input_shape:
        if len(net.input_shape) < inputs:
            raise refusal(
                where.at("input_shape", 0),
                f"expected one input_shape for each input, got {len(net.input_shape)} for {inputs}",
            )
        return list(net.input_shape[:inputs])
    if len(net.input_dim) < 4 * inputs:
        raise refusal(
            where.at("input_dim", 0),
            f"expected four input_dim for each input, got {len(net.input_dim)} for {inputs}",
            "give input_shape { dim: ... } for inputs that have not four axes",
        )
    return [shape(dim=net.input_dim[4 * index : 4 * index + 4]) for index in range(inputs)]


def _freeze_batch_norm(upgraded: Upgraded) -> None:
    """Three ``param`` of a BatchNorm are its statistics, as files of 2015 give them: never trained."""
    for layer in upgraded.net.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            for param in layer.param:
                param.lr_mult = param.decay_mult = 0
            upgraded.notes.append(f"layer '{layer.name}': lr_mult and decay_mult of the statistics are 0")


def _rename_holes(upgraded: Upgraded) -> None:
    """``hole`` of DeepLab's fork is what Caffe later called ``dilation``."""
    for layer in upgraded.net.layer:
        param = layer.convolution_param
        if not (param.HasField("hole") or param.HasField("hole_h") or param.HasField("hole_w")):
            continue
        if param.HasField("hole"):
            param.dilation.append(param.hole)
        else:
            param.dilation_h, param.dilation_w = param.hole_h, param.hole_w
        for field in ("hole", "hole_h", "hole_w"):
            param.ClearField(field)
        upgraded.notes.append(f"layer '{layer.name}': hole became dilation")


def _complete_snapshot_prefix(solver: Message, file: str) -> list[str]:
    """Default: the solver's file without extension. For a directory: a file of the solver's name in it."""
    if not file:
        return []
    stem = os.path.splitext(file)[0]
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = stem
    elif os.path.isdir(solver.snapshot_prefix):
        solver.snapshot_prefix = os.path.join(solver.snapshot_prefix, os.path.basename(stem))
    else:
        return []
    return [f'snapshot_prefix is "{solver.snapshot_prefix}"']
