# Features of a layer into a .npy file and a database; similarity search on them.
import os
import sys

import lmdb
import numpy as np

import caffe

layer = sys.argv[1] if len(sys.argv) > 1 else 'fc6'
os.environ['GLOG_minloglevel'] = '2'
net = caffe.Net('deploy.prototxt', 'small.caffemodel', caffe.TEST)

env = lmdb.open('test_lmdb', readonly=True)
images, labels = [], []
with env.begin() as txn:
    for key, value in txn.cursor():
        datum = caffe.proto.caffe_pb2.Datum.FromString(value)
        images.append(caffe.io.datum_to_array(datum)[:, 2:37, 2:37] / 255.0)
        labels.append(datum.label)
images = np.array(images)
assert net.blobs['data'].num == 10 and net.blobs['data'].channels == 3

# by batches
batch = net.blobs['data'].shape[0]
features = np.zeros((len(images), np.prod(net.blobs[layer].data.shape[1:])), dtype=np.float32)
for b in range(int(len(images) / batch)):
    net.blobs['data'].data[...] = images[b * batch:(b + 1) * batch]
    net.forward()
    features[b * batch:(b + 1) * batch] = net.blobs[layer].data.reshape(batch, -1).copy()

# all at once, a number of images that is no multiple of the batch
out = net.forward_all(blobs=[layer], data=images[:47])
print(sorted(out.keys()), out[layer].shape, out['prob'].shape)
print('same', np.allclose(out[layer].reshape(47, -1), features[:47], atol=1e-5))

np.save('features.npy', features)
db = lmdb.open('features_lmdb', map_size=int(1e8))
with db.begin(write=True) as txn:
    for i, f in enumerate(features):
        datum = caffe.io.array_to_datum(f.astype(np.float).reshape(-1, 1, 1), int(labels[i]))
        txn.put(('%010d' % i).encode(), datum.SerializeToString())
with db.begin() as txn:
    back = caffe.io.datum_to_array(caffe.proto.caffe_pb2.Datum.FromString(txn.get(b'0000000007'))).squeeze()
print('database', np.allclose(back, features[7]))

normed = features / np.linalg.norm(features, axis=1)[:, np.newaxis]
order = np.argsort(-normed.dot(normed[0]))
print('nearest', int(order[0]), np.in1d(order[:3], np.arange(50)).all())
