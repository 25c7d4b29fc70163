"""Values of single fields: from a token to what the schema asks for.

What is accepted is what protobuf's C++ reader, which Caffe uses, accepts.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import replace

from caffelite.prototxt.schema import Field
from caffelite.prototxt.suggest import suggestion
from caffelite.prototxt.tokens import Token, shown

_INTEGER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")
_FLOAT = re.compile(r"(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?")
_NOT_FINITE = {"inf": float("inf"), "infinity": float("inf"), "nan": float("nan")}
_TRUTH = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}
_TRUTH_ALIASES = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
}
# How many values of an enum are BVLC Caffe's, where forks have added some behind them.
_OWN_VALUES = {
    "PoolingParameter.PoolMethod": 3,
    "EltwiseParameter.EltwiseOp": 3,
    "DataParameter.DB": 2,
    "LossParameter.NormalizationMode": 4,
}
_ENUM_ALIASES = {
    "avg": "AVE",
    "average": "AVE",
    "mean": "AVE",
    "add": "SUM",
    "mul": "PROD",
    "multiply": "PROD",
    "product": "PROD",
    "training": "TRAIN",
    "testing": "TEST",
    "val": "TEST",
    "cuda": "GPU",
    "batch": "BATCH_SIZE",
}
_ESCAPE = re.compile(
    rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)
_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_LETTERS |= {c: c for c in (b"\\", b"'", b'"', b"?")}

Scalar = int | float | bool | str | bytes


class BadValueError(Exception):
    """A token that is no value of its field: what is wrong and, if known, what to write."""

    def __init__(self, message: str, fix: str = ""):
        super().__init__(message)
        self.message, self.fix = message, fix


def read_scalar(field: Field, token: Token, negative: bool) -> Scalar:
    """The value of a token that stands for a field of this kind (for strings: of one of the adjacent parts).

    ``negative`` says that a minus sign stood before it. Raises BadValueError.
    """
    return _READERS[field.kind](field, token, negative)


def _integer(field: Field, token: Token, negative: bool) -> int:
    kind, text, _ = token
    if kind != "number" or not _INTEGER.fullmatch(text):
        raise _wrong(field, token, negative, "an integer")
    value = int(text, 16 if text[:2] in ("0x", "0X") else 8 if text[0] == "0" else 10)
    low, high = _RANGES[field.kind]
    if negative and low == 0:
        raise BadValueError(f"{field.name}: expected an integer from 0 on, got -{text}")
    value = -value if negative else value
    if not low <= value <= high:
        got = shown(str(value))[1:-1]
        raise BadValueError(f"{field.name}: expected an integer from {low} to {high}, got {got}")
    return value


def _float(field: Field, token: Token, negative: bool) -> float:
    kind, text, _ = token
    if kind == "word" and text.lower() in _NOT_FINITE:
        value = _NOT_FINITE[text.lower()]
    elif kind == "number" and _FLOAT.fullmatch(text):
        value = float(text.rstrip("fF"))
        _check_range(field, text, value)
    else:
        raise _wrong(field, token, negative, "a number")
    return -value if negative else value


def _check_range(field: Field, text: str, value: float) -> None:
    try:
        struct.pack("<f" if field.kind == "float" else "<d", value)
    except OverflowError:
        value = float("inf")
    if value == float("inf"):
        fix = "write inf if that is meant"
        raise BadValueError(f"{field.name}: {text} is too large for a {field.kind}", fix)


def _bool(field: Field, token: Token, negative: bool) -> bool:
    kind, text, _ = token
    if not negative and kind == "word" and text in _TRUTH:
        return _TRUTH[text]
    if not negative and kind == "number" and _INTEGER.fullmatch(text) and text.strip("0") in ("", "1"):
        return bool(text.strip("0"))
    hint = suggestion(text.strip("\"'"), ["true", "false"], _TRUTH_ALIASES)
    raise BadValueError(f"{field.name}: expected true or false, got {_got(token, negative)}{hint}")


def _enum(field: Field, token: Token, negative: bool) -> int:
    kind, text, _ = token
    if not negative and kind == "word" and text in field.values:
        return field.values[text]
    if kind == "number" and _INTEGER.fullmatch(text):
        number = _integer(replace(field, kind="int32"), token, negative)
        if number in field.values.values():
            return number
    names = list(field.values)
    hint = suggestion(text.strip("\"'"), names, _ENUM_ALIASES)
    if not hint and kind == "string" and text[1:-1] in names:
        hint = " in quotes"
    raise BadValueError(f"{field.name}: expected one of {_listed(field)}, got {_got(token, negative)}{hint}")


def _listed(field: Field) -> str:
    """The names to choose from: BVLC Caffe's, and how many more there are."""
    names = list(field.values)
    own = _OWN_VALUES.get(field.type, len(names))
    more = f" (or {len(names) - own} of forks)" if own < len(names) else ""
    return ", ".join(names[:own]) + more if own <= 12 else f"the {len(names)} names of {field.type}"


def _string(field: Field, token: Token, negative: bool) -> str:
    if not negative and token[0] == "string" and "\\" not in token[1] and token[1].isascii():
        return token[1][1:-1]
    try:
        return _bytes(field, token, negative).decode()
    except UnicodeDecodeError:
        raise BadValueError(
            f"{field.name}: {shown(token[1])} holds bytes that are not UTF-8", "save the file as UTF-8"
        ) from None


def _bytes(field: Field, token: Token, negative: bool) -> bytes:
    kind, text, _ = token
    if kind == "unclosed":
        raise BadValueError(f"{field.name}: the string {shown(text)} has no closing quote on its line")
    if kind != "string" or negative:
        fix = f'write "{text}"' if kind == "word" and not negative else ""
        raise _wrong(field, token, negative, "a string in quotes", fix)

    def plain(match: re.Match[bytes]) -> bytes:
        return _unescaped(field, match)

    return _ESCAPE.sub(plain, text[1:-1].encode("utf-8", "surrogateescape"))


def _unescaped(field: Field, match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, short, long, letter = match.groups()
    if octal or hexadecimal:
        return bytes([int(octal, 8) & 0xFF if octal else int(hexadecimal, 16)])
    if short or long:
        code = int(short or long, 16)
        if code <= 0x10FFFF:
            return chr(code).encode("utf-8", "surrogatepass")
    elif letter in _LETTERS:
        return _LETTERS[letter]
    escape = shown(match[0].decode("utf-8", "replace"))
    raise BadValueError(f"{field.name}: unknown escape {escape} in a string")


def _wrong(field: Field, token: Token, negative: bool, expected: str, fix: str = "") -> BadValueError:
    return BadValueError(f"{field.name}: expected {expected}, got {_got(token, negative)}", fix)


def _got(token: Token, negative: bool) -> str:
    kind, text, _ = token
    sign = "-" if negative else ""
    if kind == "end":
        return "the end of the file"
    return sign + text if kind == "number" and len(text) < 40 else shown(sign + text)


_READERS: dict[str, Callable[[Field, Token, bool], Scalar]] = {
    "int32": _integer,
    "int64": _integer,
    "uint32": _integer,
    "float": _float,
    "double": _float,
    "bool": _bool,
    "enum": _enum,
    "string": _string,
    "bytes": _bytes,
}
