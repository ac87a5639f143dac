"""XML 1.0 as text, written only: every value is escaped, and what XML cannot hold becomes U+FFFD."""

import re
from collections.abc import Iterable, Mapping

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)


def escaped(text: str) -> str:
    """Text as it may stand between tags or in an attribute."""
    return _ILLEGAL.sub("\ufffd", text).translate(_ESCAPES)


def start(name: str, attributes: Mapping[str, str | None] | None = None, *, empty: bool = False) -> str:
    """A start tag; attributes that are None are left out."""
    given = [f' {key}="{escaped(value)}"' for key, value in (attributes or {}).items() if value is not None]
    return f"<{name}{''.join(given)}{'/' if empty else ''}>"


def element(name: str, attributes: Mapping[str, str | None] | None = None, content: str | Iterable[str] = "") -> str:
    """An element; its content is XML already: other elements, or ``escaped`` text."""
    inner = content if isinstance(content, str) else "".join(content)
    return f"{start(name, attributes)}{inner}</{name}>" if inner else start(name, attributes, empty=True)
