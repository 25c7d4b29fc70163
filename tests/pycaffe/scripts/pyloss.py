import caffe
import numpy as np


class EuclideanLossLayer(caffe.Layer):
    """The Euclidean loss, to show how a loss is written in Python."""

    def setup(self, bottom, top):
        # check input pair
        if len(bottom) != 2:
            raise Exception("Need two inputs to compute distance.")

    def reshape(self, bottom, top):
        # check input dimensions match
        if bottom[0].count != bottom[1].count:
            raise Exception("Inputs must have the same dimension.")
        # difference is shape of inputs
        self.diff = np.zeros_like(bottom[0].data, dtype=np.float32)
        # loss output is scalar
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2.

    def backward(self, top, propagate_down, bottom):
        for i in range(2):
            if not propagate_down[i]:
                continue
            if i == 0:
                sign = 1
            else:
                sign = -1
            bottom[i].diff[...] = sign * self.diff / bottom[i].num


class LineLayer(caffe.Layer):
    """Points on a noisy plane, another batch each time."""

    def setup(self, bottom, top):
        params = eval(self.param_str)
        self.batch_size = params['batch_size']
        self.weights = np.array(params['weights'], dtype=np.float32)
        self.rng = np.random.RandomState(params.get('seed', 0))
        self.phase_name = 'train' if self.phase == caffe.TRAIN else 'test'
        if len(top) != 2:
            raise Exception("Need two tops: points and heights.")
        if len(bottom) != 0:
            raise Exception("Do not define a bottom.")

    def reshape(self, bottom, top):
        top[0].reshape(self.batch_size, len(self.weights))
        top[1].reshape(self.batch_size, 1)

    def forward(self, bottom, top):
        x = self.rng.randn(self.batch_size, len(self.weights))
        for i in range(self.batch_size):
            top[0].data[i, ...] = x[i]
            top[1].data[i, 0] = x[i].dot(self.weights)

    def backward(self, top, propagate_down, bottom):
        pass


class ScaleByLayer(caffe.Layer):
    """A layer with a weight of its own."""

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = 1

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data[0] * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] += np.sum(top[0].diff * bottom[0].data)
        if propagate_down[0]:
            bottom[0].diff[...] = self.blobs[0].data[0] * top[0].diff
