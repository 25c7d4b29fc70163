"""The yardstick: a Faster R-CNN of ``caffelite det init`` trained and tested by PyTorch, from the same files.

    PYTHONPATH=. /path/to/python-with-torch -m benchmarks.detection_torch FOLDER --data DATA --split train --test-split test

Net, solver, sizes and thresholds are read from FOLDER's train.prototxt, test.prototxt, solver.prototxt and detector.json,
so that both sides are the same by construction: fillers, targets, proposals, suppression and evaluation are caffelite's,
convolutions, gradients and updates PyTorch's (SGD in Caffe's order: the rate is inside the momentum).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from caffelite.boxes.boxes import clip, decode
from caffelite.boxes.images import image_blob, prepared
from caffelite.boxes.nms import nms
from caffelite.detection.card import Card
from caffelite.detection.config import cfg
from caffelite.detection.dataset import DetectionSet, Picture, load_picture, load_set
from caffelite.detection.evaluation import evaluate
from caffelite.detection.settings import settings
from caffelite.prototxt.source import read_net, read_solver
from caffelite.solver.policies import learning_rate


class Feed:
    """Training images in random order, mirror images among them: data, im_info, gt_boxes as RoIDataLayer delivers them."""

    def __init__(self, dataset: DetectionSet, rng: np.random.Generator):
        self.rng, self.cache, self.queue = rng, {}, []
        self.pictures = [one for one in dataset.pictures if (~one.difficult).any()]
        flips = (False, True) if cfg.TRAIN.USE_FLIPPED else (False,)
        self.entries = [(i, flip) for i in range(len(self.pictures)) for flip in flips]

    def __call__(self) -> dict[str, np.ndarray]:
        images, infos, rows = [], [], []
        for item in range(cfg.TRAIN.IMS_PER_BATCH):
            self.queue = self.queue or [self.entries[i] for i in self.rng.permutation(len(self.entries))]
            i, flipped = self.queue.pop()
            image, scale = self._image(i, cfg.TRAIN.SCALES[self.rng.integers(len(cfg.TRAIN.SCALES))])
            images.append(image[:, ::-1] if flipped else image)
            infos.append([*image.shape[:2], scale])
            rows.append(np.insert(ground_truth(self.pictures[i], flipped, scale), 0, item, axis=1))
        gt = np.concatenate(rows)
        gt = gt if len(images) > 1 else gt[:, 1:]
        return {"data": image_blob(images), "im_info": np.float32(infos), "gt_boxes": np.float32(gt)}

    def _image(self, i: int, size: int) -> tuple[np.ndarray, float]:
        if (i, size) not in self.cache:
            image = load_picture(self.pictures[i].path)
            self.cache[i, size] = prepared(image, cfg.PIXEL_MEANS, size, cfg.TRAIN.MAX_SIZE)
        return self.cache[i, size]


def ground_truth(picture: Picture, flipped: bool, scale: float) -> np.ndarray:
    """Rows x1, y1, x2, y2, label in pixels of the net's input; difficult objects are left out."""
    boxes, labels = picture.boxes[~picture.difficult].astype(np.float64), picture.labels[~picture.difficult]
    if flipped:
        boxes[:, 0::2] = picture.width - boxes[:, 2::-2] - 1
    return np.concatenate([boxes * scale, labels[:, None]], axis=1)


def rate(solver, iteration: int) -> float:
    """The learning rate; iterations are counted from 0."""
    return learning_rate(solver, iteration, sum(iteration >= value for value in solver.stepvalue))


def select(scores: np.ndarray, boxes: np.ndarray, card: Card) -> np.ndarray:
    """Rows label, score, x1, y1, x2, y2 (K, 6) of one image from scores (R, C + 1) and boxes (R, 4 (C + 1))."""
    rows = [np.empty((0, 6), np.float32)]
    for label in range(1, scores.shape[1]):
        (left,) = np.nonzero(scores[:, label] > card.score)
        found, values = boxes[left, 4 * label : 4 * label + 4], scores[left, label]
        kept = nms(found, values, card.nms)
        rows.append(np.column_stack([np.full(len(kept), label), values[kept], found[kept]]))
    made = np.concatenate(rows).astype(np.float32)
    return made[np.argsort(-made[:, 1], kind="stable")[: card.limit]]


def codes_to_boxes(rois: np.ndarray, deltas: np.ndarray, scale: float, picture: Picture) -> np.ndarray:
    """Boxes (R, 4 C) in pixels of the picture."""
    return clip(decode(rois[:, 1:] / np.float32(scale), deltas), picture.height, picture.width)


# -- what needs PyTorch -----------------------------------------------------------------------------------


