# Each stage in a process of its own, since Caffe did not free its memory.
import multiprocessing as mp
import os
import subprocess
import sys

import numpy as np

import caffe


def train(queue=None, weights=None):
    import caffe
    caffe.set_random_seed(3)
    caffe.init_log(2)
    solver = caffe.SGDSolver('solver.prototxt')
    if weights:
        solver.net.copy_from(weights)
    solver.step(int(np.int(5)))
    path = os.path.abspath('stage_%d.caffemodel' % os.getpid())
    solver.net.save(path)
    queue.put({'model_path': path})


if __name__ == '__main__':
    net = caffe.Net('deploy.prototxt', caffe.TEST, weights='small.caffemodel')
    net.forward()
    path = None
    for method in ('fork', 'spawn') if hasattr(os, 'fork') else ('spawn',):
        context = mp.get_context(method)
        queue = context.Queue()
        p = context.Process(target=train, kwargs=dict(queue=queue, weights=path or 'small.caffemodel'))
        p.start()
        path = queue.get(timeout=60)['model_path']
        p.join()
        print(method, p.exitcode, os.path.exists(path))
    code = 'import caffe; from caffe.proto import caffe_pb2; print(caffe.Net("deploy.prototxt", caffe.TEST).inputs)'
    print(subprocess.check_output([sys.executable, '-c', code]).decode().strip())
