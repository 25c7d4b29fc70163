import numpy as np
import yaml_free as cfg

import caffe


class RoIDataLayer(caffe.Layer):
    """Images with regions; their number changes from batch to batch."""

    def _shuffle_roidb_inds(self):
        self._perm = np.random.permutation(np.arange(len(self._roidb)))
        self._cur = 0

    def set_roidb(self, roidb):
        """Set the roidb to be used by this layer during training."""
        self._roidb = roidb
        self._shuffle_roidb_inds()

    def setup(self, bottom, top):
        self._num_classes = cfg.parse(self.param_str_)['num_classes']
        self._name_to_top_map = {}
        for i, (name, shape) in enumerate([('data', (1, 3, 32, 32)), ('rois', (1, 5)), ('labels', (1,)),
                                           ('bbox_targets', (1, self._num_classes * 4)),
                                           ('bbox_inside_weights', (1, self._num_classes * 4)),
                                           ('bbox_outside_weights', (1, self._num_classes * 4))]):
            top[i].reshape(*shape)
            self._name_to_top_map[name] = i

    def _get_next_minibatch(self):
        if self._cur >= len(self._roidb):
            self._shuffle_roidb_inds()
        entry = self._roidb[self._perm[self._cur]]
        self._cur += 1
        n = entry['boxes'].shape[0]
        blobs = {'data': entry['image'][np.newaxis].astype(np.float32),
                 'rois': np.hstack([np.zeros((n, 1)), entry['boxes']]),
                 'labels': entry['gt_classes']}
        targets = np.zeros((n, 4 * self._num_classes), dtype=np.float32)
        inside = np.zeros(targets.shape, dtype=np.float32)
        for ind in np.where(entry['gt_classes'] > 0)[0]:
            cls = entry['gt_classes'][ind]
            start = int(4 * cls)
            targets[ind, start:start + 4] = entry['targets'][ind]
            inside[ind, start:start + 4] = (1.0, 1.0, 1.0, 1.0)
        blobs['bbox_targets'] = targets
        blobs['bbox_inside_weights'] = inside
        blobs['bbox_outside_weights'] = np.array(inside > 0).astype(np.float32)
        return blobs

    def forward(self, bottom, top):
        """Get blobs and copy them into this layer's top blob vector."""
        for blob_name, blob in self._get_next_minibatch().items():
            top_ind = self._name_to_top_map[blob_name]
            # Reshape net's input blobs
            top[top_ind].reshape(*(blob.shape))
            # Copy data into net's input blobs
            top[top_ind].data[...] = blob.astype(np.float32, copy=False)

    def backward(self, top, propagate_down, bottom):
        """This layer does not propagate gradients."""
        pass

    def reshape(self, bottom, top):
        """Reshaping happens during the call to forward."""
        pass
