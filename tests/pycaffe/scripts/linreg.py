# Linear regression with data and loss in Python.
import tempfile

import numpy as np

import caffe

net = """
name: 'LinearRegression'
force_backward: true
layer { type: 'Python' name: 'data' top: 'data' top: 'height'
  python_param { module: 'pyloss' layer: 'LineLayer' param_str: "{'batch_size': 16, 'weights': [1, -2, 3], 'seed': 7}" } }
layer { type: 'InnerProduct' name: 'ipx' top: 'ipx' bottom: 'data' inner_product_param { num_output: 1 weight_filler { type: 'xavier' } } }
layer { type: 'Python' name: 'scale' top: 'scale' bottom: 'ipx' param { lr_mult: 0.1 } python_param { module: 'pyloss' layer: 'ScaleByLayer' } }
layer { type: 'Python' name: 'loss' top: 'loss' bottom: 'scale' bottom: 'height'
  python_param { module: 'pyloss' layer: 'EuclideanLossLayer' }
  # set loss weight so Caffe knows this is a loss layer
  loss_weight: 1 }
"""
with tempfile.NamedTemporaryFile(mode='w+', suffix='.prototxt', dir='.', delete=False) as f:
    f.write(net)
with open('lin_solver.prototxt', 'w') as s:
    s.write("train_net: '%s' base_lr: 0.1 lr_policy: 'step' stepsize: 100 gamma: 0.5 max_iter: 200 display: 0\n" % f.name)
    s.write("snapshot_after_train: false random_seed: 2\n")

solver = caffe.SGDSolver('lin_solver.prototxt')
print('layers', list(solver.net._layer_names), solver.net.layers[0].batch_size, solver.net.layers[0].phase_name)
losses = np.zeros(100)
for i in range(100):
    solver.step(1)
    losses[i] = solver.net.blobs['loss'].data
    if i % 25 == 0:
        print('%d: %.5f' % (i, solver.net.blobs['loss'].data))
found = solver.net.params['ipx'][0].data[0] * solver.net.params['scale'][0].data[0]
print('weights', np.round(found).astype(np.int).tolist(), float(solver.net.blobs['loss'].data) < 1e-3)
