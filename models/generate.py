"""Writes the prototxt files of the ImageNet nets, whose layers repeat: AlexNet, VGG-16, GoogLeNet and ResNet.

::

    python models/generate.py                    # rewrites train_val and deploy.prototxt of each folder
    python models/generate.py resnet152 deploy   # prints one file, also of a net that has no folder

A net is a function that adds layers to a ``Net`` from the bottom up; ``net.training`` says which of the two
files it is writing. Layer and blob names are those of the published models, because weights are matched by
layer name. ``train_val`` holds data, initial values, learning rates and losses; ``deploy`` has none of these,
begins with an Input layer and ends with the class probabilities. The detectors' files are written by
``caffelite.detection.recipes``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from caffelite.prototxt.compose import NONE, Enum, Fields, field_lines


class Net:
    """The text of one net. Each method adds layers and returns the name of their top."""

    def __init__(self, name: str, about: str, training: bool):
        self.training = training
        self.lines = [f"# {about}", "# Written by models/generate.py: change it there.", f'name: "{name}"']

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"

    def layer(
        self, name: str, type_: str, bottom: str | list[str], top: str = "", fields: Fields = NONE
    ) -> str:
        """Add any layer. Its top has its name unless ``top`` says otherwise."""
        head = {"name": name, "type": type_, "bottom": bottom, "top": top or name}
        self.lines += field_lines("layer", {**head, **fields})
        return top or name

    def conv(self, name: str, bottom: str, fields: Fields, weight: Fields, bias: float | None = 0) -> str:
        """Add a convolution; ``weight`` is its filler, ``bias`` the initial bias or None for no bias."""
        message, specs = self._learned(fields, weight, bias)
        return self.layer(name, "Convolution", bottom, fields={**specs, "convolution_param": message})

    def fc(self, name: str, bottom: str, num_output: int, weight: Fields, bias: float = 0) -> str:
        """Add an inner product over all of an image's values."""
        message, specs = self._learned({"num_output": num_output}, weight, bias)
        return self.layer(name, "InnerProduct", bottom, fields={**specs, "inner_product_param": message})

    def _learned(self, fields: Fields, weight: Fields, bias: float | None) -> tuple[Fields, Fields]:
        """Return a layer's message with its fillers and its ``param`` entries: biases learn twice as fast."""
        message = {**fields} if bias is not None else {**fields, "bias_term": False}
        if not self.training:
            return message, NONE
        specs = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}]
        if bias is None:
            return {**message, "weight_filler": weight}, {"param": specs[:1]}
        fillers = {"weight_filler": weight, "bias_filler": {"type": "constant", "value": bias}}
        return {**message, **fillers}, {"param": specs}

    def relu(self, name: str, blob: str) -> str:
        return self.layer(name, "ReLU", blob, blob)

    def dropout(self, name: str, blob: str, ratio: float) -> str:
        return self.layer(name, "Dropout", blob, blob, {"dropout_param": {"dropout_ratio": ratio}})

    def lrn(self, name: str, bottom: str) -> str:
        """Add local response normalisation with AlexNet's constants."""
        fields = {"lrn_param": {"local_size": 5, "alpha": 0.0001, "beta": 0.75}}
        return self.layer(name, "LRN", bottom, fields=fields)

    def pool(self, name: str, bottom: str, fields: Fields, method: str = "MAX") -> str:
        return self.layer(name, "Pooling", bottom, fields={"pooling_param": {"pool": Enum(method), **fields}})

    def images(self, size: int, mean: Sequence[float], *, train: int, test: int, deploy: int) -> str:
        """Add the source of images of ``size`` x ``size`` pixels, B, G, R minus ``mean``, in such batches."""
        if not self.training:
            shape = {"dim": [deploy, 3, size, size]}
            return self.layer("data", "Input", [], fields={"input_param": {"shape": shape}})
        self.lines.append("# The LMDBs hold 256 x 256 images: models/README.md says how to make them.")
        for phase, part, batch_size in (("TRAIN", "train", train), ("TEST", "val", test)):
            source = f"data/ilsvrc12/ilsvrc12_{part}_lmdb"
            fields = {
                "top": ["data", "label"],
                "include": {"phase": Enum(phase)},
                "transform_param": {"mirror": phase == "TRAIN", "crop_size": size, "mean_value": mean},
                "data_param": {"source": source, "batch_size": batch_size, "backend": Enum("LMDB")},
            }
            self.layer("data", "Data", [], fields=fields)
        return "data"

    def losses(self, scores: str, loss: str, top: str, top1: str, top5: str, weight: float = 1) -> None:
        """Add the softmax loss and, in the test net, the accuracy of the best guess and of the best five."""
        test: Fields = {"include": {"phase": Enum("TEST")}}
        bottom = [scores, "label"]
        self.layer(loss, "SoftmaxWithLoss", bottom, top, {"loss_weight": weight} if weight != 1 else NONE)
        self.layer(top1, "Accuracy", bottom, fields=test)
        self.layer(top5, "Accuracy", bottom, fields={**test, "accuracy_param": {"top_k": 5}})

    def end(self, scores: str) -> None:
        """Finish a net that has a single classifier."""
        if self.training:
            self.losses(scores, "loss", "loss", "accuracy", "accuracy_top5")
        else:
            self.layer("prob", "Softmax", scores)


