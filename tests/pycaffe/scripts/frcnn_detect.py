# Detection with images and regions of every size, as im_detect does it.
import numpy as np

import caffe


def im_detect(net, im, boxes):
    blobs = {'data': im.transpose(2, 0, 1)[np.newaxis].astype(np.float32, copy=True),
             'rois': np.hstack((np.zeros((len(boxes), 1)), boxes)).astype(np.float32)}
    # Fast R-CNN: boxes that fall on the same cells are computed once
    v = np.array([1, 1e3, 1e6, 1e9, 1e12])
    hashes = np.round(blobs['rois'] * 0.5).dot(v)
    _, index, inv_index = np.unique(hashes, return_index=True, return_inverse=True)
    blobs['rois'] = blobs['rois'][index, :]

    # reshape network inputs
    net.blobs['data'].reshape(*(blobs['data'].shape))
    net.blobs['rois'].reshape(*(blobs['rois'].shape))

    # do forward
    blobs_out = net.forward(data=blobs['data'].astype(np.float32, copy=False),
                            rois=blobs['rois'].astype(np.float32, copy=False))
    scores = blobs_out['cls_prob']
    box_deltas = blobs_out['bbox_pred']
    return scores[inv_index, :], box_deltas[inv_index, :]


net = caffe.Net('frcnn_test.prototxt', 'output/frcnn_iter_40.caffemodel', caffe.TEST)
net.name = 'frcnn'
rng = np.random.RandomState(0)
kept = []
for (h, w, k) in [(32, 32, 5), (48, 40, 9), (24, 64, 1), (32, 32, 5)]:
    rng.seed(h)
    im = rng.rand(h, w, 3)
    boxes = np.sort(rng.randint(0, 22, (k, 2, 2)), axis=1).reshape(k, 4).astype(np.float)
    scores, deltas = im_detect(net, im, boxes)
    kept.append(scores.copy())
    print(im.shape, scores.shape, deltas.shape, np.allclose(scores.sum(axis=1), 1))
print('again', np.allclose(kept[0], kept[3], atol=1e-6))
# feature maps after the last image, and heads alone
print(net.blobs['conv1'].data.shape, net.blobs['pool'].data[0].shape)
