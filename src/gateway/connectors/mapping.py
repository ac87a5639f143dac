"""Mapping: how reports are told to a system of another shape, as data among the options of a connector.

Everything that could be wrong with it is told when the connector is made. What cannot be built from one report is
an outcome, and nothing of it is sent.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from gateway.connectors.answered import unlike
from gateway.connectors.connector import (
    ConnectorSettings,
    Dispatch,
    InvalidConnectorOptions,
    InvalidConnectorSettings,
)
from gateway.connectors.head import filled_header, filled_path, read_header, read_path
from gateway.connectors.template import AS_TEXT, Node, Scope, Unfilled, Words, fill
from gateway.connectors.template_syntax import TemplateReader
from gateway.connectors.transport import NoReply, Reply
from gateway.domain.delivery import Event, Outcome, OutcomeClass
from gateway.domain.document import Document, refusal
from gateway.domain.exact import decode

NOTICE = frozenset({"event", "report", "reason"})
"""What is known of a return or a withdrawal."""
REPORT = frozenset(
    {"id", "status", "form", "form_version", "agency", "period", "kind", "revision", "corrects", "received_at", "late"}
    | {"sha256", "findings", "receipt", "nil", "reason", "explanations", "ended", "rows"}
)
"""What `GET /v1/reports/{id}` shows of an accepted report."""
PERIOD = frozenset({"year", "part"})
"""What its period consists of: 2026, and `Q3`; `Y` for the year itself."""

_LONGEST_REPLY = 1024 * 1024
"""Bytes: an answer that is judged by its body may name every record."""
_BOM = b"\xef\xbb\xbf"
_POINTER = re.compile(r"(?:/[^/]+)+")


def scalar(value: object) -> object:
    """A value that is no list and no object."""
    if value is None or isinstance(value, str | int | Decimal):
        return value
    raise refusal("Phải là chuỗi ký tự, số, true, false hoặc null", "Must be a string, a number, true, false or null")


_Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_Template = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Scalar = Annotated[Any, AfterValidator(scalar)]
Answered = dict[_Word, Annotated[list[Scalar], Field(min_length=1, max_length=100)]]
"""Values that places of an answer may have, by JSON Pointer; `*` is each element of a list."""


class EventRequest(Document):
    """How one event is told. What is left out is as without a mapping."""

    method: Literal["POST", "PUT", "PATCH"] = "POST"
    path: _Template | None = Field(None, description="What follows the URL of the connector.")
    headers: dict[str, _Template] = Field(default_factory=dict, max_length=30)
    body: Any = None
    taken: Answered = Field(
        default_factory=dict, max_length=20, description="What a 2xx must answer to count as taken."
    )
    busy: Answered = Field(default_factory=dict, max_length=20, description="What a 2xx answers that asks to wait.")

    @property
    def is_judged(self) -> bool:
        """Whether more than the status of an answer counts."""
        return bool(self.taken or self.busy)


class MappingOptions(Document):
    """The requests for the events, and tables of what codes are called there.

    Where there is none at all, each event is sent as it is.
    """

    accepted: EventRequest | None = None
    returned: EventRequest | None = None
    withdrawn: EventRequest | None = None
    codes: dict[_Word, dict[_Word, Scalar]] = Field(default_factory=dict, max_length=100)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that can be sent: the dispatch with the body as it is told there."""

    dispatch: Dispatch
    how: EventRequest
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def judged(self, reply: Reply | NoReply, outcome: Outcome) -> Outcome:
        """What an answer means whose status alone means `outcome`."""
        if isinstance(reply, NoReply) or outcome.kind is not OutcomeClass.delivered or not self.how.is_judged:
            return outcome
        try:
            answer = decode(reply.body.removeprefix(_BOM))
        except ValueError:
            words = f"the upstream answered {outcome.status} with no JSON: it may not be the system itself"
            return replace(outcome, kind=OutcomeClass.ambiguous, reason=words)
        if self.how.busy and unlike(answer, self.how.busy) is None:
            words = f"the upstream asked to wait: it answered {outcome.status}, and in the body that it is busy"
            return replace(outcome, kind=OutcomeClass.throttled, reason=words)
        if (place := unlike(answer, self.how.taken)) is None:
            return outcome
        words = f"refused: the upstream answered {outcome.status}, but {place} of its answer is not what means taken"
        return replace(outcome, kind=OutcomeClass.refused, reason=words, retry_after=None)