class Trainer:
    """One run: a net, its solver and its data."""

    def __init__(self, folder: Path, dataset: DetectionSet, seed: int):
        from benchmarks.torch_layers import DetectionNet

        self.rng = np.random.default_rng(seed)
        self.solver = read_solver(folder / "solver.prototxt").message
        train, test = (read_net(folder / f"{name}.prototxt").message for name in ("train", "test"))
        self.net = DetectionNet(train, self.rng)
        self.tester = DetectionNet(test, self.rng, self.net.parts).eval()
        self.target = next(one for one in train.layer if one.type == "ProposalTarget").proposal_target_param
        self.feed = Feed(dataset, np.random.default_rng([seed, 1]))
        self.momentum: dict[str, object] = {}

    def step(self, iteration: int) -> dict[str, float]:
        import torch

        losses: dict[str, float] = {}
        for _ in range(self.solver.iter_size):
            self.net({name: torch.from_numpy(values) for name, values in self.feed().items()})
            (sum(self.net.losses.values()) / self.solver.iter_size).backward()
            for name, value in self.net.losses.items():
                losses[name] = losses.get(name, 0) + float(value.detach()) / self.solver.iter_size
        with torch.no_grad():
            self._update(rate(self.solver, iteration))
        return losses

    def _update(self, lr: float) -> None:
        import torch

        named = [(f"{name}.{kind}", p) for name, part in self.net.parts.items() for kind, p in part.items()]
        mults = [pair for name in self.net.parts for pair in self.net.multipliers[name]]
        if (limit := self.solver.clip_gradients) > 0:
            norm = float(torch.linalg.vector_norm(torch.stack([p.grad.norm() for _, p in named])))
            shrink = min(1.0, limit / max(norm, 1e-12))
        else:
            shrink = 1.0
        for (name, p), (lr_mult, decay_mult) in zip(named, mults, strict=True):
            gradient = p.grad.mul_(shrink).add_(p, alpha=self.solver.weight_decay * decay_mult)
            v = self.momentum.setdefault(name, torch.zeros_like(p))
            v.mul_(self.solver.momentum).add_(gradient, alpha=lr * lr_mult)
            p.sub_(v)
            p.grad = None

    def detect(self, picture: Picture, card: Card) -> np.ndarray:
        import torch

        image = load_picture(picture.path)
        data, scale = prepared(image, cfg.PIXEL_MEANS, card.scales[0], card.max_size)
        info = np.float32([[*data.shape[:2], scale]])
        with torch.inference_mode():
            blobs = self.tester(
                {"data": torch.from_numpy(image_blob([data])), "im_info": torch.from_numpy(info)}
            )
        scores, deltas, rois = (blobs[name].numpy() for name in ("cls_prob", "bbox_pred", "rois"))
        stds, means = (np.float32(list(values) or [default] * 4) for values, default in
                       ((self.target.bbox_std, 1), (self.target.bbox_mean, 0)))  # fmt: skip
        deltas = deltas * np.tile(stds, scores.shape[1]) + np.tile(means, scores.shape[1])
        return select(scores, codes_to_boxes(rois, deltas, scale, picture), card)


def main() -> None:
    arguments = parse()
    import torch

    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    card = Card.read(arguments.folder)
    dataset = load_set(arguments.data, arguments.split, classes=card.classes)
    held_out = load_set(arguments.data, arguments.test_split, classes=card.classes)
    with settings(card, arguments.set):
        trainer = Trainer(arguments.folder, dataset, arguments.seed)
        count = arguments.iterations or trainer.solver.max_iter
        numbers = {
            "seed": arguments.seed,
            "iterations": count,
            "threads": arguments.threads,
            **train(trainer, count),
        }
        began = perf_counter()
        detections = {one.key: trainer.detect(one, card) for one in held_out.pictures}
        numbers["test_ms"] = round(1e3 * (perf_counter() - began) / len(held_out.pictures), 1)
    report = evaluate(held_out, detections)
    numbers |= {"map07": round(report.map07, 4), "map50": round(report.map, 4)}
    numbers["ap50"] = {one.name: round(float(one.curve.ap), 4) for one in report.classes}
    print(json.dumps(numbers))
    if arguments.output:
        arguments.output.write_text(json.dumps(numbers, indent=1) + "\n")


def train(trainer: Trainer, count: int) -> dict[str, float]:
    """Runs the iterations; seconds in all, on the processor, and the median milliseconds of one."""
    marks, cpu, sums = [perf_counter()], process_time(), {}
    for iteration in range(count):
        for name, value in trainer.step(iteration).items():
            sums[name] = sums.get(name, 0) + value
        marks.append(perf_counter())
        if (iteration + 1) % 100 == 0:
            text = "  ".join(f"{name} {value / 100:.4f}" for name, value in sums.items())
            print(f"{iteration + 1:6d}  {marks[-1] - marks[0]:7.1f} s  {text}", flush=True)
            sums = {}
    return {
        "train_s": round(marks[-1] - marks[0], 1),
        "cpu_s": round(process_time() - cpu, 1),
        "step_ms": round(1e3 * float(np.median(np.diff(marks))), 1),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection_torch", description=__doc__)
    parser.add_argument("folder", type=Path, help="a detector's folder, as det init writes it")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--test-split", default="test")
    parser.add_argument("--iterations", type=int, default=0, help="instead of the solver's max_iter")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY VALUE", help="settings, as of det train")
    parser.add_argument("-o", "--output", type=Path, help="a JSON file for the numbers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
