"""Archives: bytes are counted as they come out, whatever an entry says of itself."""

import pytest

from gateway.errors import ContentTooLarge, MalformedRequest
from gateway.formats import archive
from gateway.formats.archive import Archive
from hostile import MIB, a_bomb, lying
from workbooks import packed


def inflated(body: bytes, name: str) -> int:
    return sum(map(len, Archive(body).pieces(name)))


def test_an_entry_is_given_whole_in_pieces() -> None:
    pieces = list(Archive(packed({"a": b"x" * MIB, "b": b"y"})).pieces("a"))
    assert b"".join(pieces) == b"x" * MIB
    assert max(map(len, pieces)) <= MIB // 4


def test_an_entry_that_grows_too_much_is_stopped_early() -> None:
    with pytest.raises(ContentTooLarge):
        inflated(a_bomb("a", 20 * MIB), "a")


def test_all_entries_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    body = packed({"a": b"x" * 600, "b": b"y" * 600})
    assert inflated(body, "a") == 600
    monkeypatch.setattr(archive, "_LARGEST_CONTENT", 1000)
    opened = Archive(body)
    list(opened.pieces("a"))
    with pytest.raises(ContentTooLarge):
        list(opened.pieces("b"))


def test_what_an_entry_says_of_its_size_is_not_believed() -> None:
    with pytest.raises(MalformedRequest):
        inflated(lying(packed({"a.txt": b"x" * 5000}), b"a.txt"), "a.txt")
