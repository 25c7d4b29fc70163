"""InfogainLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from caffelite.errors import DataError, MissingFileError, NetError, layer_message
from caffelite.layers._loss import SMALLEST_PROBABILITY, Labels, Normalizer, check_labels
from caffelite.layers.base import Layer
from caffelite.layers.softmax import softmax
from caffelite.types import Shape, count
from caffelite.weights.blob import read_blob_file


class InfogainLoss(Layer):
    """Cross entropy with a matrix of what each class is worth: y = -sum of H[label, c] log max(p[c], 1e-20) / Z.

    p is the softmax of x; with the identity as H this is SoftmaxWithLoss. Z is set by ``loss_param`` as there: VALID
    (default), FULL, BATCH_SIZE or NONE, and ``ignore_label`` leaves labels out. Fractional labels are cut to integers.

    Bottoms: x, scores of C classes along ``axis`` (1); label, one class number for each place; H, C C numbers in any
             shape, unless the BlobProto file ``source`` has them.
    Tops:    y (), prob as x: the softmax, without a gradient.
    Gradient: (p sum of H[label] - H[label]) / Z to x, as if p were never below 1e-20; 0 where ignored; none to label
             and H.
    Raises:  DataError for a label that is no class, a file that is missing or no blob; ShapeError for a wrong number
             of labels or an H of another size; NetError for neither H nor ``source``, or ``normalize``.
    Example: x [[1, 2], [3, 0]], label [0, 1]; infogain_loss_param { source: "infogain.binaryproto" }
    Source:  BVLC Caffe, infogain_loss_layer.cpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x", "label", "H?")
    tops: ClassVar[tuple[str, ...]] = ("y", "prob?")
    message: ClassVar[str] = "infogain_loss_param"
    loss: ClassVar[bool] = True
    unforced: ClassVar[tuple[str, ...]] = ("label", "H")

    def setup(self) -> None:
        if self.spec.loss_param.HasField("normalize"):
            where = self.location("loss_param", "normalize")
            fix = "write normalization: VALID for true, BATCH_SIZE for false"
            text = "expected normalization, since normalize is deprecated"
            raise NetError(layer_message(self.name, self.type, where, text, "normalize", fix))
        if len(self.spec.bottom) < 3 and not self.p.HasField("source"):
            raise self.error("the matrix H", "none", "name its file in source, or give it as a third bottom")
        self.normalizer = Normalizer(self, default="VALID")

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        x, label, *matrix = shapes
        self.over = self.axis(self.p.axis, len(x))
        check_labels(self, x, label, self.over)
        self.classes = x[self.over]
        worth = matrix[0] if matrix else self._read().shape
        if count(worth) != self.classes**2:
            raise self.shape_error(f"H of {self.classes} by {self.classes} classes", f"H={worth}")
        self.save("p", x)
        return [(), x]

    def forward(self, xp: Any, x: Any, label: Any, H: Any, y: Any, prob: Any, p: Any) -> None:
        labels = self._labels(xp, label, x.shape)
        softmax(xp, x, self.over, p)
        losses = self._rows(xp, labels, H, p) * xp.log(xp.maximum(p, SMALLEST_PROBABILITY))
        if labels.keep is not None:
            losses *= labels.keep
        y[...] = -losses.sum() / self._divisor(labels, x.shape)
        if prob is not None:
            prob[...] = p

    def backward(self, xp: Any, label: Any, H: Any, p: Any, dy: Any, dx: Any) -> None:
        if dx is None:
            return
        labels = self._labels(xp, label, dx.shape)
        rows = self._rows(xp, labels, H, p)
        xp.multiply(p, rows.sum(axis=self.over, keepdims=True), out=dx)
        dx -= rows
        if labels.keep is not None:
            dx *= labels.keep
        dx *= float(dy) / self._divisor(labels, dx.shape)

    def _rows(self, xp: Any, labels: Labels, H: Any, p: Any) -> Any:
        """H[label] for each label, along the class axis: of x's shape."""
        worth = xp.asarray(self._read() if H is None else H, p.dtype).reshape(self.classes, self.classes)
        return xp.moveaxis(worth[labels.index.squeeze(self.over)], -1, self.over)

    def _read(self) -> Any:
        """The array of the file in ``source``, read once."""
        path = self.p.source
        if "H" not in self.session:
            where = self.location(self.message, "source")
            try:
                self.session["H"] = read_blob_file(path)
            except MissingFileError as error:
                text = layer_message(self.name, self.type, where, "source")
                raise MissingFileError(path, text, "relative paths start at the working directory") from error
            except DataError as error:
                raise DataError(layer_message(self.name, self.type, where, f"source: {error}")) from error
        return self.session["H"]

    def _labels(self, xp: Any, label: Any, shape: Shape) -> Labels:
        return Labels(self, xp, label, shape, self.over, self.normalizer.ignore)

    def _divisor(self, labels: Labels, shape: Shape) -> float:
        return self.normalizer.divisor(count(shape, 0, self.over), labels.index.size, labels.valid)
