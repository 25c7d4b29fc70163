"""Prototxt text and binary files to messages of ``proto/caffe.proto``, upgraded to the current form.

The way in is :mod:`caffelite.prototxt.source` (``read_net``, ``read_solver``); the rest serves it.
"""
