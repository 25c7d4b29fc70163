"""The number of classes of a detector stands in several places of its prototxts; all are looked at before it is trained.

In py-faster-rcnn one that was forgotten ends the run at its first snapshot, or makes a detector that finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from caffelite.boxes.yaml_text import read_yaml
from caffelite.errors import NetError, layer_message
from caffelite.graph.state import Entry, filter_layers, net_state
from caffelite.prototxt.source import read_net, read_solver
from caffelite.types import Phase

_LEARNS = {"InnerProduct": "inner_product_param", "Convolution": "convolution_param"}
_PER_CLASS = {"SoftmaxWithLoss": 1, "SmoothL1Loss": 4}  # outputs of the layer that a loss of regions reads
_MODULES = ("roi_data_layer.layer", "rpn.proposal_target_layer")


def check_classes_of_nets(folder: Path, solvers: Sequence[Path], test: Path, classes: Sequence[str]) -> None:
    """Raises NetError that lists all places in the nets of a folder that do not suit the classes or each other.

    ``test``: the net for testing; each of its layers with weights must be in a net for training, with as many outputs.
    """
    nets = [_layers(net, Phase.TRAIN) for solver in solvers if (net := net_of(solver, folder)).exists()]
    problems = [text for layers in nets for text in _wrong_counts(layers, classes)]
    problems = problems or list(_wrong_in_test(_layers(test, Phase.TEST), nets))
    if problems:
        raise NetError("\n".join(dict.fromkeys(problems)))


def net_of(solver: Path, folder: Path) -> Path:
    """The net for training of a solver file whose nets stand in a folder."""
    p = read_solver(solver).message
    return folder / Path(p.train_net or p.net).name


def _layers(net: Path, phase: Phase) -> list[Entry]:
    source = read_net(net)
    return filter_layers(source, net_state(source, phase))[0]


def _outputs(layer: Entry) -> int:
    return int(getattr(layer.message, _LEARNS[layer.message.type]).num_output)


def _wrong(layer: Entry, expected: str, got: object, fix: str, *fields: str) -> str:
    m = layer.message
    return layer_message(m.name, m.type, layer.where.at(*fields), f"expected {expected}", str(got), fix)


def _wrong_counts(layers: Sequence[Entry], classes: Sequence[str]) -> Iterator[str]:
    count = len(classes) + 1
    told = f"{len(classes)} classes ({', '.join(classes)}) and the background"
    for layer in layers:
        m = layer.message
        if m.type == "ProposalTarget" and m.proposal_target_param.num_classes != count:
            got = m.proposal_target_param.num_classes
            fields = "proposal_target_param", "num_classes"
            yield _wrong(layer, f"num_classes: {count} for {told}", got, f"num_classes: {count}", *fields)
        if m.type == "Python" and m.python_param.module in _MODULES:
            got = read_yaml(m.python_param.param_str, "param_str").get("num_classes", count)
            fix = f"param_str: \"'num_classes': {count}\""
            if got != count:
                yield _wrong(
                    layer, f"'num_classes': {count} for {told}", got, fix, "python_param", "param_str"
                )
    for head, each in _heads(layers):
        if _outputs(head) != each * count:
            what = "outputs" if each == 1 else f"outputs, {each} for each class,"
            fields = _LEARNS[head.message.type], "num_output"
            fix = f"num_output: {each * count}"
            yield _wrong(head, f"{each * count} {what} for {told}", _outputs(head), fix, *fields)


def _heads(layers: Sequence[Entry]) -> Iterator[tuple[Entry, int]]:
    """The layers that the losses of regions read, and how many outputs they have for each class."""
    makers = {top: layer for layer in reversed(layers) for top in layer.message.top}
    for loss in layers:
        m = loss.message
        if m.type in _PER_CLASS and len(m.bottom) > 1 and _makes_regions(makers.get(m.bottom[1])):
            head = _learner(makers.get(m.bottom[0]), makers)
            if head is not None:
                yield head, _PER_CLASS[m.type]


def _makes_regions(layer: Entry | None) -> bool:
    if layer is None:
        return False
    m = layer.message
    return m.type in ("ProposalTarget", "WindowData") or (m.type == "Python" and "rois" in m.top)


def _learner(layer: Entry | None, makers: dict[str, Entry]) -> Entry | None:
    """The layer with weights that makes a blob, maybe through others without."""
    while layer is not None and layer.message.type not in _LEARNS:
        below = layer.message.bottom
        layer = makers.get(below[0]) if len(below) == 1 and below[0] not in layer.message.top else None
    return layer


def _wrong_in_test(test: Sequence[Entry], nets: Sequence[Sequence[Entry]]) -> Iterator[str]:
    learned = {layer.message.name: layer for net in nets for layer in net if layer.message.type in _LEARNS}
    for layer in test:
        m = layer.message
        if m.type not in _LEARNS or any(param.name for param in m.param):
            continue
        of_training = learned.get(m.name)
        if of_training is None:
            fix = "give it the name that it has in the net for training; names are what weights are found by"
            yield _wrong(layer, "a layer of this name in the net for training, too", "none", fix, "name")
        elif of_training.message.type == m.type and _outputs(of_training) != _outputs(layer):
            fields, count = (_LEARNS[m.type], "num_output"), _outputs(of_training)
            expected = f"{count} outputs as in the net for training ({of_training.where.at(*fields)})"
            yield _wrong(layer, expected, _outputs(layer), f"num_output: {count}", *fields)
