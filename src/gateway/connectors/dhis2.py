"""Kind `dhis2`: POSTs the values of a report to a DHIS2 server as a data value set.

What a form, an indicator and a breakdown are called there, and an agency and a period, is data in the options. Data
values are overwritten by key, so a repeat does no harm. DHIS2 has answered in three ways: the import summary itself
(up to 2.37), the summary as `response` of a WebMessage (since 2.38), and either of these with 409 and the conflicts.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from gateway.connectors.connector import ConnectorSettings, Dispatch, InvalidConnectorSettings, options_of
from gateway.connectors.outcome import reminder_refused
from gateway.connectors.post import SignedPost, is_header_token
from gateway.connectors.transport import NoReply, Reply
from gateway.domain.delivery import Event, Outcome, OutcomeClass
from gateway.domain.document import Document
from gateway.domain.exact import decode, encode

_ENDPOINT = "/api/dataValueSets"
_LONGEST_SUMMARY = 1024 * 1024
"""Bytes: an import summary names every value that was not taken."""
_CONFLICT = 409
_SHOWN_CONFLICTS = 5
_LONGEST_CONFLICT = 300
_PERIOD = re.compile(r"(?P<year>20[0-9]{2})(?:-(?P<part>S[12]|Q[1-4]|W[0-9]{2}|[0-9]{2}))?")

Uid = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]{10}$")]
"""How DHIS2 names everything it keeps."""
Word = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Combo(Document):
    """One combination of breakdown codes: its category option combo, and data elements of its own if it has some."""

    breakdowns: dict[Word, Word] = Field(min_length=1)
    category_option_combo: Uid | None = None
    indicators: dict[Word, Uid] = Field(default_factory=dict)


class FormMapping(Document):
    """What one form is there: indicators that are not named are not sent."""

    data_set: Uid | None = None
    attribute_option_combo: Uid | None = None
    indicators: dict[Word, Uid] = Field(min_length=1)
    combos: list[Combo] = Field(default_factory=list)


class Dhis2Options(Document):
    """What forms, agencies and periods are called there.

    `periods` names those that DHIS2 writes otherwise than by its own calendar: `2026-9M`, or `{year}-9M` for any year.
    """

    forms: dict[Word, FormMapping] = Field(min_length=1)
    org_units: dict[Word, Uid] = Field(min_length=1)
    periods: dict[Word, Word] = Field(default_factory=dict)


class _Unmapped(ValueError):
    """The options do not say what something is called there."""


class Dhis2:
    """A DHIS2 server, at the URL before `/api`."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._options = options_of(settings, Dhis2Options)
        longer = replace(settings, max_reply_bytes=max(settings.max_reply_bytes, _LONGEST_SUMMARY))
        self._post = SignedPost(longer, ("username", "password", "token"))
        if "?" in settings.url:
            raise InvalidConnectorSettings("url may hold no query: it is the server's address before /api")
        self._authorization, self._basic = _authorization(self._post.credentials)
        self._url = settings.url.rstrip("/") + _ENDPOINT

    async def send(self, dispatch: Dispatch) -> Outcome:
        """Make one attempt."""
        if dispatch.report is None:
            return reminder_refused("dhis2")
        if dispatch.event is not Event.accepted:
            words = f"a data value set cannot say that a report was {dispatch.event}: a person has to do it there"
            return Outcome(OutcomeClass.refused, f"not sent: {words}")
        try:
            body = encode(data_value_set(decode(dispatch.body), self._options))
        except _Unmapped as error:
            return Outcome(OutcomeClass.refused, f"not sent: {error}")
        headers = {"Content-Type": "application/json", **self._authorization}
        answer = await self._post.post(dispatch, body, headers, until=self._post.ends(), url=self._url)
        outcome = self._post.judged(answer, dispatch.attempted_at, self._basic)
        if isinstance(answer, NoReply):
            return outcome
        outcome = judged(answer, outcome)
        return replace(outcome, reason=self._post.harmless(outcome.reason, self._basic))

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._post.aclose()


