# Net surgery: a classifier becomes fully convolutional.
import numpy as np

import caffe

net = caffe.Net('deploy.prototxt', 'small.caffemodel', caffe.TEST)
params = ['fc6', 'fc8']
fc_params = {pr: (net.params[pr][0].data, net.params[pr][1].data) for pr in params}
for fc in params:
    print('{} weights are {} dimensional and biases are {} dimensional'.format(
        fc, fc_params[fc][0].shape, fc_params[fc][1].shape))

net_full_conv = caffe.Net('conv.prototxt', 'small.caffemodel', caffe.TEST)
params_full_conv = ['fc6-conv', 'fc8-conv']
conv_params = {pr: (net_full_conv.params[pr][0].data, net_full_conv.params[pr][1].data) for pr in params_full_conv}
for conv in params_full_conv:
    print('{} weights are {} dimensional and biases are {} dimensional'.format(
        conv, conv_params[conv][0].shape, conv_params[conv][1].shape))

for pr, pr_conv in zip(params, params_full_conv):
    conv_params[pr_conv][0].flat = fc_params[pr][0].flat  # flat unrolls the arrays
    conv_params[pr_conv][1][...] = fc_params[pr][1]
net_full_conv.save('conv.caffemodel')

x = np.random.RandomState(1).randn(1, 3, 67, 67)
out = net_full_conv.forward(data=x)
print('map %s' % (out['prob'][0].argmax(axis=0).shape,))

y0, x0 = 16, 16
net.blobs['data'].reshape(1, 3, 35, 35)
one = net.forward(data=x[:, :, y0:y0 + 35, x0:x0 + 35])['prob'][0]

# edit the net: turn the filters and watch the output, then put them back
saved = net.params['conv1'][0].data.copy()
net.params['conv1'][0].data[...] = net.params['conv1'][0].data[:, :, ::-1, ::-1]
other = net.forward()['prob'][0].copy()
net.params['conv1'][0].data[...] = saved
again = net.forward()['prob'][0].copy()
print('changed %s, back %s' % (not np.allclose(other, one), np.allclose(again, one) ))

net_full_conv.blobs['data'].reshape(1, 3, 35, 35)
small = net_full_conv.forward(data=x[:, :, y0:y0 + 35, x0:x0 + 35])['prob']
print('same %s %s' % (small.shape, np.allclose(small[0, :, 0, 0], again, atol=1e-5)))