def gaussian(std: float) -> Fields:
    """Return a filler of normal numbers around 0."""
    return {"type": "gaussian", "std": std}


XAVIER: Fields = {"type": "xavier"}
MSRA: Fields = {"type": "msra"}
IMAGENET_MEAN = (104, 117, 123)  # of the training images, as Caffe's published models round it


def alexnet(training: bool) -> Net:
    """Krizhevsky, Sutskever, Hinton 2012 with the names, sizes and initial values of BVLC's bvlc_alexnet."""
    net = Net("AlexNet", "AlexNet (Krizhevsky, Sutskever, Hinton 2012), as BVLC's bvlc_alexnet.", training)

    def conv(i: int, x: str, bias: float, **fields: int) -> str:
        return net.relu(f"relu{i}", net.conv(f"conv{i}", x, fields, gaussian(0.01), bias))

    def pool(i: int, x: str) -> str:
        return net.pool(f"pool{i}", x, {"kernel_size": 3, "stride": 2})

    x = net.images(227, IMAGENET_MEAN, train=256, test=50, deploy=10)
    x = pool(1, net.lrn("norm1", conv(1, x, 0, num_output=96, kernel_size=11, stride=4)))
    x = pool(2, net.lrn("norm2", conv(2, x, 0.1, num_output=256, kernel_size=5, pad=2, group=2)))
    x = conv(3, x, 0, num_output=384, kernel_size=3, pad=1)
    x = conv(4, x, 0.1, num_output=384, kernel_size=3, pad=1, group=2)
    x = pool(5, conv(5, x, 0.1, num_output=256, kernel_size=3, pad=1, group=2))
    for i in (6, 7):
        x = net.relu(f"relu{i}", net.fc(f"fc{i}", x, 4096, gaussian(0.005), 0.1))
        x = net.dropout(f"drop{i}", x, 0.5)
    net.end(net.fc("fc8", x, 1000, gaussian(0.01)))
    return net


def vgg16(training: bool) -> Net:
    """Simonyan, Zisserman 2014, configuration D, with Glorot's initial values (a note in section 3.1)."""
    net = Net("VGG_ILSVRC_16_layers", "VGG-16 (Simonyan, Zisserman 2014, configuration D).", training)
    x = net.images(224, (103.939, 116.779, 123.68), train=32, test=25, deploy=10)
    for block, (convs, channels) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for i in range(1, convs + 1):
            fields = {"num_output": channels, "kernel_size": 3, "pad": 1}
            x = net.relu(f"relu{block}_{i}", net.conv(f"conv{block}_{i}", x, fields, XAVIER))
        x = net.pool(f"pool{block}", x, {"kernel_size": 2, "stride": 2})
    for i in (6, 7):
        x = net.relu(f"relu{i}", net.fc(f"fc{i}", x, 4096, XAVIER))
        x = net.dropout(f"drop{i}", x, 0.5)
    net.end(net.fc("fc8", x, 1000, XAVIER))
    return net


# Channels of each inception module: 1x1; reduced for 3x3, 3x3; reduced for 5x5, 5x5; projected pooling.
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOL_3X3_S2 = {"kernel_size": 3, "stride": 2}


