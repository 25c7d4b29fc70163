"""Weights fetched as a readme tells."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from caffelite.tools.download_model_binary import download_model_binary, read_card

from .conftest import Run

DATA = bytes(range(256)) * 9000  # two chunks and a bit
SHA1 = hashlib.sha1(DATA).hexdigest()


def make_card(url: str, sha1: str = SHA1, name: str = "net.caffemodel") -> None:
    Path("model").mkdir(exist_ok=True)
    text = f"---\nname: A net\ncaffemodel: {name}\ncaffemodel_url: {url}\nlicense: BSD\nsha1: {sha1}\n---\n\nText: more.\n"
    Path("model/readme.md").write_text(text)


def make_source() -> str:
    Path("source").write_bytes(DATA)
    return Path("source").resolve().as_uri()


def test_old_command_line(run: Run) -> None:
    make_card(make_source())
    result = run("download_model_binary.py model")
    assert (result.code, result.out) == (0, f"wrote {Path('model/net.caffemodel')}\n")
    assert Path("model/net.caffemodel").read_bytes() == DATA


def test_what_is_there_is_not_fetched_again(run: Run) -> None:
    make_card("file:///absent")
    Path("model/net.caffemodel").write_bytes(DATA)
    assert run("download model").out == "Model already exists.\n"


def test_a_wrong_file_of_the_name_is_replaced() -> None:
    make_card(make_source())
    Path("model/net.caffemodel").write_bytes(b"half")
    told: list[tuple[int, int]] = []
    assert download_model_binary("model", lambda done, size: told.append((done, size)))
    assert Path("model/net.caffemodel").read_bytes() == DATA
    assert told == [(1 << 20, len(DATA)), (2 << 20, len(DATA)), (len(DATA), len(DATA))]


def test_a_wrong_checksum_keeps_nothing(run: Run) -> None:
    make_card(make_source(), sha1="0" * 40)
    result = run("download model")
    assert result.code == 3 and f"expected sha1 {'0' * 40}, got {SHA1}" in result.err
    assert [path.name for path in Path("model").iterdir()] == ["readme.md"]


class Handler(BaseHTTPRequestHandler):
    """Serves the data; under /half it breaks off."""

    def do_GET(self) -> None:
        if self.path == "/absent":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA[: 1000 if self.path == "/half" else None])

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "message"),
    [("/net", ""), ("/absent", "HTTP Error 404"), ("/half", "expected sha1")],
)
def test_a_server(run: Run, server: str, path: str, message: str) -> None:
    make_card(server + path)
    result = run("download model")
    assert message in result.err and result.code == (3 if message else 0)
    assert Path("model/net.caffemodel").exists() == (not message)


def test_quotes_windows_line_ends_and_capitals() -> None:
    Path("README.md").write_bytes(
        f"---\r\ncaffemodel: \"a.caffemodel\"\r\ncaffemodel_url: 'http://x/y'\r\nsha1: {SHA1.upper()}\r\n---\r\n".encode()
    )
    card = read_card(".")
    assert (card.path.name, card.url, card.sha1) == ("a.caffemodel", "http://x/y", SHA1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected 'caffemodel: ...', 'caffemodel_url: ...', 'sha1: ...'"),
        ("---\ncaffemodel: a\nsha1: b\n---\n", "expected 'caffemodel_url: ...' between two lines '---'"),
        (
            f"---\ncaffemodel: ../a\ncaffemodel_url: http://x\nsha1: {SHA1}\n---\n",
            "expected a file name, got '../a'",
        ),
        (
            f"---\ncaffemodel: a\ncaffemodel_url: x/y\nsha1: {SHA1}\n---\n",
            "expected an address http://..., got 'x/y'",
        ),
        (
            "---\ncaffemodel: a\ncaffemodel_url: http://x\nsha1: 123\n---\n",
            "expected 40 hexadecimal digits, got '123'",
        ),
    ],
)
def test_cards_that_say_too_little(run: Run, text: str, message: str) -> None:
    Path("readme.md").write_text(text)
    result = run("download .")
    assert result.code == 3 and message in result.err and "readme.md" in result.err


@pytest.mark.parametrize("url", ["http://[x/", "http://x y/", "http://127.0.0.1:1/ü", "file:"])
def test_addresses_that_are_none(run: Run, url: str) -> None:
    make_card(url)
    result = run("download model")
    assert result.code == 3 and f"cannot download '{url}'" in result.err


def test_a_folder_where_the_file_belongs(run: Run) -> None:
    make_card(make_source())
    Path("model/net.caffemodel").mkdir()
    result = run("download model")
    assert result.code == 1 and "cannot write 'model" in result.err


def test_no_card(run: Run) -> None:
    assert "readme 'readme.md' does not exist" in run("download .").err
