# The classification notebook as a script.
import os

import numpy as np

import caffe

caffe.set_mode_cpu()

model_def = 'deploy.prototxt'
model_weights = 'small.caffemodel'
if not os.path.isfile(model_weights):
    raise SystemExit('no weights')

net = caffe.Net(model_def,      # defines the structure of the model
                model_weights,  # contains the trained weights
                caffe.TEST)     # use test mode (e.g., don't perform dropout)

mu = np.load('mean.npy')
mu = mu.mean(1).mean(1)  # average over pixels to obtain the mean (BGR) pixel values
print('mean-subtracted values: %s' % list(zip('BGR', np.round(mu).astype(np.int))))

transformer = caffe.io.Transformer({'data': net.blobs['data'].data.shape})
transformer.set_transpose('data', (2, 0, 1))
transformer.set_mean('data', mu)
transformer.set_raw_scale('data', 255)
transformer.set_channel_swap('data', (2, 1, 0))

# set the size of the input (we can skip this if we're happy with the default)
net.blobs['data'].reshape(50, 3, 35, 35)

rng = np.random.RandomState(3)
image = rng.rand(48, 60, 3).astype(np.float32)
transformed_image = transformer.preprocess('data', image)

# copy the image data into the memory allocated for the net
net.blobs['data'].data[...] = transformed_image

output = net.forward()
output_prob = output['prob'][0]  # the output probability vector for the first image in the batch
print('predicted class is: %d' % output_prob.argmax())

labels = np.loadtxt('synset_words.txt', str, delimiter='\t')
print('output label: %s' % labels[output_prob.argmax()])
top_inds = output_prob.argsort()[::-1][:5]
print('probabilities and labels:')
for p, l in zip(output_prob[top_inds], labels[top_inds]):
    print('  %.4f %s' % (p, l))

# for each layer, show the output shape
for layer_name, blob in net.blobs.items():
    print(layer_name + '\t' + str(blob.data.shape))
for layer_name, param in net.params.items():
    print(layer_name + '\t' + str(param[0].data.shape), str(param[1].data.shape))

# one image at a time, the old way
net.blobs['data'].reshape(1, 3, 35, 35)
net.reshape()
out = net.forward_all(data=np.asarray([transformer.preprocess('data', image)]))
print('same: %s' % np.allclose(out['prob'][0], output_prob, atol=1e-5))
np.save('prob.npy', output_prob)
np.save('in.npy', transformed_image)
