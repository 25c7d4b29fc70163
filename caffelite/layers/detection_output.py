"""DetectionOutput."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.errors import DataError, layer_message
from caffelite.layers._boxes import decode, suppress
from caffelite.layers.base import Layer
from caffelite.types import Shape, count

_LOWEST = -3.4028234663852886e38  # -FLT_MAX, the confidence_threshold of those who give none


class DetectionOutput(Layer):
    """Detections of SSD: boxes decoded from predictions and priors, one of each bunch that overlaps.

    Of each class but ``background_label_id`` the boxes with a score above ``confidence_threshold`` are suppressed by
    ``nms_param`` (the best ``top_k``; overlaps above ``nms_threshold``, which each survivor multiplies by ``eta`` while
    it is above 0.5). Of all classes of an item the best ``keep_top_k`` stay. Equal scores keep the order of classes
    and priors.

    Bottoms: loc (N, P * L * 4), L being 1 or, with ``share_location: false``, num_classes; conf (N, P * num_classes),
             after softmax; prior (1, 2, P * 4) as PriorBox makes it; data, which only ``visualize`` would read.
    Tops:    y (1, 1, K, 7), rows of item, label, score, x1, y1, x2, y2, by item, then label, then falling score. If
             there is none in the whole batch, one row (item, -1, -1, -1, -1, -1, -1) for each item. K is N * keep_top_k,
             with rows of zeros after those found, as OpenCV's dnn has it; with ``fixed_rows: false``, or without
             keep_top_k, there are as many rows as found, as in SSD. K is 1 before the first pass, as in SSD.
    Gradient: none.
    Raises:  ShapeError; NetError for bad parameters; DataError for a prior without width or height.
    Example: loc (1, 8), conf [[0.1, 0.9, 0.8, 0.2]], prior [[[0.1, 0.1, 0.5, 0.5, 0.4, 0.4, 0.9, 0.9], [0.1, 0.1, 0.2, 0.2,
             0.1, 0.1, 0.2, 0.2]]]; detection_output_param { num_classes: 2 code_type: CENTER_SIZE keep_top_k: 2 confidence_threshold: 0.5 }
    Source:  SSD, detection_output_layer.cpp and bbox_util.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("loc", "conf", "prior", "data?")
    message: ClassVar[str] = "detection_output_param"
    unforced: ClassVar[tuple[str, ...]] = ("loc", "conf", "prior", "data")

    def setup(self) -> None:
        p, nms = self.p, self.p.nms_param
        if len(self.spec.bottom) > 4:
            expected = "3 bottoms, or 4 with the image (arm_conf and arm_loc are bottoms of RefineDet's fork)"
            raise self.error(expected, f"{len(self.spec.bottom)}")
        if p.num_classes < 1:
            raise self.error("num_classes >= 1", p.num_classes, f"set {self.message}.num_classes")
        if nms.nms_threshold < 0:
            raise self.error("nms_threshold >= 0", nms.nms_threshold, field="nms_param")
        if not 0 < nms.eta <= 1:
            raise self.error("eta above 0 and up to 1", nms.eta, field="nms_param")
        if p.visualize:
            fix = "drop visualize, and draw the boxes of the top"
            raise self.error("visualize: false (it opens a window)", "true", fix, "visualize")
        self._refuse_files()
        self.code = self.choice("code_type", "CORNER", "CENTER_SIZE", "CORNER_SIZE")
        self.top_k = nms.top_k if nms.HasField("top_k") else -1
        self.lowest = p.confidence_threshold if p.HasField("confidence_threshold") else _LOWEST
        self.fixed = p.fixed_rows and p.keep_top_k > 0

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        loc, conf, prior = shapes[:3]
        if len(prior) < 3 or prior[1] != 2 or count(prior, 2) % 4 or not prior[0]:
            raise self.shape_error("prior (1, 2, P * 4)", f"prior={prior}")
        priors, classes = count(prior, 2) // 4, self.p.num_classes
        places = 1 if self.p.share_location else classes
        wanted = [(conf[:1], priors * places * 4), (conf[:1], priors * classes)]
        if not conf or [(shape[:1], count(shape, 1)) for shape in (loc, conf)] != wanted:
            sizes = f"loc (N, {wanted[0][1]}) and conf (N, {wanted[1][1]})"
            expected = f"{sizes} for {priors} priors and {classes} classes"
            raise self.shape_error(expected, f"loc={loc}, conf={conf}")
        return [(1, 1, 1, 7)]

    def measure(self, xp: Any, loc: Any, conf: Any, prior: Any) -> list[Shape]:
        self.session["rows"] = rows = self._rows(xp, loc, conf, prior)
        return [(1, 1, len(conf) * self.p.keep_top_k if self.fixed else len(rows), 7)]

    def forward(self, xp: Any, y: Any) -> None:
        rows = self.session["rows"]
        y[0, 0, : len(rows)], y[0, 0, len(rows) :] = rows, 0

    def _rows(self, xp: Any, loc: Any, conf: Any, prior: Any) -> Any:
        """The rows found (K, 7)."""
        boxes = self._decoded(xp, loc, prior)
        scores = conf.reshape(len(conf), boxes.shape[2], self.p.num_classes).transpose(0, 2, 1)
        found = [self._found(xp, i, boxes[i], scores[i]) for i in range(len(conf))]
        rows = xp.concatenate([xp.zeros((0, 7), loc.dtype), *found])
        if not len(rows):
            rows = xp.full((len(conf), 7), -1, loc.dtype)
            rows[:, 0] = xp.arange(len(conf))
        return rows

    def _decoded(self, xp: Any, loc: Any, prior: Any) -> Any:
        """The boxes (N, L, P, 4). Raises DataError for priors that the code divides by, if they are empty."""
        priors, variances = prior[0].reshape(2, -1, 4)
        if self.code != "CORNER":
            self._check_sizes(priors)
        places = 1 if self.p.share_location else self.p.num_classes
        loc = loc.reshape(len(loc), len(priors), places, 4).transpose(0, 2, 1, 3)
        return decode(xp, self.code, loc, priors, None if self.p.variance_encoded_in_target else variances)

    def _check_sizes(self, priors: Any) -> None:
        good = (priors[:, 2:] > priors[:, :2]).all(axis=1)
        if not good.all():
            at = int(good.argmin())
            expected = "expected priors with width and height"
            got = f"({', '.join(f'{value:g}' for value in priors[at].tolist())}) as prior {at}"
            fix = (
                "min_size of PriorBox is cut to whole pixels; with clip: true boxes outside the image vanish"
            )
            raise DataError(layer_message(self.name, self.type, self.location(), expected, got, fix))

    def _found(self, xp: Any, item: int, boxes: Any, scores: Any) -> Any:
        """Rows of the detections in one item, from boxes (L, P, 4) and scores (num_classes, P)."""
        rows = [xp.zeros((0, 7), boxes.dtype)]
        for label in range(len(scores)):
            if label != self.p.background_label_id:
                rows.append(self._of_class(xp, item, label, boxes[label % len(boxes)], scores[label]))
        found = xp.concatenate(rows)
        if -1 < self.p.keep_top_k < len(found):
            best = xp.argsort(-found[:, 2], kind="stable")[: self.p.keep_top_k]
            found = found[best[xp.argsort(found[best, 1], kind="stable")]]
        return found

    def _of_class(self, xp: Any, item: int, label: int, boxes: Any, scores: Any) -> Any:
        nms = self.p.nms_param
        kept = suppress(xp, boxes, scores, self.lowest, self.top_k, nms.nms_threshold, nms.eta)
        rows = xp.empty((len(kept), 7), boxes.dtype)
        rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3:] = item, label, scores[kept], boxes[kept]
        return rows

    def _refuse_files(self) -> None:
        p = self.p.save_output_param
        if (
            p.output_directory and p.label_map_file and p.name_size_file
        ):  # Caffe writes nothing without all three
            fix = "drop output_directory, and write the rows of the top to a file yourself"
            raise self.error(
                "no output_directory (files are not written)", p.output_directory, fix, "save_output_param"
            )
