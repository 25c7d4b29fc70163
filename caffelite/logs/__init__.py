"""The log and its sinks: Caffe's format, JSON, a terminal with a progress bar, metrics, a run's folder."""
