"""``caffelite layers [TYPE]``: the layer types there are, all about one, or the pages of all."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from caffelite import layer_pages as pages
from caffelite.atomic import atomic_write, make_folder
from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.cli.table import table
from caffelite.layers.base import Layer
from caffelite.layers.registry import layer_types, lookup, shipped_types


def _run(options: Options) -> int:
    if options.text("pages"):
        return _write_pages(Path(options.text("pages")))
    lines = _one(options.arguments[0]) if options.arguments else _all()
    print("\n".join(lines))
    return 0


def _all() -> Iterator[str]:
    types = layer_types()
    yield from table(("type", "what it does"), [(type_, _first_line(lookup(type_))) for type_ in types])
    yield f"\n{len(types)} types; 'caffelite layers TYPE' tells more about one."


def _one(type_: str) -> Iterator[str]:
    cls = lookup(type_, name=type_)
    yield f"{type_}: {inspect.getdoc(cls) or 'no description'}".replace("``", "")
    yield ""
    yield f"bottoms: {_names(cls.bottoms)}"
    yield f"tops:    {_names(cls.tops)}"
    if cls.message:
        yield ""
        yield f"{cls.message}:"
        body = [(f.name, pages.values(cls, f), pages.default(cls, f)) for f in pages.known_fields(cls)]
        yield from (f"  {line}" for line in table(("field", "values", "default"), body))
    if "Example" in pages.sections(cls):
        yield ""
        yield pages.net_text(type_, pages.example(cls)).rstrip()


def _first_line(cls: type[Layer]) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0].replace("``", "")


def _names(names: tuple[str, ...]) -> str:
    marks = {"?": " (may be left out)", "*": " (one or more)"}
    return ", ".join(name.rstrip("?*") + marks.get(name[-1], "") for name in names) or "none"


def _write_pages(folder: Path) -> int:
    """Runs every example and writes its page."""
    make_folder(folder)
    with pages.sample_files():
        texts = {f"{type_}.md": pages.page(type_) for type_ in shipped_types()}
    for name, text in {**texts, "README.md": pages.index()}.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    print(f"{len(texts)} pages in {folder}")
    return 0


COMMAND = Command(
    "the layer types there are, or bottoms, tops, fields and an example of one",
    _run,
    flags=(Flag("pages", "", "write the documentation page of every type into this folder"),),
    usage="[TYPE]",
    examples=("caffelite layers", "caffelite layers Convolution", "caffelite layers --pages docs/layers"),
    words=(0, 1),
)
