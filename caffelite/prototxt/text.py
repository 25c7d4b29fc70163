"""Reads protobuf's text format into messages, remembers where everything stood, and finds all errors at once.

protobuf's own reader stops at the first error and forgets positions; this one goes on after each, so that a
file with six mistakes is reported with six places. What it accepts is what Caffe's reader accepts.
"""

from __future__ import annotations

from dataclasses import dataclass

from caffelite.errors import Problem, PrototxtError
from caffelite.prototxt.hints import Frame, fix_for_unknown, nearest_field
from caffelite.prototxt.positions import Lines, Positions, Spot
from caffelite.prototxt.scalars import BadValueError, Scalar, read_scalar
from caffelite.prototxt.schema import Field, Message, MessageType, message, message_type
from caffelite.prototxt.tokens import CLOSERS, OPENERS, balance, shown, tokenize

_CLOSER = {"{": "}", "<": ">", "[": "]"}


@dataclass(frozen=True)
class Reading:
    """What a text holds: its message, the places of the fields, notes, and all problems in their order.

    With problems the message is what could be read in spite of them, misspelt fields included.
    """

    message: Message
    positions: Positions
    notes: list[str]
    problems: list[Problem]


def parse_text(
    text: str | bytes, name: str, file: str = "<text>", *, lenient: bool = False
) -> tuple[Message, Positions, list[str]]:
    """A message of the type ``name``, the positions of its fields, and notes.

    ``lenient`` turns fields that the schema lacks into notes. Bytes are taken as UTF-8; others may stand in
    comments. Raises PrototxtError with every problem of the text, in its order.
    """
    reading = read_text(text, name, file, lenient=lenient)
    if reading.problems:
        raise PrototxtError(reading.problems)
    return reading.message, reading.positions, reading.notes