def conv_relu(net: Net, group: str, name: str, x: str, relu: str = "", **fields: int) -> str:
    """Add GoogLeNet's convolution ``group/name`` and its ReLU ``group/relu_name``."""
    x = net.conv(f"{group}/{name}", x, fields, XAVIER, 0.2)
    return net.relu(f"{group}/relu_{relu or name}", x)


def inception(net: Net, module: str, x: str) -> str:
    """Add four branches side by side, concatenated (the paper's figure 2b)."""
    one, reduced3, three, reduced5, five, projected = INCEPTIONS[module]
    group = f"inception_{module}"
    y1 = conv_relu(net, group, "1x1", x, num_output=one, kernel_size=1)
    y3 = conv_relu(net, group, "3x3_reduce", x, num_output=reduced3, kernel_size=1)
    y3 = conv_relu(net, group, "3x3", y3, num_output=three, kernel_size=3, pad=1)
    y5 = conv_relu(net, group, "5x5_reduce", x, num_output=reduced5, kernel_size=1)
    y5 = conv_relu(net, group, "5x5", y5, num_output=five, kernel_size=5, pad=2)
    yp = net.pool(f"{group}/pool", x, {"kernel_size": 3, "stride": 1, "pad": 1})
    yp = conv_relu(net, group, "pool_proj", yp, num_output=projected, kernel_size=1)
    return net.layer(f"{group}/output", "Concat", [y1, y3, y5, yp])


def auxiliary_head(net: Net, i: int, x: str) -> None:
    """Add a classifier halfway up, which sends gradient to the layers below it; its loss counts 0.3."""
    group = f"loss{i}"
    x = net.pool(f"{group}/ave_pool", x, {"kernel_size": 5, "stride": 3}, "AVE")
    x = conv_relu(net, group, "conv", x, num_output=128, kernel_size=1)
    x = net.relu(f"{group}/relu_fc", net.fc(f"{group}/fc", x, 1024, XAVIER, 0.2))
    x = net.dropout(f"{group}/drop_fc", x, 0.7)
    x = net.fc(f"{group}/classifier", x, 1000, XAVIER)
    net.losses(x, f"{group}/loss", f"{group}/loss{i}", f"{group}/top-1", f"{group}/top-5", weight=0.3)


def googlenet_stem(net: Net, x: str) -> str:
    """Add what comes before the first inception module: 224 x 224 pixels become 28 x 28 places of 192 channels."""
    x = conv_relu(net, "conv1", "7x7_s2", x, "7x7", num_output=64, kernel_size=7, stride=2, pad=3)
    x = net.lrn("pool1/norm1", net.pool("pool1/3x3_s2", x, POOL_3X3_S2))
    x = conv_relu(net, "conv2", "3x3_reduce", x, num_output=64, kernel_size=1)
    x = conv_relu(net, "conv2", "3x3", x, num_output=192, kernel_size=3, pad=1)
    return net.pool("pool2/3x3_s2", net.lrn("conv2/norm2", x), POOL_3X3_S2)


def googlenet(training: bool) -> Net:
    """Szegedy et al. 2014 with the names and initial values of BVLC's bvlc_googlenet."""
    net = Net("GoogleNet", "GoogLeNet (Szegedy et al. 2014), as BVLC's bvlc_googlenet.", training)
    x = googlenet_stem(net, net.images(224, IMAGENET_MEAN, train=32, test=50, deploy=10))
    for module in INCEPTIONS:
        x = inception(net, module, x)
        if module in ("3b", "4e"):
            x = net.pool(f"pool{module[0]}/3x3_s2", x, POOL_3X3_S2)
        if module in ("4a", "4d") and training:
            auxiliary_head(net, 1 if module == "4a" else 2, x)
    x = net.pool("pool5/7x7_s1", x, {"kernel_size": 7, "stride": 1}, "AVE")
    x = net.fc("loss3/classifier", net.dropout("pool5/drop_7x7_s1", x, 0.4), 1000, XAVIER)
    if training:
        net.losses(x, "loss3/loss3", "loss3/loss3", "loss3/top-1", "loss3/top-5")
    else:
        net.layer("prob", "Softmax", x)
    return net


