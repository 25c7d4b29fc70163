"""MemoryData: the batches go round."""

import numpy as np

from caffelite.testing import make_layer


def test_batches_go_round():
    layer = make_layer(
        "MemoryData", "memory_data_param { batch_size: 2 channels: 1 height: 1 width: 1 }", bottoms=0, tops=2
    )
    layer.set_arrays(np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1), np.arange(4, dtype=np.float32))
    data, label = (np.empty(shape, np.float32) for shape in layer.next_shapes())
    seen = []
    for _ in range(3):
        layer.forward(np, data, label)
        seen.append((data.ravel().tolist(), label.ravel().tolist()))
    assert seen == [([0, 1], [0, 1]), ([2, 3], [2, 3]), ([0, 1], [0, 1])]


def test_labels_are_one_number_an_item_until_the_first_pass():
    text = "memory_data_param { batch_size: 2 channels: 3 height: 1 width: 4 }"
    layer = make_layer("MemoryData", text, bottoms=0, tops=2)
    assert layer.infer([]) == [(2, 3, 1, 4), (2,)]
    assert layer.next_shapes() == [(2, 3, 1, 4), (2, 1, 1, 1)]
