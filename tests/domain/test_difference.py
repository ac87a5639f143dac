"""The difference between two revisions: only what changed, exactly, and by the names of the newer form version."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from factories import a_title, an_indicator, compiled
from gateway.domain.difference import Change, ChangedFigure, ChangedNil, Compared, Difference, difference
from gateway.domain.exact import decode, encode
from gateway.domain.form import Form

AMOUNT = an_indicator(column="(3)")
RATE = an_indicator(id="rate", type="decimal", scale=2, required=False)
FLAG = an_indicator(id="flag", type="boolean", min=None, over_agencies="none", over_time="none", required=False)
NOTE = an_indicator(id="note", type="text", min=None, over_agencies="none", over_time="none", required=False)
FORM = compiled(indicators=[AMOUNT, RATE, FLAG, NOTE])
AT = datetime(2026, 9, 20, 3, 0, 0, 500_000, tzinfo=UTC)


def a_revision(*rows: dict[str, object], form: Form = FORM, number: int = 1, **changes: Any) -> Compared:
    """A revision of so many rows, whose blanks are filled in."""
    head: dict[str, Any] = {"reason": None, "nil": None, "explanations": [], **changes}
    blanks = dict.fromkeys((each.id for each in form.indicators), None)
    return Compared(
        form=form, id=uuid7(), revision=number, received_at=AT, rows=[{**blanks, **row} for row in rows], **head
    )


def land(**cells: object) -> dict[str, object]:
    return {"sector": "LAND", "amount": 5, **cells}


def water(**cells: object) -> dict[str, object]:
    return {"sector": "WATER", "amount": 7, **cells}


def between(before: Sequence[dict[str, object]], after: Sequence[dict[str, object]]) -> Difference:
    return difference(a_revision(*before), a_revision(*after, number=2))


def told(found: Difference) -> list[tuple[object, str, dict[str, tuple[object, object, str | None]]]]:
    """Each changed row, how, and its figures: before, after and the difference."""
    return [
        (
            row.row["sector"],
            row.change.value,
            {each.indicator: (each.before, each.after, each.difference) for each in row.indicators},
        )
        for row in found.rows
    ]


def test_the_same_figures_differ_in_nothing() -> None:
    found = between([land(rate=Decimal("12.50")), water()], [water(), land(rate=Decimal("12.5"))])
    assert (found.rows, found.nil) == ([], None)
    assert (found.explanations.added, found.explanations.removed) == ([], [])


def test_only_the_figures_that_differ_are_told_in_the_order_of_the_form() -> None:
    found = between([land(rate=Decimal("0.10"), note="a"), water()], [land(amount=3, rate=Decimal("0.35")), water()])
    assert told(found) == [
        (
            "LAND",
            "changed",
            {
                "amount": (5, 3, "-2"),
                "rate": (Decimal("0.10"), Decimal("0.35"), "0.25"),
                "note": ("a", None, None),
            },
        )
    ]
    assert [each.indicator for each in found.rows[0].indicators] == ["amount", "rate", "note"]


def test_a_figure_is_named_by_its_title_and_column() -> None:
    [row] = between([land()], [land(amount=6)]).rows
    assert row.indicators == [ChangedFigure("amount", a_title("Số lượng"), "(3)", 5, 6, "1")]


def test_rows_stand_in_the_order_of_the_later_revision_and_removed_ones_last() -> None:
    before = [land(), {"sector": "ROAD", "amount": 1}, {"sector": "HEALTH", "amount": 2}]
    after = [water(), {"sector": "HEALTH", "amount": 3}]
    assert told(between(before, after)) == [
        ("WATER", "added", {"amount": (None, 7, None)}),
        ("HEALTH", "changed", {"amount": (2, 3, "1")}),
        ("LAND", "removed", {"amount": (5, None, None)}),
        ("ROAD", "removed", {"amount": (1, None, None)}),
    ]


def test_a_row_of_blanks_is_still_added_or_removed() -> None:
    blank: dict[str, object] = {"sector": "LAND"}
    assert told(between([], [blank])) == [("LAND", "added", {})]
    assert told(between([blank], [])) == [("LAND", "removed", {})]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("flag", True, False), ("flag", None, False), ("note", "a", "b"), ("amount", 0, None), ("rate", None, Decimal(0))],
)
def test_what_is_no_number_on_both_sides_has_no_difference(name: str, before: object, after: object) -> None:
    assert told(between([land(**{name: before})], [land(**{name: after})])) == [
        ("LAND", "changed", {name: (before, after, None)})
    ]


def test_a_difference_keeps_every_digit() -> None:
    least, most = Decimal("-" + "9" * 30 + ".99"), Decimal("9" * 30 + ".99")
    [row] = between([land(rate=least)], [land(rate=most)]).rows
    assert row.indicators[0].difference == "1" + "9" * 30 + ".98"


def test_a_form_without_breakdowns_has_one_row() -> None:
    form = compiled(breakdowns=[])
    found = difference(a_revision({"amount": 1}, form=form), a_revision({"amount": 2}, form=form))
    assert [(row.row, row.change) for row in found.rows] == [({}, Change.changed)]


@pytest.mark.parametrize("newer_last", [True, False])
def test_the_newer_form_version_names_what_both_have_and_nothing_of_the_older_is_lost(newer_last: bool) -> None:
    older = compiled(indicators=[an_indicator(id="gone"), an_indicator(title=a_title("Cũ"))])
    newer = compiled(version=2, indicators=[an_indicator(title=a_title("Mới")), an_indicator(id="new")])
    old = a_revision({"sector": "LAND", "gone": 1, "amount": 2}, form=older)
    new = a_revision({"sector": "LAND", "new": 3, "amount": 4}, form=newer)
    [row] = (difference(old, new) if newer_last else difference(new, old)).rows
    assert [each.indicator for each in row.indicators] == ["amount", "new", "gone"]
    assert row.indicators[0].title["vi"] == "Mới"
    gone = row.indicators[2]
    assert (gone.before, gone.after) == ((1, None) if newer_last else (None, 1))


def test_what_was_said_of_having_no_rows_is_compared() -> None:
    found = difference(a_revision(land()), a_revision(nil="nothing_to_report"))
    assert found.nil == ChangedNil(None, "nothing_to_report")
    assert told(found) == [("LAND", "removed", {"amount": (5, None, None)})]


def test_explanations_are_added_and_removed_by_rule_row_and_words() -> None:
    kept = {"rule": "R1", "row": None, "text": "giữ"}
    old, new = ({"rule": "R2", "row": {"sector": "LAND"}, "text": text} for text in ("cũ", "mới"))
    same = {"rule": "R1", "text": "giữ"}
    found = difference(a_revision(land(), explanations=[kept, old]), a_revision(land(), explanations=[new, same]))
    assert (found.explanations.added, found.explanations.removed) == ([new], [old])


def test_a_difference_is_shown_with_both_revisions_and_the_reason() -> None:
    before, after = a_revision(land()), a_revision(land(amount=6), number=2, reason="Bổ sung hồ sơ")
    assert decode(encode(difference(before, after))) == {
        "from": {"id": str(before.id), "revision": 1, "received_at": "2026-09-20T03:00:00.500000Z"},
        "to": {
            "id": str(after.id),
            "revision": 2,
            "received_at": "2026-09-20T03:00:00.500000Z",
            "reason": "Bổ sung hồ sơ",
        },
        "nil": None,
        "rows": [
            {
                "row": {"sector": "LAND"},
                "change": "changed",
                "indicators": [
                    {
                        "indicator": "amount",
                        "title": a_title("Số lượng"),
                        "column": "(3)",
                        "before": 5,
                        "after": 6,
                        "difference": "1",
                    }
                ],
            }
        ],
        "explanations": {"added": [], "removed": []},
    }
