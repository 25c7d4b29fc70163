# A net written in Python, its solver too.
from __future__ import print_function

import sys

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.proto import caffe_pb2


def lenet(lmdb, batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.Data(batch_size=batch_size, backend=P.Data.LMDB, source=lmdb,
                             transform_param=dict(scale=1. / 255, crop_size=32), ntop=2)
    n.conv1 = L.Convolution(n.data, kernel_size=5, stride=2, num_output=8, weight_filler=dict(type='xavier'))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.bn = L.BatchNorm(n.pool1, in_place=True, param=[dict(lr_mult=0)] * 3)
    n.sc = L.Scale(n.bn, in_place=True, scale_param=dict(bias_term=True))
    n.fc1 = L.InnerProduct(n.pool1, num_output=16, weight_filler=dict(type='xavier'))
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=3, weight_filler=dict(type='xavier'))
    n.accuracy = L.Accuracy(n.score, n.label, include=dict(phase=caffe.TEST))
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


with open('auto_train.prototxt', 'w') as f:
    f.write(str(lenet('train_lmdb', 24)))
with open('auto_test.prototxt', 'w') as f:
    f.write(str(lenet('test_lmdb', 25)))

s = caffe_pb2.SolverParameter()
s.random_seed = 0xCAFFE
s.train_net = 'auto_train.prototxt'
s.test_net.append('auto_test.prototxt')
s.test_interval = 20
s.test_iter.append(2)
s.max_iter = 40
s.type = "Adam"
s.base_lr = 0.005
s.momentum = 0.75
s.weight_decay = 5e-4
s.lr_policy = 'inv'
s.gamma = 0.0001
s.power = 0.75
s.display = 20
s.snapshot = 40
s.snapshot_prefix = 'auto'
s.solver_mode = caffe_pb2.SolverParameter.CPU
with open('auto_solver.prototxt', 'w') as f:
    f.write(str(s))

solver = None  # ignore this workaround for lmdb data (can't instantiate two solvers on the same data)
solver = caffe.get_solver('auto_solver.prototxt')
print(type(solver).__name__)
solver.solve()
acc = 0
for _ in range(2):
    acc += float(solver.test_nets[0].forward()['accuracy']) / 2
print('iterations', solver.iter, 'good' if acc > 0.9 else acc)
sys.exit(0)
