"""The messages of ``proto/caffe.proto``, made at run time from the committed descriptor set.

The descriptors live in a pool of their own under the package ``caffelite``: nothing clashes with a
``caffe_pb2`` that another library registers, and no generated code ties us to one protobuf version.
Everything is loaded at the first use.
"""

from __future__ import annotations

import copyreg
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, TypeAlias

from caffelite.errors import NetError
from caffelite.prototxt.lenience import is_lenient, tell_ignored

# Message classes come from descriptors, so their fields are unknown to a type checker.
Message: TypeAlias = Any

_PACKAGE = "caffelite."


@dataclass(frozen=True, slots=True)
class Field:
    """One field as the text reader and writer need it.

    ``number`` is that of the binary format, ``kind`` is protobuf's word (``int32``, ``float``, ``string``, ``enum``, ``message`` ...); ``type`` names
    the message or enum; ``values`` are the names and numbers of an enum, in the order of the schema.
    """

    name: str
    number: int
    kind: str
    repeated: bool
    required: bool
    type: str
    values: dict[str, int]


@dataclass(frozen=True, slots=True)
class MessageType:
    """One message: its fields by name, in the order of the schema (Caffe's own first, then the forks')."""

    name: str
    fields: dict[str, Field]
    required: tuple[str, ...]


def message(name: str) -> type[Message]:
    """The class of a message, by its name without package: ``message("LayerParameter")()``."""
    return _schema().classes[name]


def message_names() -> list[str]:
    """All messages, by name without package."""
    return list(_schema().classes)


@cache
def message_type(name: str) -> MessageType:
    """The fields of a message, by its name without package."""
    schema = _schema()
    fields = {f.name: _field(f, schema.enums) for f in schema.messages[name].field}
    return MessageType(name, fields, tuple(f.name for f in fields.values() if f.required))


def type_name(instance: Message) -> str:
    """The name of a message's type without package; for messages of other schemas too."""
    full: str = instance.DESCRIPTOR.full_name
    return full.partition(".")[2]


def enum_values(name: str) -> dict[str, int]:
    """Names and numbers of an enum, such as ``"Phase"`` or ``"PoolingParameter.PoolMethod"``."""
    return dict(_schema().enums[name])


def enum_name(name: str, number: int) -> str:
    """The name that a number has in an enum."""
    return next(word for word, value in _schema().enums[name].items() if value == number)


def enum_wrapper(name: str) -> Any:
    """Protobuf's own view of an enum, with ``Name``, ``Value``, ``keys`` and ``items``."""
    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

    return EnumTypeWrapper(_schema().pool.FindEnumTypeByName(_PACKAGE + name))


def top_level_names() -> tuple[list[str], list[str]]:
    """The names of messages and of enums that stand in no other message."""
    schema = _schema()
    return [n for n in schema.messages if "." not in n], [n for n in schema.enums if "." not in n]


def is_ours(instance: object) -> bool:
    """Whether an object is a message of this schema (and not of a real ``caffe_pb2``)."""
    return type(instance) in _schema().names


def from_foreign(foreign: Message, name: str) -> Message:
    """The same message in this schema, field by field by name, as the forks' numbers differ.

    For messages of a real ``caffe_pb2``, BVLC's or a fork's. Raises NetError for what this schema lacks.
    """
    result = message(name)()
    _copy_fields(foreign, result, message_type(name))
    return result


def _copy_fields(source: Message, target: Message, type_: MessageType) -> None:
    for descriptor, value in source.ListFields():
        field = type_.fields.get(descriptor.name)
        if field is None:
            text = f"{type_.name} has no field '{descriptor.name}'; another schema's message does"
            if not is_lenient():
                raise NetError(text)
            tell_ignored([f"{text}; ignored"])
            continue
        if field.kind == "message":
            _copy_messages(value, target, field)
        elif field.kind == "enum":
            _copy_enums(value, target, field, descriptor.enum_type.values_by_number)
        elif field.repeated:
            getattr(target, field.name).extend(value)
        else:
            setattr(target, field.name, value)


def _copy_messages(value: Any, target: Message, field: Field) -> None:
    type_ = message_type(field.type)
    if field.repeated:
        for item in value:
            _copy_fields(item, getattr(target, field.name).add(), type_)
    else:
        getattr(target, field.name).SetInParent()
        _copy_fields(value, getattr(target, field.name), type_)


def _copy_enums(value: Any, target: Message, field: Field, names: Any) -> None:
    numbers = [field.values.get(names[number].name) for number in (value if field.repeated else [value])]
    if None in numbers:
        raise NetError(f"{field.type} lacks a value that another schema's '{field.name}' has")
    if field.repeated:
        getattr(target, field.name).extend(numbers)
    else:
        setattr(target, field.name, numbers[0])


@dataclass(frozen=True)
class _Schema:
    classes: dict[str, type[Message]]
    names: dict[type[Message], str]
    messages: dict[str, Any]
    enums: dict[str, dict[str, int]]
    pool: Any


@cache
def _schema() -> _Schema:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    data = resources.files("caffelite.prototxt").joinpath("caffe.desc").read_bytes()
    pool = descriptor_pool.DescriptorPool()
    messages: dict[str, Any] = {}
    enums: dict[str, dict[str, int]] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.AddSerializedFile(file.SerializeToString())
        _collect("", file.message_type, file.enum_type, messages, enums)
    classes: dict[str, type[Message]] = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(_PACKAGE + name))
        for name in messages
    }
    for cls in classes.values():
        copyreg.pickle(cls, _reduce)
    return _Schema(classes, {cls: name for name, cls in classes.items()}, messages, enums, pool)


def _collect(prefix: str, message_types: Any, enum_types: Any, messages: Any, enums: Any) -> None:
    for enum in enum_types:
        enums[prefix + enum.name] = {value.name: value.number for value in enum.value}
    for proto in message_types:
        messages[prefix + proto.name] = proto
        _collect(f"{prefix}{proto.name}.", proto.nested_type, proto.enum_type, messages, enums)


def _field(proto: Any, enums: dict[str, dict[str, int]]) -> Field:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto

    kind = FieldDescriptorProto.Type.Name(proto.type).removeprefix("TYPE_").lower()
    type_ = proto.type_name.removeprefix("." + _PACKAGE)
    return Field(
        name=proto.name,
        number=proto.number,
        kind=kind,
        repeated=proto.label == FieldDescriptorProto.LABEL_REPEATED,
        required=proto.label == FieldDescriptorProto.LABEL_REQUIRED,
        type=type_,
        values=enums[type_] if kind == "enum" else {},
    )


def _reduce(instance: Message) -> tuple[Any, tuple[str, bytes]]:
    """Pickling: run-time classes cannot be found by import, so their bytes and name travel."""
    return _restore, (_schema().names[type(instance)], instance.SerializePartialToString())


def _restore(name: str, data: bytes) -> Message:
    return message(name).FromString(data)
