"""Small nets for the tests of exports: one for deployment, and one for training."""

from __future__ import annotations

from caffelite.model import Model
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

from .conftest import randomize

INPUT = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }\n'
)
CONV = (
    'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 } }\n'
    'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }\n'
)
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 5 } }\n'
DROP = 'layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" }\n'
PROB = 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }\n'
DEPLOY = 'name: "small"\n' + INPUT + CONV + FC + DROP + PROB
TRAIN_VAL = (
    'name: "small"\n'
    'layer { name: "db" type: "Data" top: "data" top: "label" data_param { source: "none" batch_size: 2 backend: LMDB } include { phase: TEST } }\n'
    'layer { name: "db" type: "Data" top: "data" top: "label" data_param { source: "none" batch_size: 9 backend: LMDB } include { phase: TRAIN } }\n'
    + CONV + FC + DROP
    + 'layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" include { phase: TEST } }\n'
    'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'
)  # fmt: skip


def model(text: str = DEPLOY, **options: object) -> Model:
    made = Model(parse_net(text, "net.prototxt"), Phase.TEST, seed=0, **options)  # type: ignore[arg-type]
    randomize(made)
    return made
