"""One layer, written as ONNX and run in onnxruntime beside the reference engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

INSTALLED = all(map(find_spec, ("onnx", "onnxruntime")))
collect_ignore_glob = [] if INSTALLED else ["test_[!w]*.py"]  # conversions of weights need neither


def one_layer(type_: str, text: str, shapes: Sequence[tuple[int, ...]], tops: int) -> str:
    """A net of Inputs ``x0``, ``x1``, ... and one layer with tops ``y0``, ``y1``, ..."""
    lines = []
    for i, shape in enumerate(shapes):
        dims = " ".join(f"dim: {dim}" for dim in shape)
        lines.append(
            f'layer {{ name: "x{i}" type: "Input" top: "x{i}" input_param {{ shape {{ {dims} }} }} }}'
        )
    ends = [f'bottom: "x{i}"' for i in range(len(shapes))] + [f'top: "y{i}"' for i in range(tops)]
    return "\n".join([*lines, f'layer {{ name: "layer" type: "{type_}" {" ".join(ends)} {text} }}'])


def randomize(model: Model, low: float = -1.0, high: float = 1.0, seed: int = 0) -> None:
    """Fills all parameters: uniform from ``low`` to ``high``, statistics from 0.5 to 1.5."""
    rng = np.random.default_rng(seed)
    for use, param in model.learnables:
        ends = (low, high) if use.spec.learnable else (0.5, 1.5)
        param.load(rng.uniform(*ends, param.shape).astype(np.float32))


def ops_of(path: Path) -> Counter[str]:
    """How many there are of each operator in a file."""
    import onnx

    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.onnx"


@pytest.fixture
def agree(tmp_path: Path) -> Callable[..., Counter[str]]:
    """``agree("ReLU")`` exports a layer, runs it beside the reference engine, and returns its operators."""
    import onnx

    from caffelite import export
    from caffelite.export.check import Session

    def check(
        type_: str,
        text: str = "",
        shapes: Sequence[tuple[int, ...]] = ((2, 3, 5, 4),),
        *,
        tops: int = 1,
        opset: int = 17,
        batch: str | None = None,
        values: Mapping[str, np.ndarray] | None = None,
        low: float = -1.0,
        high: float = 1.0,
        tolerance: float = 2e-6,
    ) -> Counter[str]:
        net = parse_net(one_layer(type_, text, shapes, tops))
        model = Model(net, Phase.TEST, engine="reference", seed=0)
        randomize(model)
        path = tmp_path / "layer.onnx"
        export.onnx(model, None, path, opset=opset, batch=batch, check=False)
        onnx.checker.check_model(str(path), full_check=True)
        session = Session(path)
        for items in (0,) if batch is None else (0, 3):
            rng = np.random.default_rng(items)
            sizes = [(items, *shape[1:]) if items and shape else shape for shape in shapes]
            arrays = {f"x{i}": rng.uniform(low, high, s).astype(np.float32) for i, s in enumerate(sizes)}
            arrays |= {name: np.asarray(value, np.float32) for name, value in (values or {}).items()}
            model.reshape({name: array.shape for name, array in arrays.items()})
            for name, array in arrays.items():
                model.input(name)[...] = array
            model.forward()
            for name, got in session.run(arrays).items():
                want = model.blob(name)
                scale = np.abs(want).max(initial=1e-30)
                np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale, err_msg=name)
        return ops_of(path)

    return check
