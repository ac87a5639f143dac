"""Taking secrets out of what an upstream wrote, also where it wrote them as JSON, a URL, a form or HTML has them."""

import json
import re
from collections.abc import Collection
from functools import lru_cache
from html.entities import codepoint2name


def hide(text: str, secrets: Collection[str]) -> str:
    """The text with `***` for each secret. Words that were cut or split are not known again."""
    for secret in secrets:
        if secret:
            text = _written(secret).sub("***", text)
    return text


_LETTERS = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
"""What JSON writes after a backslash."""


@lru_cache(maxsize=512)
def _written(secret: str) -> re.Pattern[str]:
    """A secret in any of the ways in which it may be written: as it is, as JSON, or each character escaped or not."""
    whole = [secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]]
    pieces = re.findall(r"\\+|.", secret, re.DOTALL)
    return re.compile("|".join([*map(re.escape, dict.fromkeys(whole)), "".join(map(_ways, pieces))]))


def _ways(piece: str) -> str:
    """A character, or a run of backslashes, escaped or as it is. Nobody escapes letters and digits of ASCII.

    What is read as one is never read in another way again: else a text of nothing but escapes would take for ever. So
    the longer ways come first. Backslashes may be doubled twice: a text within JSON within JSON.
    """
    if piece.isascii() and piece.isalnum():
        return piece
    char, most = piece[0], len(piece)
    units = char.encode("utf-16-be").hex(" ", 2).split()
    ways = [
        "".join(rf"\\{{1,3}}+u{unit}" for unit in units),
        "".join(f"%{byte:02x}" for byte in char.encode()),
        rf"&#0{{0,6}}+{ord(char)};",
        rf"&#x0{{0,6}}+{ord(char):x};",
    ]
    if (name := codepoint2name.get(ord(char))) is not None:
        ways.append(f"&{name};")
    match char:
        case "\\":
            several = "" if most == 1 else f"{{{most}}}"
            return f"(?i:(?>(?:{'|'.join(ways)}){several}|\\\\{{{most},{4 * most}}}))"
        case " ":
            ways.append(r"\+")
        case _ if char in _LETTERS:
            ways.append(r"\\{1,3}+" + _LETTERS[char])
    ways.append(r"\\{0,3}+" + re.escape(char))
    return f"(?i:(?>{'|'.join(ways)}))"
