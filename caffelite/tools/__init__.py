"""What Caffe's ``tools/``, ``python/`` and ``scripts/`` did: one module a tool, named as Caffe names it.

Each is a function to call from Python; the command line's verbs are thin covers over them.
"""
