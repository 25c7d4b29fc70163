# mean.binaryproto -> mean.npy
import sys

import numpy as np

import caffe

if len(sys.argv) != 3:
    print("Usage: python mean_convert.py proto.mean out.npy")
    sys.exit(1)

blob = caffe.proto.caffe_pb2.BlobProto()
data = open(sys.argv[1], 'rb').read()
blob.ParseFromString(data)
arr = np.array(caffe.io.blobproto_to_array(blob))
out = arr[0]
np.save(sys.argv[2], out)
print(out.shape, out.dtype, [int(v) for v in out.mean(1).mean(1).astype(np.int)])