RESNET_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def block_names(depth: int, stage: int, count: int) -> list[str]:
    """Name the blocks of a stage 2a, 2b, ...; in the long stages of ResNet-101 and 152 3a, 3b1, 3b2, ..."""
    if depth > 50 and stage in (3, 4):
        return [f"{stage}a", *(f"{stage}b{i}" for i in range(1, count))]
    return [f"{stage}{chr(ord('a') + i)}" for i in range(count)]


def conv_bn(net: Net, conv: str, suffix: str, x: str, fields: Fields, bias: float | None = None) -> str:
    """Add a convolution, its normalisation bn``suffix`` and the learned scale and shift scale``suffix``."""
    x = net.conv(conv, x, fields, MSRA, bias)
    fixed = NONE if net.training else {"batch_norm_param": {"use_global_stats": True}}
    net.layer(f"bn{suffix}", "BatchNorm", x, x, fixed)
    return net.layer(f"scale{suffix}", "Scale", x, x, {"scale_param": {"bias_term": True}})


def bottleneck(net: Net, block: str, x: str, channels: int, stride: int, project: bool) -> str:
    """Add x + f(x), f being 1x1, 3x3 and 1x1, of which the first strides (the paper's figure 5, right)."""

    def branch(which: str, x: str, **fields: int) -> str:
        return conv_bn(net, f"res{block}_branch{which}", f"{block}_branch{which}", x, fields)

    down = {"stride": stride} if stride > 1 else {}
    shortcut = branch("1", x, num_output=4 * channels, kernel_size=1, **down) if project else x
    y = branch("2a", x, num_output=channels, kernel_size=1, **down)
    y = branch("2b", net.relu(f"res{block}_branch2a_relu", y), num_output=channels, kernel_size=3, pad=1)
    y = branch("2c", net.relu(f"res{block}_branch2b_relu", y), num_output=4 * channels, kernel_size=1)
    return net.relu(f"res{block}_relu", net.layer(f"res{block}", "Eltwise", [shortcut, y]))


def resnet(depth: int, training: bool) -> Net:
    """He, Zhang, Ren, Sun 2015. As published, conv1 has a bias in ResNet-50 and none in 101 and 152."""
    about = f"ResNet-{depth} (He, Zhang, Ren, Sun 2015), as the authors' Caffe model."
    net = Net(f"ResNet-{depth}", about, training)
    x = net.images(224, (103.06, 115.9, 123.15), train=32, test=25, deploy=1)
    stem = {"num_output": 64, "kernel_size": 7, "stride": 2, "pad": 3}
    x = conv_bn(net, "conv1", "_conv1", x, stem, bias=0 if depth == 50 else None)
    x = net.pool("pool1", net.relu("conv1_relu", x), POOL_3X3_S2)
    for stage, count in enumerate(RESNET_BLOCKS[depth], 2):
        for i, block in enumerate(block_names(depth, stage, count)):
            stride = 2 if i == 0 and stage > 2 else 1
            x = bottleneck(net, block, x, 64 * 2 ** (stage - 2), stride, project=i == 0)
    x = net.pool("pool5", x, {"kernel_size": 7, "stride": 1}, "AVE")
    net.end(net.fc("fc1000", x, 1000, gaussian(0.01)))
    return net


NETS: dict[str, Callable[[bool], Net]] = {
    "alexnet": alexnet,
    "vgg16": vgg16,
    "googlenet": googlenet,
    "resnet50": lambda training: resnet(50, training),
    "resnet101": lambda training: resnet(101, training),
    "resnet152": lambda training: resnet(152, training),
}
KINDS = ("train_val", "deploy")


def prototxt(net: str, kind: str) -> str:
    """Return the text of ``kind`` (train_val or deploy) of a net in ``NETS``."""
    return str(NETS[net](kind == "train_val"))


def main(arguments: list[str]) -> int:
    """Write every committed file, or print the one that the arguments name; return the exit code."""
    if not arguments:
        for folder in (Path(__file__).parent / net for net in NETS):
            for kind in KINDS if folder.is_dir() else ():
                (folder / f"{kind}.prototxt").write_text(prototxt(folder.name, kind), encoding="utf-8")
        return 0
    if len(arguments) == 2 and arguments[0] in NETS and arguments[1] in KINDS:
        sys.stdout.write(prototxt(*arguments))
        return 0
    sys.stderr.write(f"usage: generate.py [{'|'.join(NETS)} {'|'.join(KINDS)}]\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
