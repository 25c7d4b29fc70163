"""Nets of forks in old forms."""

import pytest

from caffelite.errors import PrototxtError
from caffelite.prototxt.source import parse_net


def test_deeplabs_first_version():
    source = parse_net("""
        name: "deeplab"
        layers { name: "data" type: IMAGE_SEG_DATA top: "data" top: "label"
                 image_data_param { source: "list" batch_size: 2 label_type: PIXEL }
                 include: { phase: TRAIN } }
        layers { name: "fc6" type: CONVOLUTION bottom: "data" top: "fc6" strict_dim: false blobs_lr: 1 blobs_lr: 2
                 convolution_param { num_output: 4 pad: 12 hole: 12 kernel_size: 3 } }
        layers { name: "shrink" type: INTERP bottom: "label" top: "small" interp_param { shrink_factor: 8 } }
        layers { name: "loss" type: SOFTMAX_LOSS bottom: "fc6" bottom: "small" softmaxloss_param { ignore_label: 255 } }
        layers { name: "score" type: SEG_ACCURACY bottom: "fc6" bottom: "small" top: "score"
                 seg_accuracy_param { ignore_label: 255 } }""")
    layers = source.message.layer
    types = ["ImageSegData", "Convolution", "Interp", "SoftmaxWithLoss", "SegAccuracy"]
    assert [layer.type for layer in layers] == types
    assert list(layers[1].convolution_param.dilation) == [12]
    assert [param.lr_mult for param in layers[1].param] == [1, 2]
    assert layers[2].interp_param.shrink_factor == 8
    assert layers[3].loss_param.ignore_label == 255
    assert list(layers[4].seg_accuracy_param.ignore_label) == [255]
    assert source.notes[1:] == [
        "layer 'fc6': strict_dim dropped; weights must have the layer's shape",
        "layer 'fc6': hole became dilation",
    ]


def test_holes_of_two_sizes():
    text = 'layer { name: "c" type: "Convolution" convolution_param { num_output: 1 hole_h: 3 } }'
    param = parse_net(text).message.layer[0].convolution_param
    assert (param.dilation_h, param.dilation_w, list(param.dilation)) == (3, 1, [])


def test_losses_without_a_current_form():
    text = (
        'layers { name: "loss" type: SOFTMAX_LOSS\n softmaxloss_param { ignore_label: 1 ignore_label: 2 } }'
    )
    with pytest.raises(PrototxtError, match=r"<text>:2:2: layer 'loss': expected at most one ignore_label"):
        parse_net(text)


def test_segnets_old_form():
    source = parse_net("""
        layers { name: "data" type: DENSE_IMAGE_DATA top: "x" top: "label" dense_image_data_param { source: "list" } }
        layers { name: "up" type: UPSAMPLE bottom: "x" bottom: "mask" top: "y" upsample_param { scale: 2 } }""")
    assert [layer.type for layer in source.message.layer] == ["DenseImageData", "Upsample"]
    assert source.message.layer[1].upsample_param.scale == 2


def test_fast_rcnns_old_form():
    source = parse_net("""
        layers { name: "roi" type: ROI_POOLING bottom: "x" bottom: "rois" top: "y" roi_pooling_param { pooled_w: 7 } }
        layers { name: "l" type: SMOOTH_L1_LOSS bottom: "y" bottom: "t" bottom: "w" smooth_l1_loss_param { sigma: 3 } }""")
    assert [layer.type for layer in source.message.layer] == ["ROIPooling", "SmoothL1Loss"]
    assert source.message.layer[0].roi_pooling_param.pooled_w == 7
    assert source.message.layer[1].smooth_l1_loss_param.sigma == 3
