"""A net that looks at regions one by one, each cut out of the image as the WindowData layer does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.boxes.boxes import Array
from caffelite.cpu.cores import usable_cores
from caffelite.data.windows import CHANNELS, Cropping, Mean, crop_settings, put_crop
from caffelite.detection.finetune import warn_of_initial
from caffelite.detection.rcnn.regions import whole
from caffelite.errors import MissingFileError, NetError, UsageError
from caffelite.graph.graph import Node
from caffelite.net import Net
from caffelite.prototxt.source import NetSource, read_net
from caffelite.prototxt.suggest import suggestion
from caffelite.types import Phase
from caffelite.weights.wire import header

TRAIN, TEST = "train.prototxt", "test.prototxt"
_LEAST = 8  # crops that are worth a thread
_BATCH = 64  # crops that run through the net together, or more if its prototxt says so


class CropNet:
    """A net in phase TEST with one input ``data`` (N, 3, S, S), and how regions are cut out for it.

    ``layer``: the WindowData layer (a LayerParameter) that the net was trained with: test and training crop alike.
    Regions run through the net N at a time, 64 or more. Blobs, unless named otherwise: ``probabilities``, the output of the net;
    ``svm_blob``, what the last InnerProduct layer sees (fc7); ``box_blob``, what the first one sees (pool5).

    ``identity``: what stands for all that decides about features except weights; the net's text only after ``load``.

    Raises UsageError for a net with other inputs or without InnerProduct layers.
    """

    def __init__(self, net: Net, layer: Any, *, svm_blob: str = "", box_blob: str = "", threads: int = 0):
        self.net = net
        self.cropping: Cropping
        self.mean: Mean
        self.cropping, self.mean = crop_settings(layer)
        size = self.cropping.size
        if len(net.inputs) != 1 or tuple(net.blobs[net.inputs[0]].shape[1:]) != (CHANNELS, size, size):
            got = ", ".join(f"{name} {tuple(net.blobs[name].shape)}" for name in net.inputs) or "none"
            raise UsageError(
                f"net '{net.name}': expected one input (N, {CHANNELS}, {size}, {size}), as WindowData crops, got {got}"
            )
        net.blobs[net.inputs[0]].reshape(max(_BATCH, net.blobs[net.inputs[0]].shape[0]), CHANNELS, size, size)
        net.reshape()
        dense = [node for node in net.model.nodes if node.type == "InnerProduct"]
        if not dense:
            raise UsageError(f"net '{net.name}' has no InnerProduct layer: it is no classifier of regions")
        self.svm_blob = self._blob(svm_blob, dense[-1])
        self.box_blob = self._blob(box_blob, dense[0])
        self.probabilities = net.outputs[-1]
        self._threads = threads or usable_cores()
        self.identity = _identity(layer)

    def _blob(self, name: str, node: Node) -> str:
        """A blob that is asked for, or else what a layer sees."""
        if name:
            self.width(name)
        return name or self.net.bottom_names[node.name][0]

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str],
        weights: str | os.PathLike[str],
        *,
        engine: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> CropNet:
        """From a detector's folder, or its test.prototxt with the train.prototxt beside it. ``engine``: options of Net.

        Raises:
            MissingFileError: one of them is not there.
            NetError: train.prototxt has no WindowData layer, which says how to crop.
            and what reading nets and weights raises.
        """
        path = Path(source)
        folder, test = (path, path / TEST) if path.is_dir() else (path.parent, path)
        if not test.exists():
            raise MissingFileError(test, "prototxt of a detector")
        net = Net(str(test), Phase.TEST, **(engine or {}))
        warn_of_initial(net.copy_from(os.fspath(weights)))
        found = cls(net, window_layer(read_net(folder / TRAIN)), **options)
        found.identity = digest(found.identity, test.read_bytes())
        return found

    def width(self, blob: str) -> int:
        """Values of a blob for one region. Raises UsageError if there is no such blob."""
        if blob not in self.net.blobs:
            raise UsageError(f"net '{self.net.name}' has no blob '{blob}'{suggestion(blob, self.net.blobs)}")
        return int(np.prod(self.net.blobs[blob].shape[1:]))

    def crops(self, image: Array, boxes: Array) -> Array:
        """What the net sees of boxes (R, 4) in an image (H, W, 3), uint8: float32 (R, 3, S, S), cut by all threads."""
        planes = image.transpose(2, 0, 1)
        boxes = whole(boxes, *image.shape[:2])
        out = np.zeros((len(boxes), CHANNELS, self.cropping.size, self.cropping.size), np.float32)

        def cut(part: slice) -> None:
            for box, crop in zip(boxes[part], out[part], strict=True):
                put_crop(planes, box, self.cropping, self.mean, crop)

        step = max(_LEAST, -(-len(boxes) // self._threads))
        parts = [slice(start, start + step) for start in range(0, len(boxes), step)]
        if len(parts) < 2:
            list(map(cut, parts))
        else:
            with ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(cut, parts))
        return out

    def run(self, image: Array, boxes: Array, blobs: Sequence[str]) -> list[Array]:
        """Blobs of the net for boxes (R, 4) in an image (H, W, 3), each as float32 (R, D)."""
        name = self.net.inputs[0]
        N = self.net.blobs[name].shape[0]
        found: list[list[Array]] = [[] for _ in blobs]
        for start in range(0, len(boxes), N):
            some = boxes[start : start + N]
            data = self.net.blobs[name].data
            data[: len(some)] = self.crops(image, some)
            data[len(some) :] = 0
            self.net.forward()
            for rows, blob in zip(found, blobs, strict=True):
                rows.append(
                    np.array(self.net.blobs[blob].data[: len(some)], np.float32).reshape(len(some), -1)
                )
        nothing = [np.zeros((0, self.width(blob)), np.float32) for blob in blobs]
        return [np.concatenate([empty, *rows]) for empty, rows in zip(nothing, found, strict=True)]


def window_layer(net: NetSource) -> Any:
    """The WindowData layer of a net for training. Raises NetError if there is none."""
    for layer in net.message.layer:
        if layer.type == "WindowData":
            return layer
    raise NetError(
        f"{net.file}: expected a WindowData layer, which says how regions are cut out, got none\n"
        "  Fix: keep the train.prototxt of the detector beside its test.prototxt"
    )


def _identity(layer: Any) -> bytes:
    """What stands for the way in which a WindowData layer cuts out and transforms."""
    p, transform = layer.window_data_param, layer.transform_param
    mean = Path(transform.mean_file).read_bytes() if transform.mean_file else b""
    how = f"{p.context_pad} {p.crop_mode} {p.scale} {transform.crop_size} {list(transform.mean_value)}"
    return digest(how.encode(), mean)


def digest(*parts: bytes) -> bytes:
    """A hash of parts and their lengths."""
    found = hashlib.sha256()
    for number, part in enumerate(parts, 1):
        found.update(header(number, len(part)))
        found.update(part)
    return found.digest()
