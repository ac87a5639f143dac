# ruff: noqa: E501 - lists of literals
"""Bodies that mean no good, made by rules from one that means well: for any route that takes JSON, forms or lines.

Every one of them must be refused. Whoever adds a rule adds it for every route there is and will be.
"""

import copy
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import zstandard

CANARY = "c4n4ry7f2e"
"""What no answer may repeat, except in the name of a place or the cell that is complained about."""
JSON, LINES, FORM = "application/json", "application/x-ndjson", "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Hostile:
    """A body and the header fields it comes with, besides those that let it in."""

    name: str
    content: bytes
    fields: tuple[tuple[str, str], ...] = (("content-type", JSON),)
    chunks: int = field(default=1, kw_only=True)
    """In how many pieces it is sent."""


DECIMALS = {"requests_per_second", "rate", "min", "max"}
"""Members whose numbers may be written with a point."""
LITERALS = (
    *("NaN", "nan", "Infinity", "-Infinity", "inf", "-NaN", "1e400e", "+1", "01", "-01", "00", "0x10", "0b1", "0o7", "1_000"),
    *(".5", "5.", "-.5", "1.e3", "1e", "1e+", "--1", "- 1", "1 2", "٣", "１", "½", "1,5", "1.2.3", "1f", "1n", "0x1p3"),
    *("True", "None", "nil", "undefined", "TRUE", "tru", "nul", "'x'", "`x`", '"x', 'x"', '"\\x41"', '"\\u12"', '"\\u{41}"'),
    *('"\\ud800"', '"\\udc00"', '"\\ud800\\u0041"', '"\\ud800\\ud800"', '"\\a"', '"\\"', '"a\tb"', '"a\nb"', '"\x01"', '"\x1b[31m"'),
    *('"\\u0000"', '"a\\u0000b"', "[1,]", "[,1]", "[1 1]", "[", "]", "{", "}", "[}", "{]", "[1", "{1:1}", "{a:1}", "{'a':1}"),
    *('{"a"}', '{"a":}', '{"a":1,}', '{,}', '{"a" 1}', '{"a"::1}', '{"a":1 "b":2}', '{"a":1,,"b":2}', '{"a":1;"b":2}', '[1;2]'),
    *('{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '[{"b":{"a":1,"a":1}}]', "/* c */ 1", "1 // c", "1 # c", "<!-- -->1", "(1)", "1;"),
    *("9" * 5000, "-" + "9" * 5000, "1e" + "9" * 30, "Date(1)", "@1", "$1", "\\", "\x00", "\ufeff1", "\u200b1", "1\u00a0", "\x0c1"),
)  # fmt: skip
"""What is no value of strict JSON, or none that can be held."""

WRONG: dict[str, tuple[object, ...]] = {
    "a string": ("x" + CANARY, ""),
    "a number": (5, -1, 0, 1.5, 10**40),
    "a boolean": (True, False),
    "a list": ([], [CANARY], [[]], [None]),
    "an object": ({}, {CANARY: CANARY}, {"$ref": "#"}),
}


def kind_of(value: object) -> str:
    match value:
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "a list"
    return "an object"


def places(value: object, path: tuple[int | str, ...] = ()) -> Iterator[tuple[tuple[int | str, ...], object]]:
    """Every value in a document with where it is."""
    yield path, value
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in members:
        yield from places(member, (*path, step))


def replaced(document: object, path: tuple[int | str, ...], by: object) -> Any:
    """A copy of a document with another value in one place."""
    if not path:
        return by
    made = copy.deepcopy(document)
    at: Any = made
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = by
    return made


def text(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def marked(document: object, path: tuple[int | str, ...], literal: str) -> bytes:
    """The bytes of a document in which one value is written by hand."""
    return text(replaced(document, path, "@@here@@")).replace(b'"@@here@@"', literal.encode("utf-8", "surrogatepass"))


def members_added(document: object, path: tuple[int | str, ...], written: str) -> bytes:
    """The bytes of a document in which an object of it begins with a member written by hand."""
    at: Any = document
    for step in path:
        at = at[step]
    inner = text(at)[1:]
    return marked(document, path, "@@").replace(b"@@", b"{" + written.encode() + (b"," if at else b"") + inner)


def not_json(document: Any) -> Iterator[tuple[str, bytes]]:
    """What is no strict JSON, whatever it should say."""
    good = text(document)
    for number, literal in enumerate(LITERALS):
        raw = literal.encode("utf-8", "surrogatepass")
        yield f"literal {number} alone", raw
        yield f"literal {number} in a list", b"[" + raw + b"]"
        yield f"literal {number} in an object", b'{"a":' + raw + b"}"
        yield f"literal {number} as one more member", b'{"' + CANARY.encode() + b'":' + raw + b"," + good[1:]
    for step in range(1, 24):
        yield f"cut at {step}/24", good[: len(good) * step // 24]
    for number, extra in enumerate(
        (b"x", b",", b"}", b"]", b"\x00", b"{}", b"null", good, b"//", b"\xff", b"\xef\xbb\xbf", b'"')
    ):
        yield f"something after it {number}", good + extra
        yield f"something before it {number}", extra + good
    for depth in (150, 250, 5_000, 50_000):
        for open_, close in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")):
            yield f"{depth} deep {open_!r}", open_ * depth + b"1" + close * depth
            yield f"{depth} deep {open_!r} and cut", open_ * depth
            yield (
                f"{depth} deep {open_!r} in a member",
                b'{"a":' + open_ * depth + b"1" + close * depth + b"," + good[1:],
            )
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig", "utf-7", "cp037"):
        sent = json.dumps({"reason": "Đính chính", "a": document}, ensure_ascii=False).encode(encoding, "replace")
        yield f"written in {encoding}", sent
    for number, raw in enumerate(
        (
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xc1\xbf",
            b"\xf8\x88\x80\x80\x80",
            b"\xed\xa0\x80",
            b"\xff",
            b"\x80",
            b"\xc3",
            b"\xf4\x90\x80\x80",
            b"\xed\xa0\xbd\xed\xb8\x80",
        )
    ):
        yield f"bytes that are no UTF-8 {number}", good.replace(b'"', b'"' + raw, 1)
        yield f"bytes that are no UTF-8 {number} in a value", b'{"a":"' + raw + b'",' + good[1:]


def not_this_document(document: Any, free: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    """Strict JSON that is not what a route takes; ``free`` names members that may be anything."""
    whole: tuple[object, ...] = (None, True, 0, 1.5, "", CANARY, [], [[]], [document, document], [None])
    for number, value in enumerate(whole):
        yield f"no object {number}", text(value)
    for path, value in places(document):
        if not free.isdisjoint(map(str, path)):
            continue
        where = "/".join(map(str, path))
        for kind, others in WRONG.items():
            if path and kind != kind_of(value):
                for number, other in enumerate(others):
                    yield f"{kind} ({number}) at {where}", text(replaced(document, path, other))
        if isinstance(value, str) and path:
            for number, raw in enumerate(
                ('"\\u0000"', '"\\ud800"', '"a\\u0000' + CANARY + '"', '"\\udfff' + CANARY + '"')
            ):
                yield f"no text ({number}) at {where}", marked(document, path, raw)
        if type(value) is int and path[-1] not in DECIMALS:
            for number, raw in enumerate(
                ("1e5", f"{value}.0", f'"{value}"', "1e400", "-1e400", "9" * 4000, "true", "1e-400")
            ):
                yield f"no such number ({number}) at {where}", marked(document, path, raw)
        if isinstance(value, dict):
            for number, name in enumerate(
                (
                    CANARY,
                    "__proto__",
                    "constructor",
                    "",
                    "x" * 10_000,
                    "\u202eform",
                    "\x7f",
                    "a/b~c",
                    "$ref",
                    "Reason",
                    "reason ",
                )
            ):
                yield f"a member too many ({number}) at {where}", members_added(document, path, json.dumps(name) + ":1")
            for name in value:
                yield f"{name} twice at {where}", members_added(document, path, json.dumps(name) + ":1")
            yield f"a NUL in a name at {where}", members_added(document, path, '"a\\u0000b":1')
    yield "a long name above many wrong places", b'{"' + b"k" * 20_000 + b'":[' + b'"\\u0000",' * 2_000 + b"1]}"
    yield "many members", b"{" + b",".join(b'"m%d":1' % number for number in range(5_000)) + b"}"
    yield "many items", b'{"a":[' + b"0," * 60_000 + b"0]," + text(document)[1:]
    yield "a long text", b'{"' + CANARY.encode() + b'":"' + b"x" * 200_000 + b'",' + text(document)[1:]
    yield "many digits after the point", b'{"a":0.' + b"1" * 100_000 + b"," + text(document)[1:]


OTHER_TYPES = (
    *("", "text/plain", "text/json", "application/xml", "multipart/form-data; boundary=x", "application/json+x", "json"),
    *("application/jsonp", "application/problem+json", "*/*", "application/*", "application / json", "text/csv"),
    *("{type}; charset=utf-16", "{type}; charset=iso-8859-1", "{type}; charset=utf-7", '{type}; charset="utf-8', "{type},text/plain"),
    *("{type}; charset=utf-8; charset=utf-16", "{type}; a=b", "{type}\x0b", "application/octet-stream", "image/png"),
)  # fmt: skip
ENCODINGS = (
    *("br", "zstd", "deflate", "compress", "x-gzip2", "gzip, gzip", "identity, gzip", "gzip;q=1", "gzip gzip", "*", "aes128gcm"),
    *("\u00a0gzip", "none", "gzip,", "utf-8"),
)  # fmt: skip


def not_this_way(document: Any, media_type: str) -> Iterator[Hostile]:
    """What may be right, but comes as what it is not, or packed so that it is not found."""
    content = document if isinstance(document, bytes) else text(document)
    typed = ("content-type", media_type)
    for other in OTHER_TYPES:
        yield Hostile(f"as {other!r}", content, (("content-type", other.replace("{type}", media_type)),))
    yield Hostile("as nothing", content, ())
    yield Hostile("as two types", content, (typed, ("content-type", "text/plain")))
    yield Hostile("as the same type twice", content, (typed, typed))
    for coding in ENCODINGS:
        yield Hostile(f"coded by {coding!r}", content, (typed, ("content-encoding", coding)))
    packed = gzip.compress(content, mtime=0)
    zipped = (typed, ("content-encoding", "gzip"))
    broken = {
        "not packed at all": content,
        "nothing": b"",
        "its head alone": packed[:10],
        "half of it": packed[: len(packed) // 2],
        "without its end": packed[:-4],
        "with another sum": packed[:-8] + b"\0\0\0\0" + packed[-4:],
        "with another length": packed[:-4] + b"\xff\xff\xff\x7f",
        "with something after it": packed + b"x",
        "twice over": packed + packed,
        "packed twice": gzip.compress(packed),
        "another format": zlib.compress(content),
        "raw deflate": zlib.compress(content)[2:-4],
        "zstd": zstandard.compress(content),
        "a reserved flag": packed[:3] + b"\xe0" + packed[4:],
    }
    for name, sent in broken.items():
        yield Hostile(f"as gzip: {name}", sent, zipped)
        yield Hostile(f"as gzip in pieces: {name}", sent, zipped, chunks=7)
    yield Hostile("as two codings", packed, (*zipped, ("content-encoding", "gzip")))


def bomb(size: int) -> Hostile:
    """A thousand times as large as it comes: what is in it is one string of spaces."""
    return Hostile("a bomb", _packed(size), (("content-type", JSON), ("content-encoding", "gzip")))


def _packed(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    piece = b" " * (1024 * 1024)
    return b"".join([*(packer.compress(piece) for _ in range(size // len(piece))), packer.flush()])


FORMS = tuple(
    each.encode("utf-8", "surrogatepass")
    for each in (
        *("", "&", "=", "&&&&", "grant_type", "grant_type=", "grant_type=password", "grant_type=client_credentials%00"),
        *(
            "grant_type=client_credentials&grant_type=client_credentials",
            "GRANT_TYPE=client_credentials",
            "grant_type=%ZZ",
        ),
        *("grant_type[]=client_credentials", "grant_type=client_credentials&scope=clients:write+x", "%67rant_type=x"),
        *(
            "grant_type=client_credentials&scope=%00",
            "grant_type=client_credentials&scope=%ed%a0%80",
            "grant_type=a\0b",
        ),
        *("grant_type=client_credentials&client_assertion=x", "grant_type=client_credentials&client_assertion_type=x"),
        *("&".join(f"a{number}=1" for number in range(1000)), "a" * 16_000, "grant_type=" + "a" * 16_000, "a" * 20_000),
        *(
            "grant_type=client_credentials;scope=x",
            "grant_type:client_credentials",
            '{"grant_type":"client_credentials"}',
        ),
        *(
            "grant_type=client_credentials\r\nX-Injected: 1",
            "grant_type=\u202eclient_credentials",
            "grant_type=x\x1b[31m",
        ),
        *(f"grant_type=client_credentials&scope={CANARY}{number}" for number in range(20)),
        *(f"{CANARY}{number}=1" for number in range(20)),
    )
)
"""Forms that give nobody a token."""


def hostile_json(document: Any, free: frozenset[str]) -> Iterator[Hostile]:
    """Everything for a route that takes a JSON document like this one."""
    for name, content in (*not_json(document), *not_this_document(document, free)):
        yield Hostile(name, content)
    for number, (_, content) in enumerate(not_json(document)):
        if number % 40 == 0:
            yield Hostile(f"in pieces {number}", content, chunks=11)
            yield Hostile(
                f"packed {number}", gzip.compress(content), (("content-type", JSON), ("content-encoding", "gzip"))
            )
    yield from not_this_way(document, JSON)


def hostile_lines(document: Any, free: frozenset[str]) -> Iterator[Hostile]:
    """Everything for a route that takes JSON documents, one a line: each of which must be refused."""
    typed = (("content-type", LINES),)
    for name, content in (*not_json(document), *not_this_document(document, free)):
        yield Hostile(f"a line: {name}", content.replace(b"\n", b" ") + b"\n", typed)
    wrong = text(replaced(document, (next(iter(document)),), 5))
    ends: Mapping[str, bytes] = {
        "CR": b"\r",
        "CRLF": b"\r\n",
        "LS": "\u2028".encode(),
        "NUL": b"\0",
        "VT": b"\x0b",
        "RS": b"\x1e",
    }
    for name, end in ends.items():
        yield Hostile(f"lines that end with {name}", (wrong + end) * 3, typed)
        yield Hostile(f"an empty line of {name}", end * 3 + wrong, typed)
    yield Hostile("a list instead of lines", b"[" + wrong + b"," + wrong + b"]", typed)
    yield Hostile("one document over several lines", json.dumps(document, indent=1).encode(), typed)
    yield from not_this_way(text(document) + b"\n", LINES)


def hostile_forms() -> Iterator[Hostile]:
    """Everything for the route that takes a form."""
    typed = (("content-type", FORM),)
    for number, content in enumerate(FORMS):
        yield Hostile(f"form {number}", content, typed)
        yield Hostile(f"form {number} in pieces", content, typed, chunks=5)
        yield Hostile(
            f"form {number} packed and cut", gzip.compress(content)[:-1], (*typed, ("content-encoding", "gzip"))
        )
    for name, content in not_json({"grant_type": "client_credentials"}):
        yield Hostile(f"JSON: {name}", content, typed)
    yield from not_this_way(b"grant_type=client_credentials", FORM)


KEYS = ("", " ", "a b", "a\tb", "é", "a" * 256, "a\x00", "a\x7f", "\u202e", "a\r\nX-Injected: 1", "a" * 5_000)
"""Idempotency keys that are none."""
