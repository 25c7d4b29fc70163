# Solving in Python: looking inside while training.
import copy
import os

import numpy as np

import caffe

solver = caffe.get_solver('solver.prototxt')
print(type(solver).__name__, [(k, v.data.shape) for k, v in solver.net.blobs.items()][:2])
print([(k, v[0].data.shape) for k, v in solver.net.params.items()][0])

solver.net.forward()  # train net
solver.test_nets[0].forward()  # test net (there can be more than one)
print('train labels:', solver.net.blobs['label'].data[:8].astype(np.int).tolist())
print('test labels:', [int(l) for l in solver.test_nets[0].blobs['label'].data[:8]])

solver.step(1)
w = solver.net.params['conv1'][0].diff[:, 0].reshape(3, 4, 5, 5).transpose(0, 2, 1, 3).reshape(3 * 5, 4 * 5)
print('gradient', w.shape, bool(abs(w).max() > 0))

niter, test_interval = 40, 20
train_loss = np.zeros(niter)
test_acc = np.zeros(int(np.ceil(niter / float(test_interval))))
output = np.zeros((niter, 8, 3))
for it in range(niter):
    solver.step(1)  # SGD by Caffe
    train_loss[it] = solver.net.blobs['loss'].data
    # start the forward pass at conv1 to avoid loading new data
    solver.test_nets[0].forward(start='conv1')
    output[it] = solver.test_nets[0].blobs['fc8_own'].data[:8]
    if it % test_interval == 0:
        correct = 0
        for test_it in range(2):
            solver.test_nets[0].forward()
            correct += sum(solver.test_nets[0].blobs['fc8_own'].data.argmax(1) == solver.test_nets[0].blobs['label'].data)
        test_acc[it // test_interval] = correct / 50.0
print('loss fell', bool(train_loss[-5:].mean() < train_loss[:5].mean()), 'accuracy', test_acc.max() > 0.9)

# learning rates by hand, gradients by hand
best = {k: [b.data.copy() for b in v] for k, v in solver.net.params.items()}
kept = copy.deepcopy(best)
solver.net.clear_param_diffs()
solver.net.forward()
solver.net.backward()
for k, blobs in solver.net.params.items():
    for b in blobs:
        b.data[...] -= 0.001 * b.diff
print('by hand', not np.array_equal(kept['fc6'][0], solver.net.params['fc6'][0].data))
solver.snapshot()
print(solver.iter, os.path.exists('own_iter_%d.solverstate' % solver.iter))
other = caffe.get_solver('solver.prototxt')
other.restore('own_iter_%d.solverstate' % solver.iter)
print(other.iter, np.array_equal(other.net.params['fc6'][0].data, solver.net.params['fc6'][0].data))
other.solve()
print(other.iter, os.path.exists('own_iter_60.caffemodel'))