def read_text(text: str | bytes, name: str, file: str = "<text>", *, lenient: bool = False) -> Reading:
    """As ``parse_text``, but problems are handed out with what could be read. For checkers."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    text = text.removeprefix("\ufeff")
    lines, result, spot = Lines(text, file), message(name)(), Spot(0)
    reader = _Reader(text, lines, lenient)
    if "\0" in text:
        reader.problems.append(Problem(lines.location(0), "this is a binary file, not a prototxt"))
    else:
        reader.read(result, message_type(name), spot)
    problems = sorted(reader.problems, key=lambda problem: problem.location)
    return Reading(result, Positions(lines, spot), reader.notes, problems)


class _Reader:
    """One pass over the tokens of a text."""

    def __init__(self, text: str, lines: Lines, lenient: bool):
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self._text = text
        self._lines = lines
        self._lenient = lenient
        self._tokens = tokenize(text)
        self._balance = balance(self._tokens)
        self._at = 0
        self._frames: list[Frame] = []

    @property
    def _kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def _offset(self) -> int:
        return self._tokens[self._at][2]

    def read(self, result: Message, type_: MessageType, spot: Spot) -> None:
        """Fills a message from the whole text."""
        self._body(result, Frame(type_, "", 0), spot, "end")

    def _body(self, result: Message, frame: Frame, spot: Spot, closer: str) -> None:
        """Fields up to the closing token, which is taken too."""
        self._frames.append(frame)
        fields = frame.type.fields
        while True:
            kind, text, offset = self._tokens[self._at]
            if kind == "word":
                field = fields.get(text)
                if field is not None:
                    self._field(field, result, spot)
                elif self._ends_unclosed(text):
                    self._report(offset, f"{self._unclosed(frame, closer)}, got '{text}'")
                    break
                else:
                    self._unknown(result)
            elif kind == closer or kind == "end":
                self._at += kind != "end"
                if kind != closer:
                    self._report(offset, f"{self._unclosed(frame, closer)}, got the end of the file")
                break
            elif self._stray(closer):
                break
        for name in frame.type.required:
            if name not in spot.fields:
                self._report(spot.offset, f"{frame} has no '{name}', which it needs")
        self._frames.pop()

    def _field(self, field: Field, result: Message, spot: Spot) -> None:
        """One known field: name, colon, value or list of values, separator."""
        name, offset = field.name, self._offset
        self._at += 1
        colon = self._take(":")
        known = spot.fields.setdefault(name, [])
        if known and not field.repeated:
            first = known[0] if isinstance(known[0], int) else known[0].offset
            self._report(offset, f"'{name}' is given twice, first at line {self._lines.location(first).line}")
        if field.kind != "message" and not colon:
            self._report(self._offset, f"expected ':' after '{name}', got {self._got()}")
        if self._kind == "[":
            self._list(field, result, known)
        else:
            self._value(field, result, known, offset)
        if self._kind in (";", ","):
            self._at += 1

    def _list(self, field: Field, result: Message, known: list[int | Spot]) -> None:
        """``[value, value]``, the short form of a repeated field."""
        opened = self._offset
        if not field.repeated:
            self._report(opened, f"'{field.name}' takes one value, not a list")
        self._at += 1
        while not self._take("]"):
            before = self._at
            self._value(field, result, known, self._offset)
            if not self._take(",") and self._kind != "]" or self._at == before:
                self._report(self._offset, f"expected ',' or ']' in a list, got {self._got()}")
                self._skip_line()
                self._take("]")
                return

    def _value(self, field: Field, result: Message, known: list[int | Spot], offset: int) -> None:
        """One value, added to the message and to the positions."""
        if field.kind == "message":
            self._submessage(field, result, known, offset)
            return
        value = self._scalar(field)
        known.append(offset)
        if value is None:
            return
        if field.repeated:
            getattr(result, field.name).append(value)
        else:
            setattr(result, field.name, value)

    def _submessage(self, field: Field, result: Message, known: list[int | Spot], offset: int) -> None:
        kind, opened = self._kind, self._offset
        if kind in ("{", "<"):
            self._at += 1
        else:
            self._report(opened, f"expected '{{' after '{field.name}', got {self._got()}")
            if self._balance >= 0 or not self._starts_field():
                self._skip_value()
                known.append(offset)
                return
            self._balance += 1  # a brace is missing: go on as if it stood here
            kind, opened = "{", offset
        if field.repeated:
            child = getattr(result, field.name).add()
        else:
            child = getattr(result, field.name)
            child.SetInParent()
        spot = Spot(offset)
        known.append(spot)
        self._body(child, Frame(message_type(field.type), field.name, opened), spot, _CLOSER[kind])

    def _scalar(self, field: Field) -> Scalar | None:
        """The value at the current token; None, after a report, if there is none."""
        start = self._at
        if self._is_absent(field):
            self._report(self._tokens[start][2], f"{field.name}: expected a value, got {self._got()}")
            return None
        negative = self._take("-")
        try:
            value = read_scalar(field, self._tokens[self._at], negative)
            self._at += 1
            if field.kind in ("string", "bytes"):
                while self._kind == "string":
                    value += read_scalar(field, self._tokens[self._at], False)  # type: ignore[operator]
                    self._at += 1
        except BadValueError as error:
            self._report(self._tokens[start if negative else self._at][2], error.message, error.fix)
            self._skip_value()
            return None
        return value

    def _is_absent(self, field: Field) -> bool:
        """Whether the next field, or the end of the message, stands where a value of ``field`` should."""
        kind, text, _ = self._tokens[self._at]
        if kind == "word":
            return text not in field.values and self._starts_field()
        return kind in CLOSERS or kind in ("end", ";", ",", ":")

    def _unknown(self, result: Message) -> None:
        """A field that the message lacks. If it is nearly one with fields, those are checked too."""
        frame = self._frames[-1]
        _, word, offset = self._tokens[self._at]
        meant = nearest_field(word, frame.type)
        self._at += 1
        self._report_unknown(word, offset, meant, result)
        self._take(":")
        kind, opened = self._kind, self._offset
        field = frame.type.fields[meant] if meant else None
        if field and field.kind == "message" and kind in ("{", "<") and not self._lenient:
            self._at += 1
            inner = Frame(message_type(field.type), word, opened)
            self._body(message(field.type)(), inner, Spot(offset), _CLOSER[kind])
        else:
            if field and field.kind != "message" and not self._lenient:
                self._assume(field, result)
            self._skip_value()
        if self._kind in (";", ","):
            self._at += 1

    def _assume(self, field: Field, result: Message) -> None:
        """Gives a value to the field that was meant, lest checkers complain about its absence as well."""
        try:
            value = read_scalar(field, self._tokens[self._at], False)
        except BadValueError:
            return
        if field.repeated:
            getattr(result, field.name).append(value)
        elif not result.HasField(field.name):
            setattr(result, field.name, value)

    def _report_unknown(self, word: str, offset: int, meant: str | None, result: Message) -> None:
        frame = self._frames[-1]
        text = f"{frame} has no field '{word}'"
        if self._lenient:
            self.notes.append(f"{self._lines.location(offset)}: {text}; ignored")
        elif meant:
            self._report(offset, f"{text}; did you mean '{meant}'?")
        else:
            layer_type = result.type if frame.type.name == "LayerParameter" else ""
            self._report(offset, text, fix_for_unknown(word, self._frames, layer_type))

    def _ends_unclosed(self, word: str) -> bool:
        """Whether an unknown field shows that a ``}`` is missing: one is, and a message around has it."""
        levels = next((n for n, f in enumerate(reversed(self._frames)) if word in f.type.fields), 0)
        if not 0 < levels <= self._balance:
            return False
        self._balance -= 1
        return True

    def _stray(self, closer: str) -> bool:
        """Reports a token that starts no field; True if it closes the message all the same."""
        kind, text, offset = self._tokens[self._at]
        if kind in ("}", ">"):
            self._at += 1
            if closer == "end":
                self._report(offset, f"'{text}' closes nothing")
                return False
            self._report(offset, f"{self._unclosed(self._frames[-1], closer)}, got '{text}'")
            return True
        fix = "comments start with #" if text.startswith("//") else ""
        self._report(offset, f"expected the name of a field, got {self._got()}", fix)
        if kind in OPENERS:
            self._skip_balanced()
        else:
            self._at += 1
        self._skip_line()
        return False

    def _skip_value(self) -> None:
        """Steps over a value that could not be read or that nobody wants."""
        self._take("-")
        kind = self._kind
        if kind in OPENERS:
            self._skip_balanced()
        elif kind == "string":
            while self._kind == "string":
                self._at += 1
        elif kind == "number" or (kind == "word" and not self._starts_field()):
            self._at += 1
        if self._kind in ("bad", "unclosed", "number", "string"):
            self._skip_line()

    def _skip_line(self) -> None:
        """Steps up to the end of the line or of the message, or to the next field."""
        end = self._text.find("\n", self._offset)
        end = len(self._text) if end < 0 else end
        while self._offset < end and self._kind not in CLOSERS:
            if self._starts_field():
                return
            if self._kind in OPENERS:
                self._skip_balanced()
            else:
                self._at += 1

    def _starts_field(self) -> bool:
        return self._kind == "word" and self._tokens[self._at + 1][0] in (":", "{")

    def _skip_balanced(self) -> None:
        """Steps over ``{ ... }``, ``< ... >`` or ``[ ... ]``."""
        depth = 0
        while self._kind != "end":
            kind = self._kind
            depth += (kind in OPENERS) - (kind in CLOSERS)
            self._at += 1
            if depth == 0:
                return

    def _take(self, kind: str) -> bool:
        """Steps over the current token if it is of this kind."""
        found = self._kind == kind
        self._at += found
        return found

    def _got(self) -> str:
        kind, text, _ = self._tokens[self._at]
        return "the end of the file" if kind == "end" else shown(text)

    def _unclosed(self, frame: Frame, closer: str) -> str:
        line = self._lines.location(frame.offset).line
        return f"expected '{closer}' to close '{frame}' opened at line {line}"

    def _report(self, offset: int, message_: str, fix: str = "") -> None:
        self.problems.append(Problem(self._lines.location(offset), message_, fix))
