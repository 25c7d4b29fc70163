"""Layers of 2014 (``layers`` with an enumerated type) to the current form."""

from __future__ import annotations

from caffelite.prototxt.schema import Message, enum_name, message
from caffelite.prototxt.upgrade_v0 import UpgradeError

# The numbers stand for the same names; a few more were used by forks.
_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ADAPTIVE_BIAS_CHANNEL": "AdaptiveBiasChannel",
    "ARGMAX": "ArgMax",
    "BATCH_NORM": "BatchNorm",
    "BIAS_CHANNEL": "BiasChannel",
    "BN": "BN",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "CROP": "Crop",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DENSE_CRF": "DenseCRF",
    "DENSE_IMAGE_DATA": "DenseImageData",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "ELTWISE_AFFINE": "EltwiseAffine",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "IMAGE_SEG_DATA": "ImageSegData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "INSANITY": "Insanity",
    "INTERP": "Interp",
    "LOCAL": "Local",
    "LRN": "LRN",
    "MAT_READ": "MatRead",
    "MAT_WRITE": "MatWrite",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "NORMALIZE": "Normalize",
    "PADDING": "Padding",
    "PARSE_EVALUATE": "ParseEvaluate",
    "PARSE_OUTPUT": "ParseOutput",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "RELU6": "ReLU6",
    "ROIPOOLING": "ROIPooling",
    "ROI_POOLING": "ROIPooling",
    "SEG_ACCURACY": "SegAccuracy",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SMOOTH_L1_LOSS": "SmoothL1Loss",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "TRIPLET_LOSS": "TripletLoss",
    "UNIQUE_LABEL": "UniqueLabel",
    "UPSAMPLE": "Upsample",
    "WINDOW_DATA": "WindowData",
}
# Fields that became parts of ParamSpec, one entry for each blob.
_PARAMS = {
    "param": "name",
    "blob_share_mode": "share_mode",
    "blobs_lr": "lr_mult",
    "weight_decay": "decay_mult",
}
_DATA = {"DATA": "data_param", "IMAGE_DATA": "image_data_param", "WINDOW_DATA": "window_data_param"}
_TRANSFORMS = ("scale", "mean_file", "crop_size", "mirror")


def move_data_transforms(net: Message) -> list[str]:
    """Scale, mean, crop and mirror of data layers move into ``transform_param``, in place; notes on these.

    As in Caffe all data layers get a ``transform_param`` if any needs one.
    """
    sources = [(layer, getattr(layer, param)) for layer in net.layers if (param := _data_param(layer))]
    moved = [layer.name for layer, source in sources if any(source.HasField(name) for name in _TRANSFORMS)]
    if not moved:
        return []
    for layer, source in sources:
        layer.transform_param.SetInParent()
        for name in _TRANSFORMS:
            if source.HasField(name):
                setattr(layer.transform_param, name, getattr(source, name))
                source.ClearField(name)
    return [f"layer '{name}': scale, mean, crop_size and mirror moved into transform_param" for name in moved]


def upgrade_v1(net: Message) -> list[str]:
    """Replaces ``layers`` by ``layer``, in place; notes on what was done. Raises UpgradeError."""
    for index, old in enumerate(net.layers):
        _check_loss(old, index)
        _upgrade_layer(old, net.layer.add())
    count = len(net.layers)
    lax = [old.name for old in net.layers if not old.strict_dim]
    net.ClearField("layers")
    notes = [f"{count} layers upgraded from the form of 2014 ('layers') to the current one ('layer')"]
    return notes + [
        f"layer '{name}': strict_dim dropped; weights must have the layer's shape" for name in lax
    ]


def _check_loss(layer: Message, index: int) -> None:
    """Raises UpgradeError for what DeepLab's first loss knew and the current one does not."""
    loss = layer.softmaxloss_param
    if loss.weight_source or len(loss.ignore_label) > 1:
        raise UpgradeError(
            index,
            ("softmaxloss_param",),
            f"layer '{layer.name}': expected at most one ignore_label and no weight_source (of DeepLab's fork)",
            "give weights of classes with loss_param { class_weighting: ... } in the current form",
        )


def _data_param(layer: Message) -> str | None:
    return _DATA.get(enum_name("V1LayerParameter.LayerType", layer.type)) if layer.HasField("type") else None


def _upgrade_layer(old: Message, new: Message) -> None:
    for descriptor, value in old.ListFields():
        name = descriptor.name
        if name == "type":
            new.type = _TYPES[enum_name("V1LayerParameter.LayerType", value)]
        elif name in _PARAMS:
            _set_params(new, _PARAMS[name], value)
        elif name == "name":
            new.name = value
        elif name == "softmaxloss_param":
            _set_ignored(new, value)
        elif name.endswith("_param"):
            getattr(new, name).CopyFrom(value)
        elif name != "strict_dim":
            getattr(new, name).extend(value)


def _set_ignored(layer: Message, loss: Message) -> None:
    for label in loss.ignore_label:
        layer.loss_param.ignore_label = label


def _set_params(layer: Message, field: str, values: list[object]) -> None:
    while len(layer.param) < len(values):
        layer.param.append(message("ParamSpec")())
    for param, value in zip(layer.param, values, strict=False):
        setattr(param, field, value)
