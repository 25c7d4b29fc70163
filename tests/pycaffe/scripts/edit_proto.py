# Nets and weights as messages.
import copy

import numpy as np
from google.protobuf import text_format

import caffe
from caffe.proto import caffe_pb2

net = caffe_pb2.NetParameter()
with open('train_val.prototxt') as f:
    text_format.Merge(f.read(), net)
print(net.name, len(net.layer), [l.type for l in net.layer[:3]])

# a deploy net: drop data, loss and accuracy, change the last layer
deploy = caffe_pb2.NetParameter()
deploy.CopyFrom(net)
del deploy.layer[:]
for layer in net.layer:
    if layer.type in ('Data', 'Accuracy', 'SoftmaxWithLoss', 'Dropout'):
        continue
    deploy.layer.extend([copy.deepcopy(layer)])
deploy.input.extend(['data'])
deploy.input_shape.extend([caffe_pb2.BlobShape(dim=[2, 3, 35, 35])])
last = deploy.layer[len(deploy.layer) - 1]
last.name, last.inner_product_param.num_output = 'fc9', 4
soft = deploy.layer.add()
soft.name = 'prob'
soft.type = 'Softmax'
soft.bottom.append('fc8_own')
soft.top.append('prob')
with open('edited.prototxt', 'w') as f:
    f.write(text_format.MessageToString(deploy))
edited = caffe.Net('edited.prototxt', caffe.TEST)
print(edited.blobs['prob'].data.shape, list(edited.params.keys())[-1])

# batch sizes and phases
for layer in net.layer:
    if layer.type == 'Data':
        layer.data_param.batch_size = 5
        assert layer.data_param.backend == caffe_pb2.DataParameter.LMDB
        assert layer.include[0].phase in (caffe.TRAIN, caffe.TEST)
open('train_val_5.prototxt', 'w').write(str(net))
print(caffe.Net('train_val_5.prototxt', caffe.TRAIN).blobs['data'].num)

# weights as a message
model = caffe_pb2.NetParameter()
with open('small.caffemodel', 'rb') as f:
    model.ParseFromString(f.read())
for layer in model.layer:
    if layer.name == 'conv1':
        W = np.array(layer.blobs[0].data).reshape(layer.blobs[0].shape.dim)
        del layer.blobs[1].data[:]
        layer.blobs[1].data.extend([0.5] * 12)
print(W.shape, len([l for l in model.layer if len(l.blobs)]))
with open('edited.caffemodel', 'wb') as f:
    f.write(model.SerializeToString())
net = caffe.Net('deploy.prototxt', caffe.TEST)
net.copy_from('edited.caffemodel')
print(np.allclose(net.params['conv1'][0].data, W), net.params['conv1'][1].data.tolist() == [0.5] * 12)

# a solver
s = caffe_pb2.SolverParameter()
text_format.Parse(open('solver.prototxt').read(), s)
s.base_lr = 0.5
s.test_iter[0] = 1
s.solver_mode = caffe_pb2.SolverParameter.SolverMode.Value('CPU')
with open('edited_solver.prototxt', 'w') as f:
    f.write(str(s))
solver = caffe.SGDSolver('edited_solver.prototxt')
print('%.2f' % solver.param.base_lr, solver.param.max_iter, '%.2f' % solver.lr)
