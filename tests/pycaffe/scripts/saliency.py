# Which pixels matter for a class: one-hot gradients, Grad-CAM, occlusion.
import numpy as np

import caffe

text = open('deploy.prototxt').read()
open('saliency.prototxt', 'w').write('force_backward: true\n' + text)
net = caffe.Net('saliency.prototxt', caffe.TEST, weights='small.caffemodel')
net.blobs['data'].reshape(2, 3, 35, 35)
net.reshape()
x = np.random.RandomState(2).randn(2, 3, 35, 35).astype(np.float32)
net.blobs['data'].data[...] = x
net.forward()
label = int(net.blobs['fc8'].data[0].argmax())

# by hand
net.blobs['fc8'].diff[...] = 0
net.blobs['fc8'].diff[0][label] = 1
net.backward(start='fc8')
grad = net.blobs['data'].diff[0].copy()
print('saliency', np.abs(grad).max(axis=0).shape, net.blobs['data'].diff[1].any())

# by keywords through the softmax
caffeLabel = np.zeros((2, 7))
caffeLabel[0, label] = 1
bw = net.backward(**{net.outputs[0]: caffeLabel})
print('keys', sorted(bw.keys()), bool(np.abs(bw['data'][0]).max() > 0))

# the one-hot gradient against finite differences
i = np.unravel_index(np.abs(grad).argmax(), grad.shape)
step = 0.01
scores = []
for sign in (1, -1):
    y = x.copy()
    y[(0,) + i] += sign * step
    net.blobs['data'].data[...] = y
    net.forward(end='fc8')
    scores.append(float(net.blobs['fc8'].data[0, label]))
print('checked', abs((scores[0] - scores[1]) / (2 * step) - grad[i]) < 0.02 * abs(grad[i]) + 1e-4)

# Grad-CAM on the last feature map
net.blobs['data'].data[...] = x
net.forward()
net.blobs['fc8'].diff[...] = 0
net.blobs['fc8'].diff[0][label] = 1
diffs = net.backward(diffs=['pool5'], start='fc8')
weights = diffs['pool5'][0].mean(axis=(1, 2))
cam = np.maximum((weights[:, np.newaxis, np.newaxis] * net.blobs['pool5'].data[0]).sum(axis=0), 0)
print('cam', cam.shape)

# switch feature maps off and go on from there
before = net.blobs['prob'].data[0].copy()
net.blobs['pool5'].data[0, np.argsort(weights)[-8:]] = 0
net.forward(start='fc6')
print('ablated', net.blobs['prob'].data[0, label] < before[label])
net.blobs['pool5'].data.flat = 0
net.forward(start='fc6')
print('only biases', np.allclose(net.blobs['prob'].data[0], net.blobs['prob'].data[1]))