def _authorization(credentials: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The header, and what of it is secret beyond the credentials."""
    token, username, password = (credentials.get(name) for name in ("token", "username", "password"))
    if token and not username and not password:
        if not is_header_token(token):
            raise InvalidConnectorSettings("token is not one that can be put in a header")
        return {"Authorization": f"ApiToken {token}"}, []
    if token or not username or not password or ":" in username:
        raise InvalidConnectorSettings("token, or else username (without a colon) and password, are needed")
    basic = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
    return {"Authorization": f"Basic {basic}"}, [basic]


# What is sent


def data_value_set(report: Mapping[str, Any], options: Dhis2Options) -> dict[str, object]:
    """A report, as it was shown when it was accepted, as DHIS2 takes it.

    A blank of a first revision is left out. A correction takes back what it does not have, since an earlier revision
    may have had it. Raises `_Unmapped`.
    """
    form = options.forms.get(report["form"])
    if form is None:
        raise _Unmapped(f"options name no form {report['form']}")
    unit = options.org_units.get(report["agency"])
    if unit is None:
        raise _Unmapped(f"options name no org unit for agency {report['agency']}")
    group = {
        "dataSet": form.data_set,
        "period": dhis2_period(report["period"], options.periods),
        "orgUnit": unit,
        "attributeOptionCombo": form.attribute_option_combo,
    }
    values = _values(form, report["rows"])
    is_correction = (report.get("revision") or 1) > 1
    keys = {**dict.fromkeys(_every_key(form)), **values} if is_correction else values
    shown = [_shown(key, value) for key, value in keys.items() if is_correction or value is not None]
    return {name: value for name, value in group.items() if value is not None} | {"dataValues": shown}


_Key = tuple[str, str | None]
"""A data element and a category option combo; None is the default one."""


def _values(form: FormMapping, rows: Sequence[Mapping[str, Any]]) -> dict[_Key, str | None]:
    values: dict[_Key, str | None] = {}
    for row in rows:
        combo = _combo(form, row)
        for indicator, element in _elements(form, combo).items():
            key = element, combo.category_option_combo if combo else None
            if indicator not in row:
                raise _Unmapped(f"the report has no indicator {indicator}, which options name")
            if key in values:
                raise _Unmapped(f"options give two values of the report one place, at data element {element}")
            values[key] = _text(row[indicator])
    return values


def _combo(form: FormMapping, row: Mapping[str, Any]) -> Combo | None:
    """What the options have for the breakdowns of a row; None for a form that has none."""
    if not form.combos:
        return None
    for combo in form.combos:
        if all(row.get(name) == code for name, code in combo.breakdowns.items()):
            return combo
    names = sorted({name for combo in form.combos for name in combo.breakdowns})
    raise _Unmapped("options name no combo for " + ", ".join(f"{name} {row.get(name)}" for name in names))


def _elements(form: FormMapping, combo: Combo | None) -> Mapping[str, str]:
    return {**form.indicators, **(combo.indicators if combo else {})}


def _every_key(form: FormMapping) -> Iterator[_Key]:
    if not form.combos:
        yield from ((element, None) for element in form.indicators.values())
    for combo in form.combos:
        yield from ((element, combo.category_option_combo) for element in _elements(form, combo).values())


def _shown(key: _Key, value: str | None) -> dict[str, object]:
    element, combo = key
    named = {"dataElement": element} | ({} if combo is None else {"categoryOptionCombo": combo})
    return named | ({"deleted": True} if value is None else {"value": value})


def _text(value: object) -> str | None:
    """A value as DHIS2 has all of them, as text; None is a blank."""
    match value:
        case None | "":
            return None
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)


def dhis2_period(code: str, named: Mapping[str, str]) -> str:
    """What DHIS2 calls a period: as named, else 2026, 2026S1, 2026Q3, 202607, 2026W30. Raises `_Unmapped`."""
    year, part = code[:4], code[4:]
    for name in (code, "{year}" + part):
        if name in named:
            return named[name].replace("{year}", year)
    found = _PERIOD.fullmatch(code)
    if found is None:
        raise _Unmapped(f"options name no period for {code}")
    part = found["part"] or ""
    return year + (f"W{int(part[1:])}" if part.startswith("W") else part)


# What is answered


def judged(reply: Reply, outcome: Outcome) -> Outcome:
    """What an import summary says, which the status alone does not: 200 may tell of values that were not taken."""
    if not 200 <= reply.status < 300 and reply.status != _CONFLICT:
        return outcome
    summary = _summary(reply.body)
    if summary is None:
        if reply.status == _CONFLICT:
            return outcome
        words = f"the upstream answered {reply.status} without an import summary: it may not be the server itself"
        return replace(outcome, kind=OutcomeClass.ambiguous, reason=words)
    conflicts = _conflicts(summary)
    if reply.status != _CONFLICT and not conflicts and summary.get("status") != "ERROR":
        return replace(outcome, reason=f"{outcome.reason}: {_counts(summary)}")
    if outcome.kind is OutcomeClass.throttled and not conflicts:
        return outcome
    said = "; ".join(conflicts[:_SHOWN_CONFLICTS]) or str(summary.get("description") or "no conflict was named")
    said = said[: _SHOWN_CONFLICTS * _LONGEST_CONFLICT]
    more = f"; and {len(conflicts) - _SHOWN_CONFLICTS} more" if len(conflicts) > _SHOWN_CONFLICTS else ""
    words = f"refused: the upstream answered {reply.status}: {_counts(summary)}: {said}{more}"
    return replace(outcome, kind=OutcomeClass.refused, reason=words, retry_after=None)


def _summary(body: bytes) -> Mapping[str, Any] | None:
    """The import summary of an answer of any generation; None where there is none."""
    try:
        answer = decode(body)
    except ValueError:
        return None
    if not isinstance(answer, dict):
        return None
    inner = answer.get("response", answer)
    is_summary = isinstance(inner, dict) and not {"importCount", "conflicts"}.isdisjoint(inner)
    return inner if is_summary else None


def _conflicts(summary: Mapping[str, Any]) -> list[str]:
    """Each conflict in words: what it is about, what is wrong, its code."""
    listed = summary.get("conflicts")
    named = [_conflict(each) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return named or ([f"values {summary['rejectedIndexes']}"] if summary.get("rejectedIndexes") else [])


def _conflict(conflict: Mapping[str, Any]) -> str:
    code = f" ({conflict['errorCode']})" if conflict.get("errorCode") else ""
    return f"{conflict.get('object')}: {conflict.get('value')}{code}"[:_LONGEST_CONFLICT]


def _counts(summary: Mapping[str, Any]) -> str:
    counts = summary.get("importCount")
    if not isinstance(counts, dict):
        return "no values were counted"
    names = ("imported", "updated", "ignored", "deleted")
    return ", ".join(f"{counts.get(name, 0)} {name}" for name in names)
