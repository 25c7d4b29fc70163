"""Layers of 2013 (a ``layer`` with a lower-case type inside ``layers``) to the form of 2014."""

from __future__ import annotations

from caffelite.prototxt.schema import Message, enum_values, message
from caffelite.prototxt.suggest import suggestion

_TYPES = {
    "accuracy": "ACCURACY",
    "bnll": "BNLL",
    "concat": "CONCAT",
    "conv": "CONVOLUTION",
    "data": "DATA",
    "dropout": "DROPOUT",
    "euclidean_loss": "EUCLIDEAN_LOSS",
    "flatten": "FLATTEN",
    "hdf5_data": "HDF5_DATA",
    "hdf5_output": "HDF5_OUTPUT",
    "im2col": "IM2COL",
    "images": "IMAGE_DATA",
    "infogain_loss": "INFOGAIN_LOSS",
    "innerproduct": "INNER_PRODUCT",
    "lrn": "LRN",
    "multinomial_logistic_loss": "MULTINOMIAL_LOGISTIC_LOSS",
    "pool": "POOLING",
    "relu": "RELU",
    "sigmoid": "SIGMOID",
    "softmax": "SOFTMAX",
    "softmax_loss": "SOFTMAX_LOSS",
    "split": "SPLIT",
    "tanh": "TANH",
    "window_data": "WINDOW_DATA",
}
_MESSAGES = {
    "conv": "convolution_param",
    "innerproduct": "inner_product_param",
    "pool": "pooling_param",
    "dropout": "dropout_param",
    "lrn": "lrn_param",
    "concat": "concat_param",
    "data": "data_param",
    "images": "image_data_param",
    "hdf5_data": "hdf5_data_param",
    "window_data": "window_data_param",
    "infogain_loss": "infogain_loss_param",
}
# Each old field: the types that have it, and its name in their message.
_FIELDS: dict[str, tuple[tuple[str, ...], str]] = {
    "num_output": (("conv", "innerproduct"), "num_output"),
    "biasterm": (("conv", "innerproduct"), "bias_term"),
    "weight_filler": (("conv", "innerproduct"), "weight_filler"),
    "bias_filler": (("conv", "innerproduct"), "bias_filler"),
    "pad": (("conv", "pool"), "pad"),
    "kernelsize": (("conv", "pool"), "kernel_size"),
    "group": (("conv",), "group"),
    "stride": (("conv", "pool"), "stride"),
    "pool": (("pool",), "pool"),
    "dropout_ratio": (("dropout",), "dropout_ratio"),
    "local_size": (("lrn",), "local_size"),
    "alpha": (("lrn",), "alpha"),
    "beta": (("lrn",), "beta"),
    "k": (("lrn",), "k"),
    "source": (("data", "hdf5_data", "images", "window_data", "infogain_loss"), "source"),
    "batchsize": (("data", "hdf5_data", "images", "window_data"), "batch_size"),
    "rand_skip": (("data", "images"), "rand_skip"),
    "shuffle_images": (("images",), "shuffle"),
    "new_height": (("images",), "new_height"),
    "new_width": (("images",), "new_width"),
    "concat_dim": (("concat",), "concat_dim"),
    "det_fg_threshold": (("window_data",), "fg_threshold"),
    "det_bg_threshold": (("window_data",), "bg_threshold"),
    "det_fg_fraction": (("window_data",), "fg_fraction"),
    "det_context_pad": (("window_data",), "context_pad"),
    "det_crop_mode": (("window_data",), "crop_mode"),
}
_TRANSFORMS = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
_BLOBS = ("blobs", "blobs_lr", "weight_decay")
_KEPT = ("name", "input", "input_dim", "force_backward")


class UpgradeError(Exception):
    """A net of 2013 that has no later form: the layer's index and fields, what is wrong, and the cure."""

    def __init__(self, layer: int, fields: tuple[str | int, ...], message_: str, fix: str = ""):
        super().__init__(message_)
        self.layer, self.fields, self.message, self.fix = layer, fields, message_, fix


