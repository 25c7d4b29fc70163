"""``python -m benchmarks train NET.prototxt... [--peer PYTHON]``: milliseconds a training step, beside PyTorch.

Both sides run in turns in one command, on the same number of threads, with formula data and SGD with momentum
and weight decay. ``--peer`` names a Python that has PyTorch installed; without it only caffelite is timed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.plans import compare_plans
from benchmarks.step import describe, time_inference, time_steps

PEER = Path(__file__).with_name("peer_torch.py")


def main() -> None:
    """Prints one line a net: our median, the peer's, and the ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=["train", "infer", "plans"])
    parser.add_argument("nets", nargs="+", type=Path)
    parser.add_argument("--peer", help="a Python interpreter with PyTorch")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    arguments = parser.parse_args()
    for net in arguments.nets:
        if arguments.what == "plans":
            for line in compare_plans(net, arguments.iterations, arguments.rounds, arguments.threads):
                print(line, flush=True)
            continue
        print(_compare(net, arguments), flush=True)


def _compare(net: Path, arguments: argparse.Namespace) -> str:
    ours: list[float] = []
    peers: list[float] = []
    for _ in range(arguments.rounds):
        ours += _in_process(net, arguments)
        if arguments.peer:
            peers += _peer(net, arguments)
    line = f"{net.stem:<12} {arguments.what} {arguments.precision} caffelite {1e3 * median(ours):9.2f} ms"
    if peers:
        line += f"   PyTorch {1e3 * median(peers):9.2f} ms   ratio {median(peers) / median(ours):5.2f}"
    return line


def _in_process(net: Path, arguments: argparse.Namespace) -> list[float]:
    run = time_steps if arguments.what == "train" else time_inference
    return run(net, arguments.iterations, arguments.threads, arguments.precision)


def _peer(net: Path, arguments: argparse.Namespace) -> list[float]:
    job = {"layers": describe(net), "what": arguments.what, "iterations": arguments.iterations}
    job |= {"threads": arguments.threads, "precision": arguments.precision}
    result = subprocess.run(
        [arguments.peer, str(PEER)], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    if result.returncode:
        sys.exit(f"the peer failed:\n{result.stderr[-2000:]}")
    seconds: list[float] = json.loads(result.stdout)
    return seconds


if __name__ == "__main__":
    main()
