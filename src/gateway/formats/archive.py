"""Zip archives of strangers: looked through before anything is inflated, and inflated within bounds, by piece.

What an entry says of its own size is not believed: bytes are counted as they come out.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

from gateway.errors import ContentTooLarge, MalformedRequest, Text
from gateway.formats.upload import malformed

_MOST_ENTRIES = 500
_LARGEST_DIRECTORY = 256 * 1024
_LARGEST_CONTENT = 64 * 1024 * 1024
"""Bytes that all entries read may come to."""
_STEEPEST, _STEEP_FROM = 100, 4 * 1024 * 1024
"""How many times its size an entry may become, once it is larger than so many bytes."""
_PIECE = 256 * 1024
_END, _END_SIZE = b"PK\x05\x06", 22
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    OSError,
)


class Archive:
    """A zip archive. Raises ``MalformedRequest`` for one that is damaged, encrypted, or made to deceive."""

    def __init__(self, body: bytes) -> None:
        self._left = _LARGEST_CONTENT
        _require_small_directory(body)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(body))
        except _BROKEN:
            raise _damaged() from None
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in self._zip.infolist():
            self._admit(entry)
        _require_apart(self._zip.infolist(), len(body))

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def pieces(self, name: str) -> Iterator[bytes]:
        """An entry's content. Raises ``MalformedRequest``, and ``ContentTooLarge`` past what may be inflated."""
        entry = self._entries.get(name)
        if entry is None:
            raise malformed(Text(f"Tệp nén thiếu {name}.", f"The archive lacks {name}."))
        size = 0
        try:
            with self._zip.open(entry) as content:
                while piece := content.read(_PIECE):
                    size += len(piece)
                    self._left -= len(piece)
                    steep = size > _STEEP_FROM and size > _STEEPEST * max(entry.compress_size, 1)
                    if self._left < 0 or steep:
                        raise ContentTooLarge(
                            Text("Nội dung giải nén quá lớn.", "The archive's content is too large when inflated.")
                        )
                    yield piece
        except _BROKEN:
            raise _damaged() from None

    def _admit(self, entry: zipfile.ZipInfo) -> None:
        name = entry.orig_filename
        steps = name.split("/")
        if "\0" in name or "\\" in name or name.startswith("/") or ".." in steps or ":" in steps[0] or len(name) > 255:
            raise malformed(Text("Tệp nén có tên không hợp lệ.", "The archive has an entry of a forbidden name."))
        if entry.flag_bits & 0x41:
            raise malformed(
                Text("Tệp được đặt mật khẩu; hãy bỏ mật khẩu.", "The file is encrypted: save it without a password.")
            )
        if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise malformed(
                Text("Tệp nén theo cách không được hỗ trợ.", "The archive is compressed in a way not supported.")
            )
        if name.casefold() in {each.casefold() for each in self._entries}:
            raise malformed(Text("Tệp nén có hai mục trùng tên.", "The archive has two entries of one name."))
        self._entries[name] = entry


def _require_small_directory(body: bytes) -> None:
    """Before the directory is read: that it is where it has to be, and small."""
    end = body[-_END_SIZE:]
    if not body.startswith(b"PK") or len(end) < _END_SIZE or not end.startswith(_END) or end[-2:] != b"\0\0":
        raise _damaged()
    *_, here, entries, size, _, _ = struct.unpack("<4s4H2LH", end)
    if body[-_END_SIZE - 20 :].startswith(b"PK\x06\x07") or here != entries:
        raise _damaged()
    if entries > _MOST_ENTRIES or size > _LARGEST_DIRECTORY:
        raise malformed(Text("Tệp nén có quá nhiều mục.", "The archive has too many entries."))


def _require_apart(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Entries that share bytes could each become as large as all of them."""
    ordered = sorted(entries, key=lambda each: each.header_offset)
    ends = [each.header_offset for each in ordered[1:]] + [size]
    if any(each.header_offset + 30 + each.compress_size > end for each, end in zip(ordered, ends, strict=True)):
        raise _damaged()


def _damaged() -> MalformedRequest:
    return malformed(Text("Tệp nén bị hỏng.", "The archive is damaged."))