@dataclass(frozen=True, slots=True)
class _Templates:
    """The templates of one event."""

    how: EventRequest
    path: Words | None
    headers: Mapping[str, Words]
    body: "Node | None"

    def prepared(self, dispatch: Dispatch) -> Prepared:
        """The request for a dispatch. Raises `Unfilled`."""
        scope = _scope(dispatch)
        if self.body is not None:
            dispatch = dispatch._replace(body=fill(self.body, scope), media_type="application/json")
        headers = {name: filled_header(words, scope) for name, words in self.headers.items()}
        return Prepared(dispatch, self.how, "" if self.path is None else filled_path(self.path, scope), headers)


_PLAIN = EventRequest()
"""What is sent where options map nothing."""


class Mapper:
    """Makes the requests of a connector. Raises `InvalidConnectorOptions` with every fault of their templates."""

    def __init__(self, options: MappingOptions) -> None:
        asked = {event: getattr(options, event) for event in (Event.accepted, Event.returned, Event.withdrawn)}
        reader = TemplateReader(options.codes)
        if AS_TEXT in options.codes:
            reader.no(("options", "codes", AS_TEXT), "Tên này đã có công dụng khác.", "This name has another use.")
        self._templates = {event: _read(how, event, reader) for event, how in asked.items() if how is not None}
        if reader.wrong:
            raise InvalidConnectorOptions(reader.wrong)

    def fitted(self, settings: ConnectorSettings) -> ConnectorSettings:
        """The settings with which answers can be judged. Raises `InvalidConnectorSettings` for a URL without room."""
        hows = [each.how for each in self._templates.values()]
        if "?" in settings.url and any(how.path is not None for how in hows):
            raise InvalidConnectorSettings("url may hold no query where options have a path: that follows it")
        if not any(how.is_judged for how in hows):
            return settings
        return replace(settings, max_reply_bytes=max(settings.max_reply_bytes, _LONGEST_REPLY))

    async def prepare(self, dispatch: Dispatch) -> Prepared | Outcome:
        """The request for a dispatch, or why there is none: the same for every attempt.

        In a thread, since a report of many rows takes a second of work.
        """
        templates = self._templates.get(dispatch.event)
        if templates is None:
            if not self._templates:
                return Prepared(dispatch, _PLAIN)
            words = f"options have no request for {dispatch.event}: a person has to do it there"
            return Outcome(OutcomeClass.refused, f"not sent: {words}")
        try:
            return await asyncio.to_thread(templates.prepared, dispatch)
        except Unfilled as error:
            return Outcome(OutcomeClass.refused, f"not sent: {error}")


def address(url: str, path: str) -> str:
    """Where a request goes: what follows the URL of a connector comes after it."""
    return url.rstrip("/") + path if path else url


def _read(how: EventRequest, event: Event, reader: TemplateReader) -> _Templates:
    at, known = ("options", event.value), NOTICE | REPORT | PERIOD if event is Event.accepted else NOTICE
    for name in ("taken", "busy"):
        for place in getattr(how, name):
            if not _POINTER.fullmatch(place):
                reader.no((*at, name, place), "Phải là một JSON Pointer.", "Must be a JSON Pointer.")
    return _Templates(
        how,
        None if how.path is None else read_path(how.path, (*at, "path"), known, reader),
        {name: read_header(name, text, (*at, "headers", name), known, reader) for name, text in how.headers.items()},
        None if how.body is None else reader.json(how.body, (*at, "body"), known),
    )


def _scope(dispatch: Dispatch) -> Scope:
    scope: dict[str, Any] = decode(dispatch.body) | {"event": dispatch.event.value, "report": str(dispatch.report)}
    year, _, part = scope.get("period", "").partition("-")
    return scope | {"year": int(year), "part": part or "Y"} if year else scope
