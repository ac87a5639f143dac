"""The path and the headers of a mapped request: no value of a report can lead out of its place in them."""

import re
from urllib.parse import quote, unquote

from gateway.connectors.template import Scope, Unfilled, Words
from gateway.connectors.template_syntax import Steps, TemplateReader

_RESERVED = frozenset(
    {"accept", "accept-charset", "accept-encoding", "authorization", "connection", "content-digest", "content-encoding"}
    | {"content-length", "content-type", "cookie", "expect", "host", "idempotency-key", "keep-alive", "te", "trailer"}
    | {"proxy-authorization", "proxy-connection", "transfer-encoding", "upgrade", "user-agent"}
)
"""Headers that the gateway sends itself, or that change how a request is read; `webhook-…` are reserved too."""
_LONGEST_PATH, _LONGEST_HEADER = 4000, 4000
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x21-\x7E](?:[\x20-\x7E]*[\x21-\x7E])?")
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")


def read_path(text: str, at: Steps, known: frozenset[str], reader: TemplateReader) -> Words:
    """A template of what follows the URL of a connector."""
    words = reader.words(text, at, known)
    sample = "".join(part if isinstance(part, str) else "x" for part in words.parts)
    if not _PATH.fullmatch(sample) or _climbs(sample):
        reader.no(
            at,
            "Phải bắt đầu bằng '/', viết theo RFC 3986, không có '//', '.' hay '..'.",
            "Must begin with '/', be written as RFC 3986 has it, and have no '//', '.' or '..'.",
        )
    return words


def read_header(name: str, text: str, at: Steps, known: frozenset[str], reader: TemplateReader) -> Words:
    """A template of a header."""
    words = reader.words(text, at, known)
    if not _HEADER_NAME.fullmatch(name):
        reader.no(at, "Không phải tên tiêu đề HTTP.", "Not the name of an HTTP header.")
    elif name.lower() in _RESERVED or name.lower().startswith("webhook-"):
        reader.no(at, "Tiêu đề này đã có công dụng khác.", "This header has another use.")
    if not _HEADER_VALUE.fullmatch("".join(part if isinstance(part, str) else "x" for part in words.parts)):
        reader.no(at, "Chỉ được có ký tự ASCII in được.", "Only printable ASCII, without spaces around it.")
    return words


def filled_header(words: Words, scope: Scope) -> str:
    """The value of a header. Raises `Unfilled`."""
    text = words.filled(scope)
    if not _HEADER_VALUE.fullmatch(text) or len(text) > _LONGEST_HEADER:
        raise Unfilled(words.place, "the value is not one that can be put in a header: short, printable ASCII")
    return text


def filled_path(words: Words, scope: Scope) -> str:
    """What follows the URL, each value percent-encoded as a whole. Raises `Unfilled`."""

    def written(text: str) -> str:
        if not text:
            raise Unfilled(words.place, "a value in it is empty")
        return quote(text, safe="")

    path = words.filled(scope, written)
    if _climbs(path) or len(path) > _LONGEST_PATH:
        raise Unfilled(words.place, "its values make a path that leads elsewhere, or is too long")
    return path


def _climbs(path: str) -> bool:
    """Whether some server on the way could take a path for another one: by dots, or by nothing between slashes."""
    steps = re.split(r"[/\\]", unquote(path.partition("?")[0]))
    return any(step in {".", ".."} for step in steps) or "" in steps[1:-1]
