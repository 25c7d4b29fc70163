# Fine-tuning with a loop of our own, as in the flickr style example.
import numpy as np

import caffe

caffe.set_mode_cpu()
niter = 60
train_loss = np.zeros(niter)
scratch_train_loss = np.zeros(niter)

solver = caffe.SGDSolver('solver.prototxt')
solver.net.copy_from('small.caffemodel')
scratch_solver = caffe.SGDSolver('solver.prototxt')

for it in range(niter):
    solver.step(1)
    scratch_solver.step(1)
    train_loss[it] = solver.net.blobs['loss'].data
    scratch_train_loss[it] = scratch_solver.net.blobs['loss'].data
    if it % 20 == 0:
        print('iter %d, finetune_loss=%f, scratch_loss=%f' % (it, train_loss[it], scratch_train_loss[it]))
print('done')

test_iters = 2
accuracy = 0
scratch_accuracy = 0
for it in np.arange(test_iters):
    solver.test_nets[0].forward()
    accuracy += solver.test_nets[0].blobs['accuracy'].data
    scratch_solver.test_nets[0].forward()
    scratch_accuracy += scratch_solver.test_nets[0].blobs['accuracy'].data
accuracy /= test_iters
scratch_accuracy /= test_iters
print('Accuracy for fine-tuning: %.2f' % accuracy)
print('Accuracy for training from scratch: {0}'.format(float(scratch_accuracy)))
print('loss falls: %s' % (train_loss[-5:].mean() < 0.5 * train_loss[:5].mean()))
