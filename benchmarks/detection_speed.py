"""Seconds an image that R-CNN, Fast R-CNN (with and without truncated SVD) and Faster R-CNN take, with one backbone.

    python -m benchmarks.detection_speed IMAGE... [--arch vgg16] [--windows 2000] [--measured 100]

Weights are random, which times do not depend on. R-CNN looks at ``--measured`` windows (and an eighth of them one by one)
and its time is scaled to ``--windows``; all else is measured whole. Reading files and the last suppression are left out.
``--clock cpu`` counts the processor's time, for machines that others use too (with one thread).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np

from caffelite.cpu.threads import num_threads, set_threads
from caffelite.detection.card import Card
from caffelite.detection.compression import svd_net
from caffelite.detection.one_image import im_detect
from caffelite.detection.pictures import load_picture
from caffelite.detection.proposals.methods import propose
from caffelite.detection.rcnn.crop_net import CropNet, window_layer
from caffelite.detection.recipes.init import init
from caffelite.detection.settings import settings
from caffelite.model import Model
from caffelite.net import Net
from caffelite.prototxt.source import NetSource, read_net
from caffelite.types import Phase

CLASSES = tuple(f"class{i}" for i in range(1, 21))  # as many as PASCAL VOC has
SHARES = {"fc6": 4, "fc7": 16}  # rank is outputs / share: 1024 and 256 of VGG16's 4096, as published
SINGLE, BATCHED, FAST, THIN, FASTER = (
    "R-CNN, one by one",
    "R-CNN, batches of 64",
    "Fast R-CNN",
    "Fast R-CNN, SVD",
    "Faster R-CNN",
)

Image = np.ndarray


CLOCKS: dict[str, Callable[[], float]] = {"wall": perf_counter, "cpu": process_time}


def timed(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    began = clock()
    call()
    return clock() - began


def scaled(seconds: float, measured: int, wanted: int) -> float:
    """Time of ``wanted`` windows, of which ``measured`` took ``seconds``."""
    return seconds * wanted / measured


def table(seconds: dict[str, float], proposals: float) -> list[dict[str, Any]]:
    """A row a method: seconds an image without and with proposals, and how many times faster than each R-CNN.

    Faster R-CNN makes its own proposals, so both of its times are the same.
    """
    rows = []
    for name, alone in seconds.items():
        whole = alone if name == FASTER else alone + proposals
        row: dict[str, Any] = {"method": name, "seconds": alone, "with_proposals": whole}
        for base in (SINGLE, BATCHED):
            row[f"times_{base}"] = seconds[base] / alone
            row[f"times_{base}_with_proposals"] = (seconds[base] + proposals) / whole
        rows.append(row)
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table as the README has it."""
    lines = [
        f"| | s/image | times {SINGLE} | times {BATCHED} | with proposals: s/image | times {SINGLE} | times {BATCHED} |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = [f"{row['seconds']:.3f}", *(f"{row[f'times_{base}']:.1f}" for base in (SINGLE, BATCHED))]
        cells.append(f"{row['with_proposals']:.3f}")
        cells += [f"{row[f'times_{base}_with_proposals']:.1f}" for base in (SINGLE, BATCHED)]
        lines.append(f"| {row['method']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ranks(net: NetSource) -> dict[str, int]:
    """Of the layers fc6 and fc7 that a net has."""
    layers = {layer.name: layer.inner_product_param.num_output for layer in net.message.layer}
    return {name: max(1, layers[name] // share) for name, share in SHARES.items() if name in layers}


class Timing:
    """All methods on the same images and regions."""

    def __init__(
        self,
        arch: str,
        folder: Path,
        images: Sequence[Image],
        boxes: Sequence[np.ndarray],
        rounds: int,
        clock: Callable[[], float],
    ):
        self.arch, self.folder, self.images, self.boxes = arch, folder, images, boxes
        self.rounds, self.clock = rounds, clock

    def card(self, method: str) -> tuple[Path, Card]:
        folder = self.folder / method
        return folder, init(folder, arch=self.arch, method=method, classes=CLASSES)

    def rcnn(self, windows: int, measured: int) -> dict[str, float]:
        folder, _ = self.card("rcnn")
        net = Net.of(Model(read_net(folder / "test.prototxt"), Phase.TEST, observe=False, backward=False))
        crops = CropNet(net, window_layer(read_net(folder / "train.prototxt")), threads=num_threads())
        batched = self._windows(crops, measured, windows)
        _, *shape = net.blobs["data"].shape
        net.blobs["data"].reshape(1, *shape)
        return {SINGLE: self._windows(crops, max(1, measured // 8), windows), BATCHED: batched}

    def _windows(self, crops: CropNet, measured: int, windows: int) -> float:
        """Seconds of one image's windows: some of them, a multiple of the batch, scaled to all."""
        batch = crops.net.blobs[crops.net.inputs[0]].shape[0]
        count = batch * -(-measured // batch)

        def look(i: int) -> None:
            crops.run(self.images[i], np.resize(self.boxes[i], (count, 4)), [crops.probabilities])

        return scaled(self._median(look), count, windows)

    def regions(self, method: str, thin: bool = False) -> float:
        folder, card = self.card(method)
        source: NetSource = read_net(folder / "test.prototxt")
        if thin:
            source = svd_net(source, ranks(source))
        net = Net.of(Model(source, Phase.TEST, observe=False, backward=False))
        boxes = self.boxes if method == "fast" else [None] * len(self.images)
        with settings(card, ["DEDUP_BOXES", "0"]):  # regions that are nearly the same count, too
            return self._median(lambda i: im_detect(net, self.images[i], boxes[i]))

    def _median(self, look: Callable[[int], Any]) -> float:
        """Mean over the images of the median over the rounds, after a pass that nobody times."""
        found = []
        for i in range(len(self.images)):
            look(i)
            found.append(median(timed(lambda i=i: look(i), self.clock) for _ in range(self.rounds)))
        return float(np.mean(found))


def main() -> None:
    arguments = parse()
    set_threads(arguments.threads)
    images = [load_picture(path) for path in arguments.images]
    clock = CLOCKS[arguments.clock]
    began = clock()
    boxes = [propose(image, arguments.proposals, limit=arguments.windows)[0] for image in images]
    proposals = (clock() - began) / len(images)
    boxes = [np.resize(one, (arguments.windows, 4)) for one in boxes]  # repeated where the method found fewer
    with tempfile.TemporaryDirectory() as folder:
        timing = Timing(arguments.arch, Path(folder), images, boxes, arguments.rounds, clock)
        seconds = {FASTER: timing.regions("faster")}
        print(f"{FASTER}: {seconds[FASTER]:.3f} s", flush=True)
        seconds = {FAST: timing.regions("fast"), THIN: timing.regions("fast", thin=True), **seconds}
        print(f"{FAST}: {seconds[FAST]:.3f} s, SVD {seconds[THIN]:.3f} s", flush=True)
        seconds = {**timing.rcnn(arguments.windows, arguments.measured), **seconds}
    rows = table(seconds, proposals)
    print(f"\n{arguments.arch}, {len(images)} images, {arguments.windows} windows, {num_threads()} threads; "
          f"proposals ({arguments.proposals}) {proposals:.3f} s an image; R-CNN measured on {arguments.measured} windows\n")  # fmt: skip
    print(markdown(rows))
    if arguments.output:
        about = {
            name: getattr(arguments, name)
            for name in ("arch", "windows", "measured", "proposals", "threads", "clock")
        }
        arguments.output.write_text(
            json.dumps({**about, "proposal_s": proposals, "rows": rows}, indent=1) + "\n"
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection_speed", description=__doc__)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--arch", default="vgg16", help="a backbone of det init")
    parser.add_argument("--windows", type=int, default=2000, help="of an image")
    parser.add_argument("--measured", type=int, default=128, help="windows that R-CNN really looks at")
    parser.add_argument("--proposals", default="ss", help="method of det propose")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", default="wall", choices=CLOCKS)
    parser.add_argument("-o", "--output", type=Path, help="a JSON file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
