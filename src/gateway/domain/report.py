"""A report (báo cáo): what is submitted, what is found wrong with it, and what becomes of it."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any
from uuid import UUID

import msgspec
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.domain.document import Document, choice
from gateway.domain.form_document import LARGEST, Severity
from gateway.domain.period import PERIOD_PATTERN, PeriodError, parse_period
from gateway.errors import Language, Text


class Status(StrEnum):
    """What has become of a report."""

    rejected = "rejected"
    accepted = "accepted"
    superseded = "superseded"
    returned = "returned"
    withdrawn = "withdrawn"


CURRENT = frozenset({Status.accepted, Status.returned})
"""Statuses of the current report of a key: at most one report of a key has one of them."""


class ReportKind(StrEnum):
    """An agency's own figures, or a consolidation of its children's."""

    own = "own"
    consolidation = "consolidation"


class Nil(StrEnum):
    """Why a report has no rows."""

    nothing_to_report = "nothing_to_report"
    not_applicable = "not_applicable"


def _uuid(value: object) -> object:
    if isinstance(value, str) and len(value) == 36:
        return UUID(value)
    return value


def _a_period(code: str) -> str:
    try:
        parse_period(code)
    except PeriodError as error:
        raise PydanticCustomError("period", "{en}", error.message._asdict()) from None
    return code


MAX_ROWS = 20_000
"""Rows of one report."""
MAX_WRONG_ROWS = 100
"""Rows that are no objects, of which an answer names at most so many."""


def _as_they_are(rows: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Rows need no copy here: their form has a strict model for them."""
    if type(rows) is not list:
        return check(rows)
    if len(rows) > MAX_ROWS:
        raise PydanticCustomError("too_long", "At most {max_length} rows", {"max_length": MAX_ROWS})
    wrong = list(islice((index for index, row in enumerate(rows) if type(row) is not dict), MAX_WRONG_ROWS))
    # Only the first wrong ones are looked at further: naming a million of them would take the server with it.
    return check([{} if type(row) is dict else row for row in rows[: wrong[-1] + 1]]) if wrong else rows


def _or_null(schema: dict[str, Any]) -> None:
    """In the schema: null is the same as absent."""
    rest = {name: schema.pop(name) for name in list(schema) if name not in {"default", "title", "description"}}
    schema["anyOf"] = [rest, {"type": "null"}]


ShortText = Annotated[str, StringConstraints(max_length=4000)]


MAX_BREAKDOWNS = 10
"""Breakdowns of a form, and so names by which a row is told."""


def _few_names(row: object) -> object:
    if isinstance(row, dict) and len(row) > MAX_BREAKDOWNS:
        raise PydanticCustomError("too_long", "At most {max_length} names", {"max_length": MAX_BREAKDOWNS})
    return row


_Names = Annotated[dict[str, str], Field(json_schema_extra={"maxProperties": MAX_BREAKDOWNS})]


def _first_ones_first(items: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """A list in which the first ones are wrong already is not read to its end: naming every fault takes seconds."""
    if isinstance(items, list) and len(items) > _FIRST:
        check(items[:_FIRST])
    return check(items)


_FIRST = 500


class Explanation(Document):
    """Why a rule of severity ``explain`` does not hold; ``row`` names the row by its breakdowns."""

    rule: str = Field(max_length=30)
    row: Annotated[_Names | None, BeforeValidator(_few_names)] = None
    text: Annotated[str, StringConstraints(min_length=1, max_length=4000)]


class Submission(Document):
    """A report as it is pushed. A row holds breakdown codes and indicator values side by side."""

    form: str = Field(min_length=1, max_length=50, examples=["TTHC_06A"])
    agency: str = Field(min_length=1, max_length=100, examples=["H26.18"])
    period: Annotated[str, AfterValidator(_a_period)] = Field(
        min_length=1, max_length=40, examples=["2026-Q3"], json_schema_extra={"pattern": PERIOD_PATTERN}
    )
    rows: Annotated[list[dict[str, Any]], WrapValidator(_as_they_are)] = Field(json_schema_extra={"maxItems": MAX_ROWS})
    kind: Annotated[ReportKind, choice(ReportKind)] = Field(default=ReportKind.own, json_schema_extra=_or_null)
    explanations: Annotated[
        Annotated[list[Explanation], Field(max_length=10_000)] | None, WrapValidator(_first_ones_first)
    ] = None
    nil: Annotated[Nil | None, choice(Nil)] = Field(default=None, json_schema_extra=_or_null)
    corrects: Annotated[UUID | None, BeforeValidator(_uuid)] = None
    reason: ShortText | None = None
    form_version: int | None = Field(default=None, ge=1, le=LARGEST)
    classification: ShortText = Field(default="none", json_schema_extra=_or_null)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


class Finding(msgspec.Struct, frozen=True, omit_defaults=False):
    """A complaint about a report: which rule, where, and by how much."""

    rule: str
    severity: Severity
    pointer: str
    message: Text
    row: Mapping[str, str] | None = None
    indicator: str | None = None
    expected: str | None = None
    actual: str | None = None
    difference: str | None = None
    place: Text | None = None
    """Where that is in a file that is not JSON, as its writer sees it."""

    def shown(self, language: Language) -> dict[str, object]:
        """The finding as the contract gives it, in one language."""
        said: dict[str, object] = {
            "rule": self.rule,
            "severity": self.severity,
            "pointer": self.pointer,
            "row": self.row,
            "indicator": self.indicator,
            "expected": self.expected,
            "actual": self.actual,
            "difference": self.difference,
            "message": self.message.to(language),
        }
        return said if self.place is None else said | {"place": self.place.to(language)}


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a report is, without its rows: what the sender is answered and every reader sees."""

    id: UUID
    status: Status
    form: str
    form_version: int
    agency: str
    period: str
    kind: ReportKind
    revision: int | None
    corrects: UUID | None
    received_at: datetime
    late: bool | None
    sha256: str
    findings: list[Finding]
    receipt: str | None
    part: int | None = None
    """Which report it is of a file that holds several."""

    def shown(self, language: Language) -> dict[str, object]:
        """The contract's answer to an accepted push, in one language."""
        return {
            "id": self.id,
            "status": self.status,
            "form": self.form,
            "form_version": self.form_version,
            "agency": self.agency,
            "period": self.period,
            "kind": self.kind,
            "revision": self.revision,
            "corrects": self.corrects,
            "received_at": self.received_at,
            "late": self.late,
            "sha256": self.sha256,
            "findings": [finding.shown(language) for finding in self.findings],
            "receipt": self.receipt,
        } | ({} if self.part is None else {"part": self.part})
