"""The head of a request: what in it could be read in two ways, or by nobody, is refused before any route sees it."""

import re
from urllib.parse import unquote

from starlette.types import Scope

from gateway.errors import GatewayError, MalformedRequest, NotFound, Place, Text

_ONCE = (b"authorization", b"content-encoding", b"content-type", b"host", b"idempotency-key")
"""Fields of which two would leave it open which one counts."""
_HOST = re.compile(rb"[A-Za-z0-9._~-]+(:[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{0,5})?")
_MOST_NAMED, _LONGEST_NAME = 20, 200
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def fault_of(scope: Scope) -> GatewayError | None:
    """What is wrong with a head, if something is.

    A ``Host`` that is none would become part of addresses that are made with it (CVE-2026-48710); a NUL in an address
    is in no name there is, and no text that the database takes.
    """
    names = [name for name, _ in scope["headers"]]
    for name in _ONCE:
        if names.count(name) > 1:
            return _wrong(name.decode().title(), Text("Chỉ được có một lần.", "Must be there only once."))
    host = next((value for name, value in scope["headers"] if name == b"host"), None)
    if host is None and scope.get("http_version") != "1.0":
        return _wrong("Host", Text("Bắt buộc phải có.", "Must be there."))
    if host is not None and _HOST.fullmatch(host) is None:
        return _wrong("Host", Text("Không phải tên máy chủ.", "Is not the name of a host."))
    if "\0" in scope["path"]:
        return NotFound()
    named = [each.partition(b"=")[0] for each in scope["query_string"].split(b"&") if b"%00" in each]
    if named:
        message = Text("Chứa ký tự NUL.", "Contains a NUL character.")
        return MalformedRequest(errors=[Place(_shown(each), message) for each in named[:_MOST_NAMED]])
    return None


def trace_of(traceparent: bytes) -> str | None:
    """The trace that a request belongs to (W3C Trace Context, 3.2); None where none is named well."""
    found = _TRACE.fullmatch(traceparent)
    return found[1].decode() if found and found[1].strip(b"0") else None


def _shown(name: bytes) -> str:
    return unquote(name.decode("latin-1")).replace("\0", "")[:_LONGEST_NAME]


def _wrong(field: str, message: Text) -> MalformedRequest:
    return MalformedRequest(message, errors=[Place(field, message)])
