# Deep Q-learning with two nets, a target net and a MemoryData layer.
import random
from collections import deque

import numpy as np

import caffe

NET = """
name: 'dqn'
layer { name: 'states' type: 'MemoryData' top: 'states' top: 'dummy1' memory_data_param { batch_size: 32 channels: 4 height: 6 width: 6 } include { phase: TRAIN } }
layer { name: 'states' type: 'Input' top: 'states' input_param { shape { dim: 1 dim: 4 dim: 6 dim: 6 } } include { phase: TEST } }
layer { name: 'targets' type: 'Input' top: 'target' top: 'filter' input_param { shape { dim: 32 dim: 3 } } include { phase: TRAIN } }
layer { name: 'silence' type: 'Silence' bottom: 'dummy1' include { phase: TRAIN } }
layer { name: 'conv1' type: 'Convolution' bottom: 'states' top: 'conv1' convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: 'msra' } } }
layer { name: 'relu1' type: 'ReLU' bottom: 'conv1' top: 'conv1' relu_param { negative_slope: 0.01 } }
layer { name: 'ip1' type: 'InnerProduct' bottom: 'conv1' top: 'ip1' inner_product_param { num_output: 32 weight_filler { type: 'msra' } } }
layer { name: 'relu2' type: 'ReLU' bottom: 'ip1' top: 'ip1' relu_param { negative_slope: 0.01 } }
layer { name: 'q_values' type: 'InnerProduct' bottom: 'ip1' top: 'q_values' inner_product_param { num_output: 3 weight_filler { type: 'xavier' } } }
layer { name: 'filtered' type: 'Eltwise' bottom: 'q_values' bottom: 'filter' top: 'filtered' eltwise_param { operation: PROD } include { phase: TRAIN } }
layer { name: 'loss' type: 'EuclideanLoss' bottom: 'filtered' bottom: 'target' top: 'loss' include { phase: TRAIN } }
"""
open('dqn.prototxt', 'w').write(NET)
open('dqn_solver.prototxt', 'w').write(
    "net: 'dqn.prototxt' type: 'RMSProp' base_lr: 0.003 lr_policy: 'fixed' rms_decay: 0.95 delta: 0.0001 max_iter: 1000\n"
    "snapshot_prefix: 'dqn' snapshot_after_train: false\n")

caffe.set_random_seed(4)
random.seed(0)
rng = np.random.RandomState(0)
solver = caffe.get_solver('dqn_solver.prototxt')
net = solver.net
act = caffe.Net('dqn.prototxt', caffe.TEST)
act.share_with(net)  # the acting net always has the newest weights
target = caffe.Net('dqn.prototxt', caffe.TEST)


def clone():
    for name in net.params:
        for i in range(len(net.params[name])):
            target.params[name][i].data[...] = net.params[name][i].data


def q(which, states):
    blob = which.blobs['states']
    if tuple(blob.shape)[0] != len(states):
        blob.reshape(*states.shape)
    blob.data[...] = states
    return which.forward()['q_values']


def reward(state, action):
    return 1.0 if int(state[0, 0, 0] * 3) == action else 0.0


clone()
memory = deque(maxlen=500)
dummy = np.zeros((32, 1, 1, 1), dtype=np.float32)
scores = []
for step in range(350):
    state = rng.rand(4, 6, 6).astype(np.float32)
    state[0] = state[0, 0, 0]
    if random.random() < max(0.1, 1 - step / 100.0):
        action = random.randint(0, 2)
    else:
        action = int(q(act, state[np.newaxis])[0].argmax())
    r = reward(state, action)
    scores.append(r)
    memory.append((state, action, r))
    if len(memory) < 32:
        continue
    batch = random.sample(list(memory), 32)
    states = np.array([b[0] for b in batch], dtype=np.float32)
    nxt = q(target, states).copy().max(axis=1)
    targets = np.zeros((32, 3), dtype=np.float32)
    mask = np.zeros((32, 3), dtype=np.float32)
    for i, (_, a, rew) in enumerate(batch):
        targets[i, a] = rew + 0.0 * nxt[i]
        mask[i, a] = 1
    net.set_input_arrays(states, dummy)
    net.blobs['target'].data[...] = targets
    net.blobs['filter'].data[...] = mask
    solver.step(1)
    if step % 50 == 0:
        clone()

print('steps', solver.iter, float(net.blobs['loss'].data) < 0.5)
print('learned', np.mean(scores[-80:]) > np.mean(scores[:80]) + 0.15)
same = np.array_equal(act.params['ip1'][0].data, net.params['ip1'][0].data)
print('shared', same, 'target apart', not np.array_equal(target.params['ip1'][0].data, net.params['ip1'][0].data))
try:
    net.set_input_arrays(states[:31], dummy[:31])
except RuntimeError as error:
    print('RuntimeError', 'multiple of batch size' in str(error))

# an update by hand, without the solver
net.clear_param_diffs()
net.forward()
net.backward()
before = net.params['q_values'][1].data.copy()
for name, blobs in net.params.items():
    for blob in blobs:
        blob.data[:] = blob.data - 0.1 * np.clip(blob.diff, -1, 1)
print('by hand', not np.array_equal(before, net.params['q_values'][1].data))
