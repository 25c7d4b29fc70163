"""``import caffe`` in the processes that a script starts which runs under ``python -m caffelite.run``.

This folder goes to their PYTHONPATH: ``multiprocessing`` may begin them anew, and ``subprocess`` does.
"""

import sys

from caffelite.as_caffe import install_as_caffe

del sys.modules["caffe"]  # this file, in favour of caffelite itself
install_as_caffe(old_numpy=True)
