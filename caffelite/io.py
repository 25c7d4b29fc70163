"""pycaffe's ``caffe.io``: images in, arrays and messages to and fro.

Images are arrays of shape (H, W, K), RGB, float32 in [0, 1]. Source of names and behaviour: ``io.py`` of BVLC Caffe
with the scikit-image of its time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from caffelite.data import opencv
from caffelite.errors import DataError, UsageError
from caffelite.proto import caffe_pb2
from caffelite.prototxt.binary import read_binary, read_bytes
from caffelite.prototxt.suggest import suggestion
from caffelite.resample import resize_areas, resize_points
from caffelite.types import Shape

__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]

Size = Sequence[int] | np.ndarray

_LUMA = (0.2125, 0.7154, 0.0721)  # of R, G, B as scikit-image weighs them: ITU-R BT.709

# -- messages ------------------------------------------------------------------------------------------------


def blobproto_to_array(blob: Any, return_diff: bool = False) -> np.ndarray:
    """The data of a BlobProto, or its diff: float64, in the shape that the message says.

    Raises UsageError if there are not as many numbers as the shape says; a message without a shape holds one.
    """
    name = "diff" if return_diff else "data"
    doubles = getattr(blob, f"double_{name}", ())  # old schemas have floats only
    values = np.array(doubles if len(doubles) else getattr(blob, name), dtype=np.float64)
    legacy = [getattr(blob, axis) for axis in ("num", "channels", "height", "width") if blob.HasField(axis)]
    shape = (blob.num, blob.channels, blob.height, blob.width) if legacy else tuple(blob.shape.dim)
    return _shaped(values, shape, "BlobProto")


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> Any:
    """A BlobProto with the data, and diff if it is given, of an array of any shape."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).ravel().tolist())
    if diff is not None:
        blob.diff.extend(diff.astype(float).ravel().tolist())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[np.ndarray]) -> bytes:
    """The bytes of a BlobProtoVector with these arrays."""
    vector = caffe_pb2.BlobProtoVector()
    vector.blobs.extend([array_to_blobproto(array) for array in arraylist])
    data: bytes = vector.SerializeToString()
    return data


def blobprotovector_str_to_arraylist(str: bytes) -> list[np.ndarray]:
    """The arrays in the bytes of a BlobProtoVector. Raises DataError for other bytes."""
    return [blobproto_to_array(blob) for blob in read_binary(bytes(str), "BlobProtoVector").blobs]


def array_to_datum(arr: np.ndarray, label: int | None = None) -> Any:
    """A Datum with an array of shape (C, H, W): bytes if it is uint8, floats otherwise.

    Raises UsageError for another number of axes.
    """
    if arr.ndim != 3:
        raise UsageError(f"Incorrect array shape. Expected (channels, height, width), got {arr.shape}")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).ravel().tolist())
    if label is not None:
        datum.label = int(label)
    return datum


def datum_to_array(datum: Any) -> np.ndarray:
    """The values of a Datum, shape (C, H, W): uint8 pixels, or else float64 features.

    An encoded image is decoded, its channels in the order B, G, R. Works with any object that has a Datum's
    fields. Raises UsageError if there are not as many values as the shape says, DataError for a broken image.
    """
    shape = (datum.channels or 0, datum.height or 0, datum.width or 0)
    if datum.data and datum.encoded:
        return opencv.decode(datum.data).copy()
    if datum.data:
        return _shaped(np.frombuffer(datum.data, np.uint8).copy(), shape, "Datum")
    values = () if datum.float_data is None else datum.float_data
    return _shaped(np.array(values, dtype=np.float64), shape, "Datum")


def _shaped(values: np.ndarray, shape: Shape, what: str) -> np.ndarray:
    if values.size != int(np.prod(shape)):
        raise UsageError(
            f"{what}: expected {int(np.prod(shape))} values for shape {shape}, got {values.size}"
        )
    return values.reshape(shape)


# -- images --------------------------------------------------------------------------------------------------


