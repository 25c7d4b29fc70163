"""What was published about the nets in ``models/``, and where: the numbers that the tests hold the files to.

``parameters`` counts what a solver learns: weights, biases, and the scale and shift after batch normalisation.
``statistics`` counts what BatchNorm keeps beside that (mean, variance and one factor for each layer); a
caffemodel holds both. ``macs`` counts the multiply-accumulates of one image in convolutions and inner products.

Sources:

- Parameters of AlexNet, VGG-16, GoogLeNet and, statistics included, of the ResNets: the table of models in
  HewlettPackard/dlcookbook-dlbs, ``docs``, taken from the authors' prototxt files (25,610,269 for ResNet-50,
  44,654,608 for ResNet-101, 60,344,387 for ResNet-152).
- ResNet without statistics: 25,557,032, 44,549,160 and 60,192,808 (torchvision); the authors' ResNet-50 has 64
  more, because its first convolution kept a bias.
- GoogLeNet with both auxiliary heads: 13,378,280, as every full implementation of the paper counts.
- Multiply-accumulates: the papers give 1.5e9 for GoogLeNet (section 1) and 3.8e9, 7.6e9 and 11.3e9 for the ResNets
  (table 1); 724,406,816 for AlexNet with its groups and 15,470,264,320 for VGG-16 are counted in many places.
- LeNet: Caffe's MNIST example, by hand: 520 + 25,050 + 400,500 + 5,010 parameters and
  288,000 + 1,600,000 + 400,000 + 5,000 multiply-accumulates.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """Totals of one net."""

    parameters: int
    macs: int
    statistics: int = 0


DEPLOY = {
    "lenet": Published(431_080, 2_293_000),
    "alexnet": Published(60_965_224, 724_406_816),
    "vgg16": Published(138_357_544, 15_470_264_320),
    "googlenet": Published(6_998_552, 1_582_671_872),
    "resnet50": Published(25_557_032 + 64, 3_857_973_248, statistics=53_173),
    "resnet101": Published(44_549_160, 7_570_194_432, statistics=105_448),
    "resnet152": Published(60_192_808, 11_282_415_616, statistics=151_579),
}
"""The nets that classify. ``deploy`` and ``train_val`` differ only for GoogLeNet."""

GOOGLENET_WITH_HEADS = Published(13_378_280, 1_591_044_096)

ROUNDED_MACS = {
    "alexnet": 0.72e9,
    "vgg16": 15.5e9,
    "googlenet": 1.6e9,
    "resnet50": 3.9e9,
    "resnet101": 7.6e9,
    "resnet152": 11.3e9,
}
"""As the papers and their tables round them."""
