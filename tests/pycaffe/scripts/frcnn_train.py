# Trains a region classifier with the wrapper that the R-CNN family uses.
import os

import google.protobuf as pb2
import numpy as np
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2


class SolverWrapper(object):
    """A simple wrapper around Caffe's solver; it gives us control over the snapshotting process, which we
    use to unnormalize the learned bounding-box regression weights."""

    def __init__(self, solver_prototxt, roidb, output_dir, pretrained_model=None):
        self.output_dir = output_dir
        self.bbox_means = np.tile([0.1, 0.1, 0.2, 0.2], 4)
        self.bbox_stds = np.tile([0.5, 0.5, 0.25, 0.25], 4)
        self.solver = caffe.SGDSolver(solver_prototxt)
        if pretrained_model is not None:
            print('Loading pretrained model weights from {:s}'.format(pretrained_model))
            self.solver.net.copy_from(pretrained_model)
        self.solver_param = caffe_pb2.SolverParameter()
        with open(solver_prototxt, 'rt') as f:
            pb2.text_format.Merge(f.read(), self.solver_param)
        self.solver.net.layers[0].set_roidb(roidb)

    def snapshot(self):
        """Take a snapshot of the network after unnormalizing the learned regression weights."""
        net = self.solver.net
        scale_bbox_params = 'bbox_pred' in net.params
        if scale_bbox_params:
            # save original values
            orig_0 = net.params['bbox_pred'][0].data.copy()
            orig_1 = net.params['bbox_pred'][1].data.copy()
            # scale and shift with bbox reg unnormalization; then save snapshot
            net.params['bbox_pred'][0].data[...] = (net.params['bbox_pred'][0].data * self.bbox_stds[:, np.newaxis])
            net.params['bbox_pred'][1].data[...] = (net.params['bbox_pred'][1].data * self.bbox_stds + self.bbox_means)
        filename = (self.solver_param.snapshot_prefix + '_iter_{:d}'.format(self.solver.iter) + '.caffemodel')
        filename = os.path.join(self.output_dir, filename)
        net.save(str(filename))
        print('Wrote snapshot to: {:s}'.format(filename))
        if scale_bbox_params:
            # restore net to original state
            net.params['bbox_pred'][0].data[...] = orig_0
            net.params['bbox_pred'][1].data[...] = orig_1
        return filename

    def train_model(self, max_iters):
        """Network training loop."""
        last_snapshot_iter = -1
        model_paths = []
        while self.solver.iter < max_iters:
            # Make one SGD update
            self.solver.step(1)
            if self.solver.iter % (10 * self.solver_param.display) == 0:
                print('speed: {:d} iter'.format(self.solver.iter))
            if self.solver.iter % 30 == 0:
                last_snapshot_iter = self.solver.iter
                model_paths.append(self.snapshot())
        if last_snapshot_iter != self.solver.iter:
            model_paths.append(self.snapshot())
        return model_paths


def make_roidb(n):
    rng = np.random.RandomState(0)
    roidb = []
    for _ in range(n):
        h, w = rng.randint(24, 40, 2)
        k = rng.randint(1, 6)
        boxes = np.sort(rng.randint(0, 23, (k, 2, 2)), axis=1).reshape(k, 4).astype(np.float)
        image = np.zeros((3, h, w))
        classes = rng.randint(0, 4, k).astype(np.int)
        for (x1, y1, x2, y2), c in zip(boxes.astype(np.int), classes):
            if c:
                image[c - 1, y1:y2 + 1, x1:x2 + 1] = 1
        roidb.append({'boxes': boxes, 'image': image, 'gt_classes': classes, 'targets': rng.rand(k, 4) - 0.5})
    return roidb


np.random.seed(3)
caffe.set_random_seed(3)
with open('frcnn_solver.prototxt', 'w') as f:
    f.write('train_net: "frcnn.prototxt" base_lr: 0.02 lr_policy: "step" gamma: 0.1 stepsize: 50 display: 2 average_loss: 100\n'
            'momentum: 0.9 weight_decay: 0.0005\n'
            '# We disable standard caffe solver snapshotting and implement our own snapshot function\n'
            'snapshot: 0\nsnapshot_prefix: "frcnn"\n')
if not os.path.exists('output'):
    os.makedirs('output')
caffe.init_log(2)
sw = SolverWrapper('frcnn_solver.prototxt', make_roidb(12), 'output')
sw.solver.net.name = 'frcnn'
print('Solving...')
paths = sw.train_model(40)
print('done solving', sw.solver.iter, len(paths))

W = sw.solver.net.params['bbox_pred'][0].data.copy()
net = caffe.Net('frcnn.prototxt', caffe.TEST, weights=paths[-1])
print('unnormalized', np.allclose(net.params['bbox_pred'][0].data, W * sw.bbox_stds[:, np.newaxis], atol=1e-6))
print('losses', float(sw.solver.net.blobs['loss_cls'].data) < 1.4, sw.solver.net.blobs['loss_bbox'].data.shape)