def upgrade_v0(net: Message) -> tuple[Message, list[int], list[str]]:
    """The net in the form of 2014, the old indices of its layers, and notes.

    Padding layers are folded into the convolution or pooling that reads them. As in Caffe only name, layers,
    inputs and force_backward survive. Raises UpgradeError.
    """
    _check_layers(net)
    folded, kept = _fold_padding(net)
    result = message("NetParameter")()
    for name in _KEPT:
        _copy(net, result, name)
    notes = [f"{len(kept)} layers upgraded from the form of 2013 ('layer' inside 'layers')"]
    if len(kept) < len(net.layers):
        notes.append(f"{len(net.layers) - len(kept)} padding layers folded into the layers that read them")
    for layer in folded:
        notes += _upgrade_layer(layer, result.layers.add())
    return result, kept, notes


def _check_layers(net: Message) -> None:
    known = [*_TYPES, "padding"]
    for index, layer in enumerate(net.layers):
        if not layer.HasField("layer"):
            raise UpgradeError(
                index,
                (),
                f"layer '{layer.name}' is in the form of 2014, others of this net are in that of 2013",
                "write all layers in one form",
            )
        type_ = layer.layer.type
        if layer.layer.HasField("type") and type_ not in known:
            raise UpgradeError(
                index,
                ("layer", "type"),
                f"layer '{layer.layer.name}': unknown type '{type_}'{suggestion(type_, known)}",
            )


def _fold_padding(net: Message) -> tuple[list[Message], list[int]]:
    """Copies of the layers but those of type padding, and their old indices."""
    producers: dict[str, int | None] = dict.fromkeys(net.input)
    folded, kept = [], []
    for index, layer in enumerate(net.layers):
        copy = message("V1LayerParameter")()
        copy.CopyFrom(layer)
        for number, blob in enumerate(layer.bottom):
            if blob not in producers:
                text = f"layer '{layer.layer.name}': unknown bottom '{blob}'{suggestion(blob, producers)}"
                raise UpgradeError(index, ("bottom", number), text)
            producer = producers[blob]
            if producer is not None and net.layers[producer].layer.type == "padding":
                _take_padding(copy, net.layers[producer], index)
        producers |= dict.fromkeys(layer.top, index)
        if layer.layer.type != "padding":
            folded.append(copy)
            kept.append(index)
    return folded, kept


def _take_padding(layer: Message, padding: Message, index: int) -> None:
    name, old = layer.layer.name, padding.layer
    if layer.layer.type not in ("conv", "pool"):
        raise UpgradeError(
            index, ("bottom",), f"layer '{name}': only conv and pool can read the padding layer '{old.name}'"
        )
    if len(layer.bottom) != 1 or len(padding.bottom) != 1 or len(padding.top) != 1:
        raise UpgradeError(
            index, ("bottom",), f"layers '{old.name}' and '{name}': padding is from one blob to one blob"
        )
    layer.layer.pad = old.pad
    layer.bottom[0] = padding.bottom[0]


def _upgrade_layer(old: Message, new: Message) -> list[str]:
    """Fills a layer of 2014; returns notes on fields that its type has no use for."""
    new.bottom.extend(old.bottom)
    new.top.extend(old.top)
    v0, type_, notes = old.layer, old.layer.type, []
    for descriptor, value in v0.ListFields():
        name = descriptor.name
        if name == "type":
            new.type = enum_values("V1LayerParameter.LayerType")[_TYPES[value]]
        elif name == "name" or name in _BLOBS:
            _copy(v0, new, name)
        elif name in _TRANSFORMS:
            setattr(new.transform_param, _TRANSFORMS[name], value)
        elif name == "hdf5_output_param" and type_ == "hdf5_output":
            new.hdf5_output_param.CopyFrom(value)
        elif type_ in _FIELDS.get(name, ((), ""))[0]:
            _assign(getattr(new, _MESSAGES[type_]), _FIELDS[name][1], value)
        else:
            notes.append(f"layer '{v0.name}': {name} means nothing for type '{type_}'; dropped")
    return notes


def _copy(source: Message, target: Message, name: str) -> None:
    value = getattr(source, name)
    if hasattr(value, "extend"):
        getattr(target, name).extend(value)
    elif source.HasField(name):
        setattr(target, name, value)


def _assign(target: Message, name: str, value: object) -> None:
    current = getattr(target, name)
    if hasattr(current, "extend"):
        current.append(value)
    elif hasattr(current, "CopyFrom"):
        current.CopyFrom(value)
    else:
        setattr(target, name, value)
