"""Boxes without nets: overlaps, coding, suppression, anchors, and what the R-CNN detectors learn from them.

A box is a row x1, y1, x2, y2 of pixels of an image, counted from 0, both corners inside: its width is x2 - x1 + 1.
Functions take arrays (K, 4) of any float type, K = 0 included, and are pure; random ones take a ``Generator``.
"""
