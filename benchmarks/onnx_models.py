"""``python -m benchmarks.onnx_models FOLDER...``: each model as ONNX, and how far onnxruntime is from the net.

A folder is a model (``deploy.prototxt``, perhaps ``weights.caffemodel``, perhaps ``reference.npz`` with arrays ``input`` or
``input_<name>`` to compare on) or holds such folders. Models without weights get random ones: normal with the
deviation that keeps activations in range, statistics near 0 and 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from caffelite import export
from caffelite.errors import CaffeliteError
from caffelite.model import Model


def main() -> None:
    """Prints one line a model and batch size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.onnx_models", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--batch", default=None, help="a number, or a word for any")
    arguments = parser.parse_args()
    batch = int(arguments.batch) if (arguments.batch or "").isdecimal() else arguments.batch
    print("| model | weights | operators | output | shape | largest difference | of scale | s |")
    print("|---|---|---:|---|---|---:|---:|---:|")
    for folder in arguments.folders:
        for net in models(folder):
            for line in lines(net, batch):
                print(line, flush=True)


def models(folder: Path) -> Iterator[Path]:
    """The deploy files in a folder and in those right below it."""
    yield from sorted([*folder.glob("deploy.prototxt"), *folder.glob("*/deploy.prototxt")])


def lines(net: Path, batch: int | str | None) -> Iterator[str]:
    """The table's lines of one model."""
    own = net.with_name("weights.caffemodel")
    began = perf_counter()
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            if own.exists():
                given = reference_inputs(net)
                shapes = {name: array.shape for name, array in (given or {}).items()}
                report = export.onnx(net, own, path, batch=batch, shapes=shapes, inputs=given)
            else:
                report = export.onnx(randomized(net), None, path, batch=batch or 1)
    except CaffeliteError as error:
        yield f"| {net.parent.name} | - | - | {str(error).splitlines()[-1]} | | | | |"
        return
    weights, seconds = "published" if own.exists() else "random", perf_counter() - began
    for d in report.differences:
        shape = " x ".join(map(str, d.shape))
        yield (
            f"| {net.parent.name} | {weights} | {report.operators} | {d.output} | {shape} | "
            f"{d.absolute:.1e} | {d.relative:.1e} | {seconds:.1f} |"
        )


def reference_inputs(net: Path) -> dict[str, np.ndarray] | None:
    """The arrays that came with a model, by the names of its inputs."""
    file = net.with_name("reference.npz")
    if not file.exists():
        return None
    names = Model(net, backward=False, observe=False).graph.inputs
    with np.load(file) as archive:
        found = {key: archive[key] for key in archive.files if key.startswith("input")}
    return {key.removeprefix("input").removeprefix("_") or names[0]: array for key, array in found.items()}


def randomized(net: Path) -> Model:
    """A net with random weights, the last layer's such that a Softmax behind it has something to tell apart."""
    model = Model(net, backward=False)
    rng = np.random.default_rng(0)
    for use, param in model.learnables:
        values = rng.standard_normal(param.shape, dtype=np.float32)
        if not use.spec.learnable:
            values = 0.1 * values + (use.spec.name != "mean")
        elif len(param.shape) > 1:
            values *= np.float32((2 / np.prod(param.shape[1:])) ** 0.5)
        else:
            values = 0.1 * values + (use.spec.name == "W")
        param.load(values.astype(np.float32))
    _spread_scores(model, rng)
    return model


def _spread_scores(model: Model, rng: np.random.Generator) -> None:
    """Scales the last layer with weights so that its numbers have a deviation of 3."""
    model.reshape({name: (1, *model.blob(name).shape[1:]) for name in model.graph.inputs})
    for name in model.graph.inputs:
        model.input(name)[...] = rng.uniform(-1, 1, model.blob(name).shape)
    model.forward()
    last = [node for node in model.nodes if node.params][-1]
    weights, factor = model.params[last.name][0], 3 / model.blob(last.tops[0].name).std()
    weights.load((weights.data * factor).astype(np.float32))


if __name__ == "__main__":
    main()
