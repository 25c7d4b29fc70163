# Deep dream: gradient ascent on the image, in octaves.
import numpy as np
from google.protobuf import text_format

import caffe

# Patching model to be able to compute gradients.
model = caffe.io.caffe_pb2.NetParameter()
text_format.Merge(open('deploy.prototxt').read(), model)
model.force_backward = True
# without the layers behind the convolutions images may have any size
keep = [l for l in model.layer if l.name in ('conv1', 'relu1', 'pool1', 'norm1', 'conv2', 'relu2', 'pool5')]
del model.layer[:]
model.layer.extend(keep)
open('tmp.prototxt', 'w').write(str(model))

net = caffe.Classifier('tmp.prototxt', 'small.caffemodel',
                       mean=np.float32([104.0, 116.0, 122.0]), channel_swap=(2, 1, 0))


def preprocess(net, img):
    return np.float32(np.rollaxis(img, 2)[::-1]) - net.transformer.mean['data']


def deprocess(net, img):
    return np.dstack((img + net.transformer.mean['data'])[::-1])


def objective_L2(dst):
    dst.diff[:] = dst.data


def make_step(net, step_size=1.5, end='pool5', jitter=2, clip=True, objective=objective_L2):
    '''Basic gradient ascent step.'''
    src = net.blobs['data']  # input image is stored in Net's 'data' blob
    dst = net.blobs[end]

    ox, oy = np.random.randint(-jitter, jitter + 1, 2)
    src.data[0] = np.roll(np.roll(src.data[0], ox, -1), oy, -2)  # apply jitter shift

    net.forward(end=end)
    objective(dst)  # specify the optimization objective
    net.backward(start=end)
    g = src.diff[0]
    # apply normalized ascent step to the input image
    src.data[:] += step_size / np.abs(g).mean() * g

    src.data[0] = np.roll(np.roll(src.data[0], -ox, -1), -oy, -2)  # unshift image
    if clip:
        bias = net.transformer.mean['data']
        src.data[:] = np.clip(src.data, -bias, 255 - bias)


def zoom(a, factors):
    rows = (np.arange(int(round(a.shape[-2] * factors[-2]))) / factors[-2]).astype(np.int)
    cols = (np.arange(int(round(a.shape[-1] * factors[-1]))) / factors[-1]).astype(np.int)
    return a[..., rows.clip(0, a.shape[-2] - 1), :][..., cols.clip(0, a.shape[-1] - 1)]


def deepdream(net, base_img, iter_n=4, octave_n=3, octave_scale=1.4, end='pool5', **step_params):
    octaves = [preprocess(net, base_img)]
    for i in range(octave_n - 1):
        octaves.append(zoom(octaves[-1], (1, 1.0 / octave_scale, 1.0 / octave_scale)))
    src = net.blobs['data']
    detail = np.zeros_like(octaves[-1])  # allocate image for network-produced details
    energy = []
    for octave, octave_base in enumerate(octaves[::-1]):
        h, w = octave_base.shape[-2:]
        if octave > 0:
            # upscale details from the previous octave
            h1, w1 = detail.shape[-2:]
            detail = zoom(detail, (1, 1.0 * h / h1, 1.0 * w / w1))[:, :h, :w]
            detail = np.pad(detail, ((0, 0), (0, h - detail.shape[1]), (0, w - detail.shape[2])), mode='edge')
        src.reshape(1, 3, h, w)  # resize the network's input image size
        src.data[0] = octave_base + detail
        first = None
        for i in range(iter_n):
            make_step(net, end=end, **step_params)
            if first is None:
                first = float((net.blobs[end].data ** 2).sum())
        net.forward(end=end)
        energy.append((float((net.blobs[end].data ** 2).sum()), first))
        # extract details produced on the current octave
        detail = src.data[0] - octave_base
    return deprocess(net, src.data[0]), energy


np.random.seed(0)
img = np.float32(np.random.RandomState(0).rand(70, 90, 3) * 255)
out, energy = deepdream(net, img)
print(out.shape, out.dtype, [b > a for b, a in energy])
_, energy = deepdream(net, img, end='conv2', octave_n=2)
print([b > a for b, a in energy])


# guided by another image
guide = np.float32(np.random.RandomState(1).rand(50, 40, 3) * 255)
h, w = guide.shape[:2]
src, dst = net.blobs['data'], net.blobs['pool5']
src.reshape(1, 3, h, w)
src.data[0] = preprocess(net, guide)
net.forward(end='pool5')
guide_features = dst.data[0].copy()


def objective_guide(dst):
    x = dst.data[0].copy()
    y = guide_features
    ch = x.shape[0]
    x = x.reshape(ch, -1)
    y = y.reshape(ch, -1)
    A = x.T.dot(y)  # compute the matrix of dot-products with guide features
    dst.diff[0].reshape(ch, -1)[:] = y[:, A.argmax(1)]  # and select ones that match best
    matched.append(np.allclose(dst.diff[0].sum(axis=(1, 2)), y[:, A.argmax(1)].sum(axis=1), rtol=1e-4))


matched = []
out, _ = deepdream(net, img, octave_n=2, objective=objective_guide)
print(out.shape, all(matched), len(matched))
