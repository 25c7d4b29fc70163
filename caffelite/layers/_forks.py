"""Fields and values that only forks of Caffe know, in messages that Caffe has as well.

The schema has them so that their files can be read. A layer that passed over ``relu: true`` or
``class_weighting`` would compute something else than its author meant, so it refuses what it does not know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

_LAST_OWN = {  # numbers above are forks' fields
    "AccuracyParameter": 3,
    "BatchNormParameter": 3,
    "ConcatParameter": 2,
    "ConvolutionParameter": 18,
    "DataParameter": 10,
    "DropoutParameter": 1,
    "EltwiseParameter": 3,
    "ELUParameter": 1,
    "ImageDataParameter": 12,
    "InnerProductParameter": 6,
    "LossParameter": 3,
    "MemoryDataParameter": 4,
    "ParameterParameter": 1,
    "PoolingParameter": 13,
    "ReductionParameter": 3,
    "ReLUParameter": 2,
    "ReshapeParameter": 3,
    "ScaleParameter": 5,
    "SoftmaxParameter": 2,
    "TransformationParameter": 7,
}

_HARMLESS = {  # they choose an algorithm, or how much memory and how many threads it may use
    "cache",
    "conv_algorithm",
    "conv_algos_override",
    "cudnn_convolution_algo_seeker",
    "debug_params",
    "disk_reader_threads",
    "engine",
    "fuse",
    "huge_video_dataset",
    "parser_threads",
    "precache",
    "random_seed",
    "shuffle_buffer_size",
    "threads",
    "use_gpu_transform",
    "verbose",
}


def own_limit(message: str) -> float:
    """The largest field number of a message that is BVLC Caffe's own; infinite where no fork has added any."""
    return _LAST_OWN.get(message, float("inf"))


def fork_fields(spec: Any) -> Iterator[tuple[str, str]]:
    """(parameter message, field) for each field of a LayerParameter with which a fork would compute otherwise."""
    for param, value in spec.ListFields():
        last = _LAST_OWN.get(param.message_type.name) if param.message_type is not None else None
        if last is None:
            continue
        for field, given in value.ListFields():
            if field.number > last and field.name not in _HARMLESS and not _is_default(field, given):
                yield param.name, field.name


def drop_fork_fields(spec: Any, known: Collection[str]) -> list[tuple[str, str]]:
    """Takes those of the fields above that are not ``known`` out of a LayerParameter, and tells which they were."""
    dropped = [(param, field) for param, field in fork_fields(spec) if field not in known]
    for param, field in dropped:
        getattr(spec, param).ClearField(field)
    return dropped


def _is_default(field: Any, given: Any) -> bool:
    return field.message_type is None and field.has_default_value and given == field.default_value
