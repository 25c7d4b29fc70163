"""``caffelite export``: nets as ONNX, weights in other formats."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from caffelite import export
from caffelite.cli.command import PHASE, STATE, Command
from caffelite.cli.flags import Flag, Options
from caffelite.cli.nets import SHAPE, shapes_of
from caffelite.errors import UsageError
from caffelite.prototxt.source import read_net
from caffelite.prototxt.suggest import suggestion
from caffelite.types import Phase

if TYPE_CHECKING:
    from caffelite.prototxt.source import NetSource

_WEIGHTS = ("safetensors", "npz", "caffemodel", "hdf5")
_FORMATS = ("onnx", *_WEIGHTS)


def _run(options: Options) -> int:
    kind, net, *weights = options.arguments
    if kind not in _FORMATS:
        raise UsageError(f"export: expected {', '.join(_FORMATS)}, got '{kind}'{suggestion(kind, _FORMATS)}")
    _check_output(options.text("o"), (net, *weights))
    source = read_net(net)
    if kind == "onnx":
        return _onnx(options, source, weights[0] if weights else None)
    if not weights:
        raise UsageError(f"export {kind}: expected NET WEIGHTS, got '{net}'")
    return _weights(options, kind, source, weights[0])


def _onnx(options: Options, source: NetSource, weights: str | None) -> int:
    if options.has("phase"):
        raise UsageError("export onnx: nets are exported in phase TEST; drop --phase")
    batch = options.text("batch")
    report = export.onnx(
        source, weights, options.text("o"), opset=options.integer("opset"),
        batch=int(batch) if batch.isdecimal() else batch or None,
        shapes=shapes_of(options), level=options.integer("level"), stages=options.items("stage"),
        check=options.switch("check"), tolerance=_number(options, "tolerance"),
        inputs=_inputs(options.text("inputs")), seed=max(0, options.integer("seed")),
        external=True if options.switch("external") else None,
    )  # fmt: skip
    print(report)
    return 0


def _weights(options: Options, kind: str, source: NetSource, weights: str) -> int:
    given = [
        f"--{name}"
        for name in ("opset", "batch", "check", "inputs", "tolerance", "external")
        if options.has(name)
    ]
    if given:
        raise UsageError(f"export {kind}: {', '.join(given)} only with onnx")
    write = getattr(export, kind)
    phase = Phase[options.text("phase")]
    print(write(source, weights, options.text("o"), phase=phase, shapes=shapes_of(options)))
    print(f"wrote {options.text('o')}")
    return 0


def _number(options: Options, name: str) -> float:
    try:
        return float(options.text(name))
    except ValueError:
        raise UsageError(f"--{name}: expected a number, got '{options.text(name)}'") from None


def _inputs(path: str) -> dict[str, Any] | None:
    """The arrays of an .npz file, by the names of the net's inputs."""
    if not path:
        return None
    from caffelite.weights.npz import read_arrays

    return dict(read_arrays(path, "inputs"))


def _check_output(out: str, given: Sequence[str]) -> None:
    if not out:
        raise UsageError("export: expected -o FILE, the file to write")
    for path in given:
        if os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise UsageError(f"export: expected -o FILE, another file than '{path}', which is read")


COMMAND = Command(
    "a net as an ONNX model, checked on the spot; weights in other formats",
    _run,
    (
        Flag("o", "", "the file to write", "FILE"),
        Flag("opset", 17, "onnx: version of the operators, 13 to 21", "N"),
        Flag("batch", "", "onnx: first size of the inputs; a word such as N for any", "SIZE"),
        Flag("check", True, "onnx: run the model in onnxruntime and compare it with the net"),
        Flag("tolerance", "1e-4", "onnx: largest difference, in units of each output's largest number", "X"),
        Flag("inputs", "", "onnx: compare on these arrays, named as the inputs, not on random ones", "NPZ"),
        Flag("external", False, "onnx: weights in a file of their own, as above 2 GiB"),
        Flag("seed", 0, "onnx: seed of the random inputs", "N"),
        PHASE,
        *STATE,
        SHAPE,
    ),
    f"{' | '.join(_FORMATS)} NET WEIGHTS",
    "ONNX models are in phase TEST: data layers become inputs, losses and accuracies are left out, of a SoftmaxWithLoss "
    "the Softmax stays. Layers that ONNX cannot express are listed, all of them, before anything is written. A model "
    "that computes something else than the net is not written. WEIGHTS of any format that caffelite reads; they may "
    "be left out for onnx.",
    (
        "caffelite export onnx deploy.prototxt lenet.caffemodel -o lenet.onnx",
        "caffelite export onnx train_val.prototxt w.caffemodel --shape data=1,1,28,28 --batch N -o m.onnx",
        "caffelite export safetensors deploy.prototxt lenet.caffemodel -o lenet.safetensors",
    ),
    (2, 3),
)
