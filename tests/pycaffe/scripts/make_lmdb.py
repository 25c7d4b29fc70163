# Writes databases, a mean file, a weights file and a list of names, as many a preparation script does.
import lmdb
import numpy as np

import caffe

rng = np.random.RandomState(0)


def make(path, n):
    env = lmdb.open(path, map_size=int(1e8))
    images = np.zeros((n, 3, 40, 40), dtype=np.uint8)
    with env.begin(write=True) as txn:
        for i in range(n):
            label = i % 3
            im = rng.randint(0, 80, (3, 40, 40))
            im[label] += 120  # the class is the brightest channel
            images[i] = im
            datum = caffe.proto.caffe_pb2.Datum()
            datum.channels, datum.height, datum.width = im.shape
            datum.data = im.astype(np.uint8).tobytes()
            datum.label = int(label)
            txn.put('{:08}'.format(i).encode('ascii'), datum.SerializeToString())
    env.close()
    return images


train = make('train_lmdb', 120)
make('test_lmdb', 50)

blob = caffe.io.array_to_blobproto(train.mean(axis=0)[np.newaxis].astype(np.float))
with open('mean.binaryproto', 'wb') as f:
    f.write(blob.SerializeToString())

with open('synset_words.txt', 'w') as f:
    for i in range(7):
        f.write('n%08d class %d, seventh of a week\n' % (i, i))

caffe.set_random_seed(1)
net = caffe.Net('deploy.prototxt', caffe.TEST)
net.save('small.caffemodel')

env = lmdb.open('train_lmdb', readonly=True)
with env.begin() as txn:
    for key, value in txn.cursor():
        datum = caffe.proto.caffe_pb2.Datum()
        datum.ParseFromString(value)
        flat = np.frombuffer(datum.data, dtype=np.uint8)
        x = flat.reshape(datum.channels, datum.height, datum.width)
        assert (x == caffe.io.datum_to_array(datum)).all()
print('entries %d, last key %s, label %d' % (env.stat()['entries'], key.decode(), datum.label))
