"""``python -m benchmarks.gpu``: what the CUDA engine gives on a GPU: is it right, and how fast is it.

    python -m benchmarks.gpu [NET.prototxt...] [--golden FOLDER] [--peer PYTHON] [--out FOLDER]

Replays the recorded cases of single layers with every kernel and array body in strict float32, repeats steps of training bit for bit,
compares a loss with the CPU engine's, and times the nets beside PyTorch in eager mode. Writes ``gpu.json`` and ``gpu.md``
with the versions of all that took part. Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np

from benchmarks.step import describe, inference_seconds, training_seconds
from caffelite import __version__
from caffelite.cuda.engine import CudaEngine
from caffelite.engine import get_engine
from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.testing.case import Variant
from caffelite.testing.compare import CheckError
from caffelite.testing.golden import GoldenCase
from caffelite.testing.layer import kernel_variants
from caffelite.types import Phase

ROOT = Path(__file__).resolve().parents[1]
PEER = Path(__file__).with_name("peer_torch.py")
SEVERAL = """
layer { name: "data" type: "DummyData" top: "x" top: "label" dummy_data_param { shape { dim: 32 dim: 3 dim: 32 dim: 32 } shape { dim: 32 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 2 } } }
layer { name: "c1" type: "Convolution" bottom: "x" top: "c1" convolution_param { num_output: 16 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "b1" type: "BatchNorm" bottom: "c1" top: "b1" }
layer { name: "s1" type: "Scale" bottom: "b1" top: "b1" scale_param { bias_term: true } }
layer { name: "r1" type: "ReLU" bottom: "b1" top: "b1" }
layer { name: "p1" type: "Pooling" bottom: "b1" top: "p1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "n1" type: "LRN" bottom: "p1" top: "n1" }
layer { name: "c2" type: "Convolution" bottom: "n1" top: "c2" convolution_param { num_output: 32 kernel_size: 3 group: 2 weight_filler { type: "msra" } } }
layer { name: "d2" type: "Dropout" bottom: "c2" top: "d2" }
layer { name: "ip" type: "InnerProduct" bottom: "d2" top: "ip" inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def main(words: Sequence[str] | None = None) -> int:
    """Runs all parts and writes the report; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("nets", nargs="*", type=Path)
    parser.add_argument("--golden", type=Path, default=ROOT / "tests" / "golden" / "layers")
    parser.add_argument("--peer", help="a Python interpreter with PyTorch")
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--gpu", type=int, default=0)
    arguments = parser.parse_args(words)
    engine = cast(CudaEngine, get_engine(f"cuda:{arguments.gpu}"))
    report: dict[str, Any] = {"versions": versions(engine)}
    report["layers"] = list(golden(arguments.golden, engine))
    report["repeated"] = repeated(engine)
    report["beside_cpu"] = beside_cpu(engine)
    report["times"] = list(times(arguments, engine))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "gpu.json").write_text(json.dumps(report, indent=1))
    (arguments.out / "gpu.md").write_text(text := table(report))
    print(text)
    wrong = [row for row in report["layers"] if row["error"]]
    return int(bool(wrong) or not report["repeated"] or report["beside_cpu"] > 1e-3)


def versions(engine: CudaEngine) -> dict[str, str]:
    """Of everything that computes."""
    return {
        "caffelite": __version__,
        "python": platform.python_version(),
        "gpu": engine.device.name,
    } | engine.device.versions()


def golden(folder: Path, engine: CudaEngine) -> Iterator[dict[str, str]]:
    """Each case with each kernel: what is wrong, empty if nothing is."""
    for path in sorted(folder.glob("*.npz")):
        case = GoldenCase.load(path)
        for variant in kernel_variants(case, [engine]):
            yield {
                "case": path.stem,
                "type": case.type,
                "kernel": _kernel(variant),
                "error": _error(case, variant),
            }


def _kernel(variant: Variant) -> str:
    return f"{variant.kernel.__name__ if variant.kernel else 'array body'} {variant.layout}"


def _error(case: GoldenCase, variant: Variant) -> str:
    try:
        case.replay(variant)
    except CheckError as error:
        return str(error)
    except Exception as error:  # of CuPy or a compiler: the others shall still run
        return f"{type(error).__name__}: {error}"
    return ""


def steps(engine: Any, number: int) -> list[np.ndarray]:
    """The losses and last gradients of some passes with plain gradient descent."""
    net = Model(parse_net(SEVERAL), Phase.TRAIN, engine=engine, seed=5, observe=False)
    losses = []
    for _ in range(number):
        net.clear_grads()
        losses.append(net.forward())
        net.backward()
        for use, param in net.learnables:
            if use.spec.learnable:
                param.data[...] -= 0.01 * param.grad
                param.touch()
    return [np.array(losses), *(param.grad for _, param in net.learnables)]


def repeated(engine: CudaEngine) -> bool:
    """Whether two runs of a net with every common layer agree bit for bit."""
    return all(np.array_equal(a, b) for a, b in zip(steps(engine, 5), steps(engine, 5), strict=True))


def beside_cpu(engine: CudaEngine) -> float:
    """The relative difference of its first loss to the CPU engine's, dropout left out of the net."""
    text = SEVERAL.replace(
        'type: "Dropout"', 'type: "Dropout" include { phase: TRAIN stage: "never" }'
    ).replace('bottom: "d2"', 'bottom: "c2"')
    nets = [Model(parse_net(text), Phase.TRAIN, engine=one, seed=5) for one in (engine, get_engine("cpu"))]
    mine, its = (net.forward() for net in nets)
    return abs(mine - its) / abs(its)


def times(arguments: argparse.Namespace, engine: CudaEngine) -> Iterator[dict[str, Any]]:
    """Medians of training steps and of inference, beside PyTorch on the same GPU."""
    for net in arguments.nets:
        for what, ours in (("train", training_seconds), ("infer", inference_seconds)):
            row = {"net": net.stem, "what": what, "ms": 1e3 * median(ours(net, arguments.iterations, engine))}
            if arguments.peer:
                row["peer_ms"] = 1e3 * median(_peer(net, what, arguments))
            yield row


def _peer(net: Path, what: str, arguments: argparse.Namespace) -> list[float]:
    job = {"layers": describe(net), "what": what, "iterations": arguments.iterations, "threads": 2}
    job |= {"precision": "float32", "device": "cuda"}
    done = subprocess.run(
        [arguments.peer, str(PEER)], input=json.dumps(job), capture_output=True, text=True, check=True
    )
    seconds: list[float] = json.loads(done.stdout)
    return seconds


def table(report: dict[str, Any]) -> str:
    """The report to read."""
    kernels: dict[str, list[str]] = {}
    for row in report["layers"]:
        kernels.setdefault(f"{row['type']}, {row['kernel']}", []).append(row["error"])
    lines = [", ".join(f"{name} {value}" for name, value in report["versions"].items()), ""]
    lines += ["| kernel | cases | wrong |", "|---|---:|---:|"]
    lines += [
        f"| {name} | {len(errors)} | {sum(map(bool, errors))} |" for name, errors in sorted(kernels.items())
    ]
    lines += [
        "",
        f"Steps repeat bit for bit: {report['repeated']}. First loss beside the CPU's: {report['beside_cpu']:.1e}.",
        "",
    ]
    if report["times"]:
        lines += ["| net | | caffelite / ms | PyTorch / ms | ratio |", "|---|---|---:|---:|---:|"]
    for row in report["times"]:
        peer = row.get("peer_ms")
        beside = f"{peer:.2f} | {peer / row['ms']:.2f}" if peer else "- | -"
        lines.append(f"| {row['net']} | {row['what']} | {row['ms']:.2f} | {beside} |")
    wrong = [f"{row['case']}, {row['kernel']}: {row['error']}" for row in report["layers"] if row["error"]]
    return "\n".join([*lines, *wrong]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
