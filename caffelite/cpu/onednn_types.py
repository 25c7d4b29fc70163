"""Numbers of oneDNN's C interface: ``dnnl_types.h``, the same in every 3.x release."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Status(IntEnum):
    """What every call of the library returns."""

    SUCCESS = 0
    OUT_OF_MEMORY = 1
    INVALID_ARGUMENTS = 2
    UNIMPLEMENTED = 3
    LAST_IMPL_REACHED = 4
    RUNTIME_ERROR = 5
    NOT_REQUIRED = 6


class DataType(IntEnum):
    """Element types. NumPy knows no bfloat16: such arrays are ``uint16`` in memory."""

    UNDEFINED = 0
    F16 = 1
    BF16 = 2
    F32 = 3
    S32 = 4
    S8 = 5
    U8 = 6


class Arg(IntEnum):
    """Names of the memories that an execution takes."""

    SRC = 1
    SRC_1 = 2
    DST = 17
    WEIGHTS = 33
    BIAS = 41
    MEAN = 49
    VARIANCE = 50
    SCALE = 51
    SHIFT = 52
    WORKSPACE = 64
    SCRATCHPAD = 80
    DIFF_SRC = 129
    DIFF_DST = 145
    DIFF_WEIGHTS = 161
    DIFF_BIAS = 169
    DIFF_SCALE = 255
    DIFF_SHIFT = 256
    MULTIPLE_SRC = 1024
    """Source ``i`` of a concatenation or a sum is ``MULTIPLE_SRC + i``."""
    POST_OP_BASE = 32768
    """The second source of a binary post-op at position ``i`` is ``POST_OP_BASE * (i + 1) + SRC_1``."""


class Prop(IntEnum):
    """What a primitive is made for; ``TRAINING`` may write a workspace for the backward pass."""

    TRAINING = 64
    INFERENCE = 96
    BACKWARD = 128
    BACKWARD_DATA = 160


class Algorithm(IntEnum):
    """Kinds of arithmetic within one sort of primitive."""

    CONVOLUTION_DIRECT = 0x1
    CONVOLUTION_WINOGRAD = 0x2
    CONVOLUTION_AUTO = 0x3
    DECONVOLUTION_DIRECT = 0xA
    RELU = 0x20
    TANH = 0x21
    ELU = 0x22
    LINEAR = 0x26
    LOGISTIC = 0x29
    CLIP_V2 = 0x2F
    RELU_FROM_DST = 0x100
    TANH_FROM_DST = 0x101
    LOGISTIC_FROM_DST = 0x104
    CLIP_V2_FROM_DST = 0x106
    POOLING_MAX = 0x1FF
    POOLING_AVERAGE_WITH_PADDING = 0x2FF
    POOLING_AVERAGE_WITHOUT_PADDING = 0x3FF
    LRN_ACROSS_CHANNELS = 0xAFF
    LRN_WITHIN_CHANNEL = 0xBFF
    BINARY_ADD = 0x1FFF0
    BINARY_MUL = 0x1FFF1
    BINARY_MAX = 0x1FFF2
    SOFTMAX = 0x30000


class Normalization(IntFlag):
    """Flags of a batch normalization."""

    NONE = 0
    GLOBAL_STATS = 1
    SCALE = 2
    SHIFT = 4
    FUSE_RELU = 8


class Query(IntEnum):
    """Questions to a primitive or memory descriptor."""

    IMPLEMENTATION = 8
    SRC = 129
    DIFF_SRC = 130
    WEIGHTS = 131
    DIFF_WEIGHTS = 132
    DST = 133
    DIFF_DST = 134
    WORKSPACE = 135
    SCRATCHPAD = 136
    NDIMS = 256
    DIMS = 257
    DATA_TYPE = 258
    FORMAT_KIND = 262
    INNER_BLOCKS = 263
    STRIDES = 14


class MathMode(IntEnum):
    """Whether float32 arithmetic may round its inputs to bfloat16."""

    STRICT = 0
    BF16 = 1


ANY_FORMAT = 1
"""``dnnl_format_tag_any``: the primitive chooses the layout."""

BLOCKED = 2
"""The format kind of plain and packed layouts that strides and inner blocks describe."""

CPU_ENGINE = 1
IN_ORDER = 1
SCRATCHPAD_USER = 1

RUNTIMES = {1: "sequential", 2: "OpenMP", 4: "TBB", 8: "thread pool"}
"""``cpu_runtime`` in the answer of ``dnnl_version``."""
