"""SDMX-ML 2.1 and 3.0: what all messages share, and errors. Names and order follow the schemas of the standard."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.formats.sdmx_structures import Header, Names
from gateway.formats.xml import DECLARATION, element, escaped, start

_SCHEMAS = "http://www.sdmx.org/resources/sdmxml/schemas"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One version of SDMX-ML: its namespaces."""

    name: str

    @property
    def is_old(self) -> bool:
        """Whether it is 2.1, where references are elements; in 3.0 they are URNs."""
        return self.name == "v2_1"

    def namespace(self, part: str) -> str:
        return f"{_SCHEMAS}/{self.name}/{part}"

    def opening(self, root: str, **parts: str) -> str:
        """The start of a message; ``parts`` are namespaces besides the two of every message, by prefix."""
        named = {"mes": "message", "com": "common"} | parts
        return DECLARATION + start(root, {f"xmlns:{prefix}": self.namespace(part) for prefix, part in named.items()})


ML_2_1, ML_3_0 = Dialect("v2_1"), Dialect("v3_0")


def header(said: Header, structure: str = "") -> str:
    """The header of a message; ``structure`` is what a data message says there of its structure."""
    parts = [
        element("mes:ID", content=escaped(said.id)),
        element("mes:Test", content="false"),
        element("mes:Prepared", content=escaped(said.prepared)),
        element("mes:Sender", {"id": said.sender}),
        structure,
    ]
    return element("mes:Header", content=parts)


def texts(name: str, names: Names) -> str:
    """A text in every language it has, English first where it has that: it is what many readers take."""
    ordered = sorted(names.items(), key=lambda each: each[0] != "en")
    return "".join(element(name, {"xml:lang": language}, escaped(text)) for language, text in ordered)


def error_message(dialect: Dialect, code: int, messages: Iterable[Mapping[str, str]]) -> bytes:
    """An error (SDMX 2.1, section 7, "Error messages"); each message by language."""
    inner = "".join(texts("com:Text", each) for each in messages)
    message = element("mes:ErrorMessage", {"code": str(code)}, inner)
    return f"{dialect.opening('mes:Error')}{message}</mes:Error>".encode()
