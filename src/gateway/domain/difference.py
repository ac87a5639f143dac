"""The difference between two revisions of a report: which rows and figures changed, and by how much."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from gateway.domain.form import Form
from gateway.domain.form_document import Indicator
from gateway.domain.rules import to_text

Shown: TypeAlias = Mapping[str, object]
"""A row with breakdown codes and indicator values side by side; blanks are null."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A revision to be compared, with the form version it was checked against."""

    form: Form
    id: UUID
    revision: int
    received_at: datetime
    reason: str | None
    nil: str | None
    explanations: Sequence[Mapping[str, Any]]
    rows: Sequence[Shown]


class Earlier(msgspec.Struct, frozen=True):
    """The revision that a difference starts from."""

    id: UUID
    revision: int
    received_at: datetime


class Later(msgspec.Struct, frozen=True):
    """The revision that a difference leads to, and why its sender made it."""

    id: UUID
    revision: int
    received_at: datetime
    reason: str | None


class Change(StrEnum):
    """What became of a row."""

    changed = "changed"
    added = "added"
    removed = "removed"


class ChangedFigure(msgspec.Struct, frozen=True):
    """A value that differs. ``difference`` (after − before) is exact; None where one of the two is not a number."""

    indicator: str
    title: Mapping[str, str]
    column: str | None
    before: object
    after: object
    difference: str | None


class ChangedRow(msgspec.Struct, frozen=True):
    """A row that differs, named by its breakdowns, with the values that differ in the form's order."""

    row: Mapping[str, object]
    change: Change
    indicators: list[ChangedFigure]


class ChangedNil(msgspec.Struct, frozen=True):
    """What was said of there being no rows."""

    before: str | None
    after: str | None


class ChangedExplanations(msgspec.Struct, frozen=True):
    """Explanations that only one of the two revisions has; a reworded one is in both lists."""

    added: list[Mapping[str, Any]]
    removed: list[Mapping[str, Any]]


class Difference(msgspec.Struct, frozen=True, rename={"earlier": "from", "later": "to"}):
    """What a reader is shown: a row, a value or an explanation that is the same in both is left out."""

    earlier: Earlier
    later: Later
    nil: ChangedNil | None
    rows: list[ChangedRow]
    explanations: ChangedExplanations


def difference(before: Compared, after: Compared) -> Difference:
    """What changed from one revision of a report to another: rows in the order of ``after``, removed ones last.

    Both revisions may be of different versions of their form, whose breakdowns are the same in all versions. The
    newer version names the indicators; those that it no longer has stand last, by their old names.
    """
    newest, other = sorted((before.form, after.form), key=lambda each: each.version, reverse=True)
    indicators = [*newest.indicators, *(each for each in other.indicators if each.id not in newest.columns)]
    return Difference(
        Earlier(before.id, before.revision, before.received_at),
        Later(after.id, after.revision, after.received_at, after.reason),
        None if before.nil == after.nil else ChangedNil(before.nil, after.nil),
        list(_changed_rows([each.id for each in newest.breakdowns], indicators, before.rows, after.rows)),
        ChangedExplanations(
            _only_in(after.explanations, before.explanations), _only_in(before.explanations, after.explanations)
        ),
    )


def _changed_rows(
    breakdowns: Sequence[str], indicators: Sequence[Indicator], before: Sequence[Shown], after: Sequence[Shown]
) -> Iterator[ChangedRow]:
    earlier, later = ({tuple(row[name] for name in breakdowns): row for row in rows} for rows in (before, after))
    for codes, row in later.items():
        figures = list(_changed_figures(indicators, earlier.get(codes, {}), row))
        if codes not in earlier or figures:
            change = Change.changed if codes in earlier else Change.added
            yield ChangedRow(dict(zip(breakdowns, codes, strict=True)), change, figures)
    for codes, row in earlier.items():
        if codes not in later:
            figures = list(_changed_figures(indicators, row, {}))
            yield ChangedRow(dict(zip(breakdowns, codes, strict=True)), Change.removed, figures)


def _changed_figures(indicators: Sequence[Indicator], before: Shown, after: Shown) -> Iterator[ChangedFigure]:
    for each in indicators:
        old, new = before.get(each.id), after.get(each.id)
        if old != new:
            yield ChangedFigure(each.id, each.title.model_dump(), each.column, old, new, _by(each, old, new))


def _by(indicator: Indicator, before: object, after: object) -> str | None:
    """By how much a number changed, in plain decimal notation."""
    if not (indicator.is_number and isinstance(before, int | Decimal) and isinstance(after, int | Decimal)):
        return None
    return to_text(Fraction(after) - Fraction(before), indicator.places)


def _only_in(these: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    known = {_words(each) for each in others}
    return [each for each in these if _words(each) not in known]


def _words(explanation: Mapping[str, Any]) -> tuple[str, frozenset[tuple[str, str]], str]:
    return explanation["rule"], frozenset((explanation.get("row") or {}).items()), explanation["text"]
