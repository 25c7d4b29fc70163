"""The documentation page of every layer type: made from its class, with an example that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffelite import layer_pages
from caffelite.errors import NetError
from caffelite.layers.base import Layer
from caffelite.layers.pooling import Pooling
from caffelite.layers.registry import shipped_types

DOCS = Path(__file__).parent.parent / "docs" / "layers"


@pytest.mark.parametrize("type_", shipped_types())
def test_a_page_is_current_and_its_example_runs(type_: str) -> None:
    with layer_pages.sample_files():
        page = layer_pages.page(type_)
    committed = (DOCS / f"{type_}.md").read_text(encoding="utf-8")
    hint = "run: caffelite layers --pages docs/layers"
    # What examples give are numbers, whose last digits are the machine's.
    assert page.partition("\ngives\n")[0] == committed.partition("\ngives\n")[0], hint
    assert page.rstrip().endswith("```")


def test_the_index_is_current() -> None:
    assert (DOCS / "README.md").read_text(encoding="utf-8") == layer_pages.index()
    assert {path.stem for path in DOCS.glob("*.md")} == {*shipped_types(), "README"}


def test_fields_tell_defaults_and_what_the_layer_knows() -> None:
    with layer_pages.sample_files():
        page = layer_pages.page("Pooling")
    assert "| `stride` | uint32 | 1 |" in page
    assert "| `pool` | MAX, AVE, STOCHASTIC | MAX |" in page
    assert "avg_include_pad" not in page
    assert [f.name for f in layer_pages.known_fields(Pooling)][:2] == ["pool", "kernel_size"]


def test_an_example_is_read() -> None:
    class Some(Layer):
        """Does something.

        Bottoms: x.
        Example: x (2, 3), label [1, 0], rois [[0, 1], [2, 3]] -> y, mask; some_param { a: 1 }
        """

        tops = ("y", "mask?")

    of = layer_pages.example(Some)
    assert [(name, array.shape) for name, array in of.bottoms] == [
        ("x", (2, 3)),
        ("label", (2,)),
        ("rois", (2, 2)),
    ]
    assert of.bottoms[1][1].tolist() == [1, 0]
    assert of.tops == ["y", "mask"]
    assert of.text == "some_param { a: 1 }"


def test_a_layer_without_an_example() -> None:
    class Some(Layer):
        """Does something."""

    with pytest.raises(NetError, match="Some: its docstring has no line 'Example:'"):
        layer_pages.example(Some)


def test_stars_are_no_emphasis() -> None:
    class Starred(Layer):
        """Gives a * b * c, of ``f(*shape)`` and ``g(
        *more)``:

            y = a * b

        Example: x (2, 3)
        """

    text = layer_pages._markdown(layer_pages.sections(Starred)[""])
    assert text == "Gives a \\* b \\* c, of `f(*shape)` and `g(\n*more)`:\n\n    y = a * b"
