"""Caffe's messages and enums under the names of protobuf's generated module.

``caffe_pb2.NetParameter()``, ``caffe_pb2.Datum``, ``caffe_pb2.Phase.Value("TEST")``, ``caffe_pb2.TEST``. The schema is
``proto/caffe.proto``: all of BVLC's fields and the forks' by name. Classes are made when they are first asked for,
in a descriptor pool of their own, so a real ``caffe_pb2`` in the same process does not clash.
"""

from __future__ import annotations

from typing import Any

from caffelite.prototxt.schema import enum_values, enum_wrapper, message, top_level_names


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    messages, enums = top_level_names()
    if name == "DESCRIPTOR":
        value: Any = message("NetParameter").DESCRIPTOR.file
    elif name in messages:
        value = message(name)
    elif name in enums:
        value = enum_wrapper(name)
    else:
        value = _enum_value(name, enums)
    globals()[name] = value
    return value


def _enum_value(name: str, enums: list[str]) -> int:
    """The values of enums that stand outside of messages are names of the module: ``caffe_pb2.TRAIN``."""
    for enum in enums:
        if name in enum_values(enum):
            return enum_values(enum)[name]
    raise AttributeError(f"module 'caffe_pb2' has no attribute '{name}'")


def __dir__() -> list[str]:
    messages, enums = top_level_names()
    return sorted([*messages, *enums, *(value for enum in enums for value in enum_values(enum))])
