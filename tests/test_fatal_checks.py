"""Caffe's checks that end the process are exceptions here: each names the layer, its place and what is wrong.

One line a check of BVLC Caffe. Checks of weights, states, solvers and data are tested beside those.
"""

from __future__ import annotations

import pytest

from caffelite import errors
from caffelite.model import Model
from caffelite.prototxt.source import parse_net


def given(name: str = "x", dims: str = "2 3 8 8") -> str:
    shape = " ".join(f"dim: {dim}" for dim in dims.split())
    return (
        f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ {shape} }} }} }}\n'
    )


def layer(type_: str, param: str = "", bottoms: str = "x", tops: str = "y", extra: str = "") -> str:
    ends = "".join(f'bottom: "{b}" ' for b in bottoms.split()) + "".join(f'top: "{t}" ' for t in tops.split())
    return f'layer {{ name: "l" type: "{type_}" {ends}{param} {extra} }}\n'


X = given()
XZ = X + given("z")
CONVOLUTION = "convolution_param { %s }"
FILLER = "inner_product_param { num_output: 2 weight_filler { %s } }"

# what it is about, the net, the exception, and what it says
# fmt: off
CHECKS = [
    ('Softmax', XZ + layer("Softmax",bottoms="x z"), 'NetError', 'expected 1 bottom blob(s) (x), got 2'),
    ('loss_weight', X + layer("ReLU",extra="loss_weight: 1 loss_weight: 2"), 'NetError', 'expected no loss_weight or one for each of 1 tops, got 2'),
    ('params', X + layer("ReLU",extra="param { lr_mult: 1 }"), 'NetError', 'expected at most 0 param entries, got 1'),
    ('propagate_down', X + layer("ReLU",extra="propagate_down: true propagate_down: true"), 'NetError', 'expected no propagate_down or one for each of 1 bottoms, got 2'),
    ('incl', X + layer("ReLU",extra="include { phase: TEST } exclude { phase: TRAIN }"), 'NetError', 'expected include rules or exclude rules, got both'),
    ('dup', X + given("y") + layer("ReLU"), 'NetError', "top 'y' is already produced by layer 'in_y'"),
    ('unknown bottom', X + layer("ReLU",bottoms="xx"), 'UnknownNameError', "bottom 'xx' is produced by no earlier layer"),
    ('Reshape inplace', X + layer("Reshape","reshape_param { shape { dim: -1 } }",tops="x"), 'ShapeError', "expected a top of the bottom's shape to overwrite 'x' in place, got (2, 3, 8, 8) -> (384,)"),
    ('Flatten inplace', X + layer("Flatten",tops="x"), 'ShapeError', "expected a top of the bottom's shape to overwrite 'x' in place, got (2, 3, 8, 8) -> (2, 192)"),
    ('Accuracy topk', given(dims="2 3") + given("lab","2") + layer("Accuracy","accuracy_param { top_k: 4 }","x lab"), 'NetError', 'expected top_k from 1 to 3, the number of classes, got 4'),
    ('Accuracy labels', given(dims="2 3") + given("lab","3") + layer("Accuracy","","x lab"), 'ShapeError', 'expected one label for each of 2 predictions (all axes of x but axis 1), got x=(2, 3), label=(3,)'),
    ('BatchNorm lr', X + layer("BatchNorm",extra="param { lr_mult: 1 }"), 'NetError', 'expected lr_mult: 0 for statistics, which no solver may touch, got 1 in param 0'),
    ('Bias', X + given("z","5") + layer("Bias","","x z"), 'ShapeError', 'expected bias of the shape that x has from axis 1 on, got x=(2, 3, 8, 8), bias=(5,)'),
    ('Clip one bound', X + layer("Clip","clip_param { min: 1 }"), 'PrototxtError', "clip_param has no 'max', which it needs"),
    ('Concat both', XZ + layer("Concat","concat_param { axis: 1 concat_dim: 1 }","x z"), 'NetError', 'expected either axis or concat_dim, got both'),
    ('Concat shapes', X + given("z","2 3 8 7") + layer("Concat","","x z"), 'ShapeError', 'expected bottoms that differ in axis 1 only, got x[0]=(2, 3, 8, 8), x[1]=(2, 3, 8, 7)'),
    ('Concat axis', XZ + layer("Concat","concat_param { axis: 4 }","x z"), 'NetError', 'expected an axis from -4 to 3 for a bottom with 4 axes, got 4'),
    ('conv num_output', X + layer("Convolution",CONVOLUTION % "kernel_size: 3"), 'NetError', 'expected num_output >= 1, got 0'),
    ('conv kernel', X + layer("Convolution",CONVOLUTION % "num_output: 3"), 'NetError', 'expected kernel_size once or once for each of 2 spatial axes, got 0 values'),
    ('conv kernel both', X + layer("Convolution",CONVOLUTION % "num_output: 3 kernel_size: 3 kernel_h: 2 kernel_w: 2"), 'NetError', 'expected either kernel_size or kernel_h and kernel_w, got both'),
    ('conv kernel_h only', X + layer("Convolution",CONVOLUTION % "num_output: 3 kernel_h: 2"), 'NetError', 'expected kernel_size >= 1, got 2x0'),
    ('conv kernel 3', X + layer("Convolution",CONVOLUTION % "num_output: 3 kernel_size: 3 kernel_size: 3 kernel_size: 3"), 'NetError', 'expected kernel_size once or once for each of 2 spatial axes, got 3 values'),
    ('conv stride 0', X + layer("Convolution",CONVOLUTION % "num_output: 3 kernel_size: 3 stride: 0"), 'NetError', 'expected stride >= 1, got 0'),
    ('conv group in', X + layer("Convolution",CONVOLUTION % "num_output: 4 kernel_size: 3 group: 2"), 'ShapeError', 'expected channels in multiples of group 2, got x=(2, 3, 8, 8) with 3 channels'),
    ('conv group out', given(dims="2 4 8 8") + layer("Convolution",CONVOLUTION % "num_output: 3 kernel_size: 3 group: 2"), 'NetError', 'expected num_output in multiples of group 2, got 3'),
    ('conv too large', X + layer("Convolution",CONVOLUTION % "num_output: 3 kernel_size: 9"), 'ShapeError', 'expected a kernel that fits the padded 8x8 input, got kernel 9x9, dilation 1x1, pad 0x0, stride 1x1, which gives an output of 0x0'),
    ('conv shapes', X + given("z","2 3 8 7") + layer("Convolution",CONVOLUTION % "num_output: 3 kernel_size: 3","x z","y w"), 'ShapeError', 'expected bottoms of one shape, since they share weights, got x[0]=(2, 3, 8, 8), x[1]=(2, 3, 8, 7)'),
    ('conv tops', XZ + layer("Convolution",CONVOLUTION % "num_output: 3 kernel_size: 3","x z","y"), 'NetError', 'expected as many tops as bottoms, got 2 bottoms and 1 tops'),
    ('crop', X + given("z","2 3 4 4") + layer("Crop","crop_param { offset: 5 }","x z"), 'ShapeError', 'expected a crop within axis 2, which has 8 elements, got 4 from offset 5, x=(2, 3, 8, 8), like=(2, 3, 4, 4)'),
    ('crop offsets', X + given("z","2 3 4 4") + layer("Crop","crop_param { offset: 1 offset: 1 offset: 1 }","x z"), 'NetError', 'expected no offset, one, or one for each of 2 axes, got 3'),
    ('dummy mixed', layer("DummyData","dummy_data_param { shape { dim: 2 } num: 1 }",""), 'NetError', 'expected either shape or num, channels, height and width, got both'),
    ('dummy fillers', layer("DummyData","dummy_data_param { shape { dim: 2 } data_filler { } data_filler { } data_filler { } }","","a b"), 'NetError', 'expected data_filler once, or once for each of 2 tops, got 3 times'),
    ('eltwise coeff', XZ + layer("Eltwise","eltwise_param { coeff: 1 coeff: 2 coeff: 3 }","x z"), 'NetError', 'expected one coeff for each of 2 bottoms, got 3'),
    ('eltwise coeff prod', XZ + layer("Eltwise","eltwise_param { operation: PROD coeff: 1 coeff: 2 }","x z"), 'NetError', 'expected coeff only with SUM, got PROD'),
    ('eltwise shapes', X + given("z","2 3 8 7") + layer("Eltwise","","x z"), 'ShapeError', 'expected bottoms of one shape, got x[0]=(2, 3, 8, 8), x[1]=(2, 3, 8, 7)'),
    ('eltwise one', X + layer("Eltwise","","x"), 'NetError', 'expected at least 2 bottoms, got 1'),
    ('embed dim', given(dims="2") + layer("Embed","embed_param { num_output: 3 }"), 'NetError', 'expected input_dim >= 1, got 0'),
    ('euclid', X + given("z","2 3 8 7") + layer("EuclideanLoss","","x z"), 'ShapeError', 'expected x and target with as many items of as many elements, got x=(2, 3, 8, 8), target=(2, 3, 8, 7)'),
    ('euclid batch', X + given("z","3 3 8 8") + layer("EuclideanLoss","","x z"), 'ShapeError', 'expected x and target with as many items of as many elements, got x=(2, 3, 8, 8), target=(3, 3, 8, 8)'),
    ('exp base', X + layer("Exp","exp_param { base: -2 }"), 'NetError', 'expected base > 0, or -1 for e, got -2'),
    ('log base', X + layer("Log","log_param { base: 0 }"), 'NetError', 'expected base > 0 and not 1, or -1 for e, got 0'),
    ('hinge', X + given("z","2") + layer("HingeLoss","hinge_loss_param { norm: 3 }","x z"), 'PrototxtError', 'norm: expected one of L1, L2, got 3'),
    ('ip', X + layer("InnerProduct"), 'NetError', 'expected num_output >= 1, got 0'),
    ('ip axis', X + layer("InnerProduct","inner_product_param { num_output: 2 axis: 4 }"), 'NetError', 'expected an axis from -4 to 3 for a bottom with 4 axes, got 4'),
    ('input shapes', layer("Input","input_param { shape { dim: 1 } shape { dim: 1 } shape { dim: 1 } }","","a b"), 'NetError', 'expected shape once, or once for each of 2 tops, got 3 times'),
    ('lrn even', X + layer("LRN","lrn_param { local_size: 4 }"), 'NetError', 'expected an odd local_size, got 4'),
    ('lrn 3-D', given(dims="2 3 8") + layer("LRN"), 'ShapeError', 'expected x (N, C, H, W), got x=(2, 3, 8)'),
    ('memory', layer("MemoryData","memory_data_param { batch_size: 2 channels: 3 height: 0 width: 2 }","","d t"), 'NetError', 'expected height >= 1, got 0'),
    ('pool kernel', X + layer("Pooling"), 'NetError', 'expected a kernel size, got none'),
    ('pool both', X + layer("Pooling","pooling_param { kernel_size: 2 kernel_h: 2 kernel_w: 2 }"), 'NetError', 'expected either kernel_size or kernel_h and kernel_w, got both'),
    ('pool pad', X + layer("Pooling","pooling_param { kernel_size: 2 pad: 2 }"), 'NetError', 'expected pad smaller than the kernel, got pad (2, 2), kernel (2, 2)'),
    ('pool global', X + layer("Pooling","pooling_param { kernel_size: 2 global_pooling: true }"), 'NetError', 'expected no kernel size with global_pooling: true, got one'),
    ('pool global pad', X + layer("Pooling","pooling_param { pad: 1 global_pooling: true }"), 'NetError', 'expected pad 0 and stride 1 with global_pooling, got pad (1, 1), stride (1, 1)'),
    ('prelu', given(dims="3") + layer("PReLU"), 'ShapeError', 'expected x (N, C, *S) with at least 2 axes, got x=(3,)'),
    ('reduction', X + layer("Reduction","reduction_param { axis: 5 }"), 'NetError', 'expected an axis from -4 to 3 for a bottom with 4 axes, got 5'),
    ('reshape count', X + layer("Reshape","reshape_param { shape { dim: 7 } }"), 'ShapeError', 'expected x with 7 elements for (7,), got x=(2, 3, 8, 8) with 384'),
    ('reshape -1 -1', X + layer("Reshape","reshape_param { shape { dim: -1 dim: -1 } }"), 'NetError', 'expected dims of 0 or more, and at most one -1, got (-1, -1)'),
    ('reshape div', X + layer("Reshape","reshape_param { shape { dim: 7 dim: -1 } }"), 'ShapeError', 'expected x with a multiple of 7 elements to infer dim: -1, got x=(2, 3, 8, 8) with 384'),
    ('reshape axis', X + layer("Reshape","reshape_param { axis: 6 shape { dim: -1 } }"), 'NetError', 'expected an axis from -5 to 4 for a bottom with 4 axes, got 6'),
    ('scale axis', X + layer("Scale","scale_param { axis: 3 num_axes: 2 }"), 'NetError', 'expected num_axes from -1 to 1, got 2'),
    ('scale shapes', X + given("z","4") + layer("Scale","","x z"), 'ShapeError', 'expected scale of the shape that x has from axis 1 on, got x=(2, 3, 8, 8), scale=(4,)'),
    ('sce', X + given("z","2 3 8 7") + layer("SigmoidCrossEntropyLoss","","x z"), 'ShapeError', 'expected x and target with as many items of as many elements, got x=(2, 3, 8, 8), target=(2, 3, 8, 7)'),
    ('slice points', X + layer("Slice","slice_param { slice_point: 1 slice_point: 1 }","x","a b c"), 'NetError', 'expected rising slice points between 0 and 3, got (1, 1)'),
    ('slice count', X + layer("Slice","slice_param { slice_point: 1 }","x","a b c"), 'NetError', 'expected 2 slice points for 3 tops, got (1,)'),
    ('slice div', X + layer("Slice","","x","a b"), 'ShapeError', 'expected axis 1 of x to divide by 2 tops, got x=(2, 3, 8, 8)'),
    ('slice both', X + layer("Slice","slice_param { axis: 1 slice_dim: 1 }","x","a b c"), 'NetError', 'expected either axis or slice_dim, got both'),
    ('softmaxloss labels', X + given("z","5") + layer("SoftmaxWithLoss","","x z"), 'ShapeError', 'expected one label for each of 128 predictions (all axes of x but axis 1), got x=(2, 3, 8, 8), label=(5,)'),
    ('softmax axis', X + layer("Softmax","softmax_param { axis: 4 }"), 'NetError', 'expected an axis from -4 to 3 for a bottom with 4 axes, got 4'),
    ('tile', X + layer("Tile"), 'NetError', 'expected tiles >= 1, got 0'),
    ('unknown type', X + layer("Convolutoin"), 'UnknownNameError', "unknown type 'Convolutoin'; did you mean 'Convolution'?"),
    ('filler', X + layer("InnerProduct",FILLER % 'type: "foo"'), 'NetError', "expected a filler type of constant, uniform, gaussian, positive_unitball, xavier, msra, bilinear in the filler of W, got 'foo'"),
    ('filler std', X + layer("InnerProduct",FILLER % 'type: "gaussian" std: 0'), 'NetError', 'expected std > 0 in the filler of W, got 0'),
    ('filler uniform', X + layer("InnerProduct",FILLER % 'type: "uniform" min: 1 max: 0'), 'NetError', 'expected min <= max in the filler of W, got min 1, max 0'),
    ('filler sparse', X + layer("InnerProduct",FILLER % 'type: "xavier" sparse: 1'), 'NetError', 'expected sparse only with type: "gaussian" in the filler of W, got \'xavier\''),
    ('filler bilinear', X + layer("InnerProduct",FILLER % 'type: "bilinear"'), 'NetError', 'expected a 4-D weight with square kernels in the filler of W, got (2, 192)'),
    ('bnparam', X + layer("BatchNorm",extra="param { lr_mult: 1 } param { lr_mult: 1 }"), 'NetError', 'expected lr_mult: 0 for statistics, which no solver may touch, got 1 in param 0'),
    ('both', X + 'layers { name: "q" type: RELU bottom: "x" top: "y" }', 'PrototxtError', "the net has both 'layer' (current form) and 'layers' (form of 2014) fields"),
    ('argmax', X + layer("ArgMax","argmax_param { top_k: 0 }"), 'NetError', 'expected top_k from 1 to 192, got 0'),
    ('argmax axis', X + layer("ArgMax","argmax_param { top_k: 9 axis: 1 }"), 'NetError', 'expected top_k from 1 to 3, got 9'),
    ('dropout', X + layer("Dropout","dropout_param { dropout_ratio: 1 }"), 'NetError', 'expected 0 <= dropout_ratio < 1, got 1'),
    ('batchreindex', X + given("z","2 2") + layer("BatchReindex","","x z"), 'ShapeError', 'expected x (N, *S) and index (M,), got x=(2, 3, 8, 8), index=(2, 2)'),
    ('contrastive', given(dims="2 3") + given("z","2 4") + given("s","2") + layer("ContrastiveLoss","","x z s"), 'ShapeError', 'expected x and other with as many items of as many elements, got x=(2, 3), other=(2, 4)'),
    ('filter', X + given("z","3") + layer("Filter","","x z"), 'ShapeError', 'expected as many items in each x as in selector, got x[0]=(2, 3, 8, 8), selector=(3,)'),
    ('im2col', X + layer("Im2col"), 'NetError', 'expected kernel_size once or once for each of 2 spatial axes, got 0 values'),
    ('infogain', given(dims="2 3") + given("z","2") + layer("InfogainLoss","","x z"), 'NetError', 'expected the matrix H, got none'),
    ('infogain normalize', given(dims="2 3") + given("z","2") + given("h","1 1 3 3") + layer("InfogainLoss","loss_param { normalize: true }","x z h"), 'NetError', 'expected normalization, since normalize is deprecated, got normalize'),
    ('infogain H', given(dims="2 3") + given("z","2") + given("h","1 1 3 4") + layer("InfogainLoss","","x z h"), 'ShapeError', 'expected H of 3 by 3 classes, got H=(1, 1, 3, 4)'),
    ('lstm', given(dims="4 2 3") + given("c","4 2") + layer("LSTM","","x c"), 'NetError', 'expected num_output >= 1, got 0'),
    ('lstm cont', given(dims="4 2 3") + given("c","4 3") + layer("LSTM","recurrent_param { num_output: 3 }","x c"), 'ShapeError', 'expected cont (4, 2) beside x (T=4, N=2, ...) and num_output 3, got cont=(4, 3)'),
    ('rnn hidden', given(dims="4 2 3") + given("c","4 2") + layer("RNN","recurrent_param { num_output: 3 expose_hidden: true }","x c"), 'NetError', 'expected 3 to 4 bottom blob(s) (x, cont, static, h_0), got 2'),
    ('lstmunit', given(dims="2 2 3") + given("c","1 2 12") + given("q","1 2") + layer("LSTMUnit","","x c q","a b"), 'ShapeError', 'expected c_prev (1, N, H), got c_prev=(2, 2, 3)'),
    ('multinomial', given(dims="2 3") + given("z","3") + layer("MultinomialLogisticLoss","","x z"), 'ShapeError', 'expected one label for each of 2 predictions (all axes of x but axis 1), got x=(2, 3), label=(3,)'),
    ('spp0', given(dims="2 3 7 5") + layer("SPP",""), 'NetError', 'expected pyramid_height from 1 to 15, got 0'),
    ('image hw', layer("ImageData",'image_data_param { source: "nowhere.txt" batch_size: 1 new_height: 3 }',"","d t"), 'NetError', 'expected both new_height and new_width, or neither, got 3 and 0'),
]
# fmt: on


@pytest.mark.parametrize(
    ("net", "error", "said"), [check[1:] for check in CHECKS], ids=[check[0] for check in CHECKS]
)
def test_a_check_is_an_exception(net: str, error: str, said: str) -> None:
    with pytest.raises(getattr(errors, error)) as caught:
        Model(parse_net(net, "net.prototxt"), 0)
    message = str(caught.value)
    assert message.startswith(("layer 'l'", "net.prototxt:")), message
    assert "net.prototxt:" in message.splitlines()[0]
    assert said in message
