"""XML of strangers: read as a stream, without document types, entities of one's own, or anything fetched.

What makes XML dangerous begins with a document type (entities that grow or reach outside, defaults, schemas), so a
file that has one is refused where it begins. XInclude, stylesheets and ``xsi:schemaLocation`` are read past: nothing
here acts on them.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol
from xml.parsers import expat

from gateway.errors import ContentTooLarge, Text
from gateway.formats.upload import malformed

_DEEPEST = 32
_MOST_ELEMENTS = 1_000_000
_MOST_ATTRIBUTES = 600
_LONGEST_TEXT = 100_000
_PIECE = 256 * 1024
_LONGEST_TOKEN = 1024 * 1024
"""Bytes of one tag, comment or the like: the parser looks again at what it has not understood at every piece."""


_OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_NOT_UTF_8 = Text("XML phải là UTF-8.", "XML must be UTF-8.")


class Handler(Protocol):
    """What is told of a file: elements by namespace and name; ``attributes`` are those without a namespace."""

    def opened(self, space: str, name: str, attributes: Mapping[str, str]) -> None: ...
    def closed(self, name: str, text: str) -> None: ...


class Reader:
    """Reads a file and tells a handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._texts: list[list[str]] = []
        self._lengths: list[int] = []
        self._elements = 0
        self._parser = parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.XmlDeclHandler = self._declared
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters

    def read(self, pieces: Iterable[bytes]) -> None:
        """Read it all. Raises ``MalformedRequest``, ``ContentTooLarge``."""
        size = 0
        try:
            for piece in pieces:
                if not size and (b"\0" in piece[:4] or piece.startswith(_OTHER_MARKS)):
                    raise malformed(_NOT_UTF_8)
                self._parser.Parse(piece, False)
                size += len(piece)
                if size - max(self._parser.CurrentByteIndex, 0) > _LONGEST_TOKEN + len(piece):
                    raise malformed(Text("Một thẻ quá dài.", "A tag is too long."), self.spot)
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            words = expat.errors.messages.get(error.code, "")
            spot = Text(
                f"dòng {error.lineno}, cột {error.offset + 1}", f"line {error.lineno}, column {error.offset + 1}"
            )
            raise malformed(Text("XML không đúng cú pháp.", f"Not well-formed XML: {words}."), spot) from None

    @property
    def spot(self) -> Text:
        """Where it is just now."""
        line, column = self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1
        return Text(f"dòng {line}, cột {column}", f"line {line}, column {column}")

    def _doctype(self, *_: object) -> None:
        raise malformed(
            Text("Không nhận XML có DOCTYPE hoặc thực thể.", "XML with a DOCTYPE or entities is not taken."), self.spot
        )

    def _declared(self, _: str, encoding: str | None, __: int) -> None:
        if encoding is not None and encoding.lower() not in {"utf-8", "utf8"}:
            raise malformed(_NOT_UTF_8, self.spot)

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._elements += 1
        if self._elements > _MOST_ELEMENTS:
            raise ContentTooLarge(Text("Tệp XML có quá nhiều phần tử.", "The XML file has too many elements."))
        if len(self._texts) >= _DEEPEST or len(attributes) > _MOST_ATTRIBUTES:
            raise malformed(Text("Cấu trúc XML quá sâu hoặc quá rộng.", "The XML is too deep or too wide."), self.spot)
        self._texts.append([])
        self._lengths.append(0)
        space, _, local = name.rpartition(" ")
        plain = {key: value for key, value in attributes.items() if " " not in key}
        if len(plain) < len(attributes):  # a namespace says nothing here that a name does not, but in references
            spaced = {key.rpartition(" ")[2]: value for key, value in attributes.items() if " " in key}
            plain = {f":{key}": value for key, value in spaced.items()} | plain
        self._handler.opened(space, local, plain)

    def _end(self, name: str) -> None:
        self._lengths.pop()
        self._handler.closed(name.rpartition(" ")[2], "".join(self._texts.pop()))

    def _characters(self, text: str) -> None:
        self._lengths[-1] += len(text)
        if self._lengths[-1] > _LONGEST_TEXT:
            raise malformed(Text("Một đoạn chữ quá dài.", "A text is too long."), self.spot)
        self._texts[-1].append(text)


def in_pieces(body: bytes) -> Iterator[bytes]:
    """A body in pieces of the size that the reader takes."""
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]
