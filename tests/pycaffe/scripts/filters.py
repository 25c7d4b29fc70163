# Filters and feature maps as pictures.
import numpy as np

import caffe


def vis_square(data):
    """Take an array of shape (n, height, width) or (n, height, width, 3) and make a sqrt(n) by sqrt(n) grid."""
    data = (data - data.min()) / (data.max() - data.min())
    n = int(np.ceil(np.sqrt(data.shape[0])))
    padding = (((0, n ** 2 - data.shape[0]), (0, 1), (0, 1)) + ((0, 0),) * (data.ndim - 3))
    data = np.pad(data, padding, mode='constant', constant_values=1)
    data = data.reshape((n, n) + data.shape[1:]).transpose((0, 2, 1, 3) + tuple(range(4, data.ndim + 1)))
    return data.reshape((n * data.shape[1], n * data.shape[3]) + data.shape[4:])


net = caffe.Net('deploy.prototxt', caffe.TEST, weights='small.caffemodel')
net.blobs['data'].data[...] = np.random.RandomState(0).randn(*net.blobs['data'].data.shape)
net.forward()

# the parameters are a list of [weights, biases]
filters = net.params['conv1'][0].data
grid = vis_square(filters.transpose(0, 2, 3, 1))
print('filters %s' % (grid.shape,))

feat = net.blobs['conv1'].data[0, :36]
print('conv1 %s %.3f' % (vis_square(feat).shape, feat.min()))
feat = net.blobs['pool5'].data[0]
print('pool5 %s' % (vis_square(feat).shape,))

# the rectified outputs of fc6 and their histogram
feat = net.blobs['fc6'].data[0]
hist, edges = np.histogram(feat.flat[feat.flat > 0], bins=100)
print('fc6 %d %d' % (feat.size, hist.sum() + (feat == 0).sum()))

# reshaped and flat, as reading always works
maps = net.blobs['conv1'].data.reshape(10, -1)
print('flat %s' % np.array_equal(maps[3], net.blobs['conv1'].data[3].flatten()))
