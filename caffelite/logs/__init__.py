"""Sinks of the log: Caffe's format, JSON, a terminal with a progress bar, and the table of metrics."""
