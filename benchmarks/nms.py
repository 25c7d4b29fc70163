"""``python -m benchmarks.nms``: suppression of a region proposal network's boxes, beside the plain NumPy loop.

Both get the same boxes in one run and must keep the same ones; times are the best of some rounds on one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np

from caffelite.boxes.anchors import base_anchors, shifted
from caffelite.boxes.boxes import Array, clip, decode
from caffelite.boxes.nms import nms

THRESHOLD = 0.7
CASES = [(6000, 300), (6000, None), (12000, 2000), (12000, None)]


def plain(boxes: Array, scores: Array, threshold: float) -> Array:
    """The loop that py-faster-rcnn ships for those without a GPU, with stable order."""
    x1, y1, x2, y2 = boxes.T
    area = (x2 - x1 + 1) * (y2 - y1 + 1)
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        width = np.maximum(np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest]) + 1, 0)
        height = np.maximum(np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest]) + 1, 0)
        common = width * height
        order = rest[common / (area[best] + area[rest] - common) <= threshold]
    return np.asarray(kept)


def network(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """The best boxes of the anchors in an image of 600 x 1000 with fifteen objects that draw boxes towards them."""
    anchors = shifted(base_anchors(), 16, 38, 63)
    boxes = clip(decode(anchors, rng.normal(0, 0.1, anchors.shape).astype(np.float32)), 600, 1000)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    objects = rng.uniform([0, 0], [1000, 600], (15, 2))
    distance = np.linalg.norm(centres[:, None] - objects, axis=2).min(axis=1)
    scores = np.exp(-distance / 60) + rng.normal(0, 0.05, len(boxes))
    best = np.argsort(-scores)[:count]
    return boxes[best], scores[best].astype(np.float32)


def scattered(count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Boxes of all sizes anywhere: most survive, the hardest case."""
    start, size = rng.uniform(0, 800, (count, 2)), np.exp(rng.uniform(3, 6, (count, 2)))
    return np.concatenate([start, start + size], axis=1).astype(np.float32), rng.random(count, np.float32)


def best_time(run: Callable[[], Array], rounds: int) -> tuple[float, Array]:
    """Seconds of the fastest round, and what it gave."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        kept = run()
        times.append(time.perf_counter() - begun)
    return min(times), kept


def main() -> None:
    """Prints one line a case; exit status 1 if the two keep different boxes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nms", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    for make in (network, scattered):
        for count, limit in CASES:
            boxes, scores = make(count, np.random.default_rng(0))
            ours, kept = best_time(lambda b=boxes, s=scores, n=limit: nms(b, s, THRESHOLD, n), rounds)  # type: ignore[misc]
            loop, want = best_time(lambda b=boxes, s=scores: plain(b, s, THRESHOLD), rounds)  # type: ignore[misc]
            if kept.tolist() != want[:limit].tolist():
                sys.exit(f"{make.__name__} {count}: other boxes are kept")
            print(
                f"{make.__name__:<10} {count:>6} boxes, {limit or 'no':>5} limit, {len(want):>5} survive:"
                f" caffelite {1e3 * ours:7.1f} ms   loop {1e3 * loop:7.1f} ms   ratio {loop / ours:6.1f}"
            )


if __name__ == "__main__":
    main()