def load_image(filename: str | os.PathLike[str], color: bool = True) -> np.ndarray:
    """An image file as float32 in [0, 1]: shape (H, W, 3), RGB, or with ``color=False`` (H, W, 1), grey.

    8 and 16 bits a channel are scaled to [0, 1], files of floats are taken as they are; alpha is dropped, and an
    orientation that a camera noted is not applied. Raises MissingFileError, and DataError for what is no image.
    """
    cv2 = opencv.load()
    stored = opencv.imdecode(read_bytes(os.fspath(filename), "image"), cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise DataError(f"image '{os.fspath(filename)}' cannot be decoded: OpenCV knows no image like it")
    image: np.ndarray = stored.reshape(*stored.shape[:2], -1).astype(np.float64)
    if stored.dtype.kind == "u":
        image /= np.iinfo(stored.dtype).max
    grey = image.shape[2] < 3
    image = image[:, :, :1] if grey else image[:, :, 2::-1]
    if not color and not grey:
        image = np.dot(image, np.array(_LUMA)[:, None])
    elif color and grey:
        image = np.tile(image, (1, 1, 3))
    return image.astype(np.float32)


def resize_image(im: np.ndarray, new_dims: Size, interp_order: int = 1) -> np.ndarray:
    """An image (H, W, K) in another size (h, w), float32.

    With 1 or 3 channels it is scaled as by ``skimage.transform.resize(mode="constant")`` without anti-aliasing:
    pixels are areas, and the image is surrounded by its smallest value, so that enlarging darkens the border.
    With other numbers of channels as by ``scipy.ndimage.zoom``: the corner pixels stay in the corners.
    ``interp_order``: 0 nearest, 1 linear, 3 cubic (with 1 or 3 channels). Raises UsageError for other shapes, sizes
    and orders.
    """
    im = np.asarray(im)
    size = tuple(int(dim) for dim in new_dims)
    if im.ndim != 3 or not im.size:
        fix = "\n  Fix: image[:, :, np.newaxis] gives a grey image its channel" if im.ndim == 2 else ""
        raise UsageError(f"resize_image: expected an image of shape (H, W, K), got {im.shape}{fix}")
    if len(size) != 2 or min(size) < 1:
        raise UsageError(f"resize_image: expected new_dims (height, width) of at least 1, got {new_dims}")
    areas = im.shape[2] in (1, 3)
    if interp_order not in ((0, 1, 3) if areas else (0, 1)):
        raise UsageError(
            f"resize_image: expected interp_order 0 or 1, or 3 with 1 or 3 channels, got {interp_order}"
        )
    return (resize_areas if areas else resize_points)(im, size, interp_order).astype(np.float32)


def oversample(images: Iterable[np.ndarray], crop_dims: Size) -> np.ndarray:
    """Ten crops (h, w) of each image (H, W, K): float32 (10 N, h, w, K).

    In this order: the corners top left, top right, bottom left, bottom right, the centre, and the same mirrored.
    Raises UsageError for crops larger than the images, and for images of several shapes.
    """
    stack = _stack(images)
    (H, W), (h, w) = stack.shape[1:3], checked_crop(stack.shape[1:3], crop_dims)
    starts = [(0, 0), (0, W - w), (H - h, 0), (H - h, W - w), ((H - h) // 2, (W - w) // 2)]
    five = np.stack([stack[:, y : y + h, x : x + w] for y, x in starts], axis=1)
    ten = np.concatenate([five, five[:, :, :, ::-1]], axis=1)
    return ten.reshape(-1, h, w, stack.shape[3]).astype(np.float32, copy=False)


def checked_crop(size: Size, crop_dims: Size) -> tuple[int, int]:
    """The crop (h, w). Raises UsageError if it does not fit into an image of this size."""
    h, w = (int(dim) for dim in crop_dims)
    if h > size[0] or w > size[1]:
        raise UsageError(
            f"expected images of at least {h} x {w} (height x width) to crop, got {size[0]} x {size[1]}"
        )
    return h, w


def _stack(images: Iterable[np.ndarray]) -> np.ndarray:
    arrays = [np.asarray(image) for image in images]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise UsageError(f"oversample: expected images of one shape (H, W, K), got {shapes or 'no image'}")
    return np.stack(arrays)


class Transformer:
    """What is done to an image before a net takes it, and the way back, for each input by name.

    ``inputs``: shapes (N, C, H, W) by name. The steps, each of which does nothing until it is set: resize to H x W,
    transpose, channel swap, raw scale, mean, input scale. Unknown inputs are a UsageError everywhere.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]):
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """An image (H', W', K) as the input takes it: a new array, float32 (K, H, W)."""
        size = self._shape(in_)[2:]
        y = np.array(data, np.float32)
        if y.shape[:2] != size:
            y = resize_image(y, size)
        if in_ in self.transpose:
            self._check_axes(in_, y)
            y = y.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            self._check_channels(in_, len(y))
            y = y[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            y *= self.raw_scale[in_]
        if in_ in self.mean:
            y -= self.mean[in_]
        if in_ in self.input_scale:
            y *= self.input_scale[in_]
        return y

    def deprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """The way back from (K, H, W), or a batch of one, to an image; the size stays as it is."""
        axes = len(self._shape(in_)) - 1
        x = data.copy().squeeze()
        if x.ndim < axes and (in_ in self.transpose or in_ in self.channel_swap):
            x = x.reshape(data.shape[-axes:])  # axes of length 1 take part in transposing
        if in_ in self.input_scale:
            x /= self.input_scale[in_]
        if in_ in self.mean:
            x += self.mean[in_]
        if in_ in self.raw_scale:
            x /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            x = x[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            x = x.transpose(np.argsort(self.transpose[in_]))
        return x

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """The order of an image's axes, (2, 0, 1) for (H, W, K) to (K, H, W)."""
        if len(order) != len(self._shape(in_)) - 1:
            raise UsageError(
                "Transpose order needs to have the same number of dimensions as the input. "
                f"Expected {len(self._shape(in_)) - 1}, got {tuple(order)}"
            )
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """The order of the channels after transposing, (2, 1, 0) for RGB to BGR."""
        if len(order) != self._shape(in_)[1]:
            raise UsageError(
                "Channel swap needs to have the same number of dimensions as the input channels. "
                f"Expected {self._shape(in_)[1]}, got {tuple(order)}"
            )
        if not all(-len(order) <= channel < len(order) for channel in order):
            raise UsageError(f"Channel swap: expected channels 0 to {len(order) - 1}, got {tuple(order)}")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """What values are multiplied by before the mean is subtracted: 255 for nets that were trained on bytes."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: np.ndarray) -> None:
        """What is subtracted: one value a channel (C,), or an image (C, H, W) or (H, W), resized if need be."""
        mean = np.asarray(mean)
        C, *size = self._shape(in_)[1:]
        if mean.ndim not in (1, 2, 3):
            raise UsageError(f"Mean shape invalid: expected 1 to 3 axes, got {mean.shape}{_batch_fix(mean)}")
        flat = mean.ndim == 1
        mean = mean[:, None, None] if flat else mean.reshape(-1, *mean.shape[-2:])
        if len(mean) not in ((C,) if flat else (1, C)):
            raise UsageError(f"Mean channels incompatible with input. Expected {C}, got {len(mean)}")
        if mean.shape[1:] not in ((1, 1), tuple(size)):
            mean = resize_image(mean.transpose(1, 2, 0), size).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """What values are multiplied by at the end, after the mean was subtracted."""
        self._shape(in_)
        self.input_scale[in_] = scale

    def _shape(self, in_: str) -> Shape:
        if in_ not in self.inputs:
            near = suggestion(in_, self.inputs)
            raise UsageError(f"{in_} is not one of the net inputs: {dict(self.inputs)}{near}")
        return tuple(int(dim) for dim in self.inputs[in_])

    def _check_channels(self, in_: str, channels: int) -> None:
        if max(self.channel_swap[in_], default=-1) >= channels:
            order = tuple(self.channel_swap[in_])
            raise UsageError(
                f"input '{in_}': expected the channels {order} in an image, got {channels} of them"
            )

    def _check_axes(self, in_: str, y: np.ndarray) -> None:
        if y.ndim != len(self.transpose[in_]):
            fix = "\n  Fix: image[:, :, np.newaxis] gives a grey image its channel" if y.ndim == 2 else ""
            raise UsageError(f"input '{in_}': expected an image of shape (H, W, K), got {y.shape}{fix}")


def _batch_fix(mean: np.ndarray) -> str:
    return "\n  Fix: mean[0] is the image in a batch of one" if mean.ndim == 4 and len(mean) == 1 else ""


def image_transformer(
    net: Any,
    mean: np.ndarray | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> Transformer:
    """The Transformer for images (H, W, K) at a net's first input; what is None stays unset."""
    name = net.inputs[0]
    transformer = Transformer({name: tuple(net.blobs[name].shape)})
    transformer.set_transpose(name, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(name, mean)
    if input_scale is not None:
        transformer.set_input_scale(name, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(name, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(name, channel_swap)
    return transformer
