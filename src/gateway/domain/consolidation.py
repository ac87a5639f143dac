"""A consolidation (báo cáo tổng hợp): a parent's rows computed from its children's, and their explanations cited.

Rows of the same breakdown codes become one. An indicator is added, recomputed by its formula or left blank, as its
``over_agencies`` says; a row that only one source has keeps its own figures. Consolidating level by level gives the
same rows as consolidating everything at once, in whatever order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from functools import reduce
from typing import Any, NamedTuple, TypeAlias

from gateway.domain.form import Form
from gateway.domain.form_document import Combine, Indicator
from gateway.domain.recompute import recomputed, rounded

Codes: TypeAlias = tuple[str, ...]
Figures: TypeAlias = Mapping[str, object]
"""Values of a row by indicator; what is absent is a blank."""

MAX_TEXT, MAX_EXPLANATIONS = 4000, 10_000
"""What one explanation, and one report, may hold: see ``domain.report``."""


class Row(NamedTuple):
    """One row of a source: its breakdown codes, and its cells as JSON shows them, in its form version's order."""

    codes: Codes
    cells: Sequence[object]


@dataclass(frozen=True, slots=True)
class Source:
    """A report that a consolidation is made from: its form version and its rows."""

    form: Form
    rows: Sequence[Row]


def consolidate(form: Form, sources: Iterable[Source]) -> list[dict[str, object]]:
    """The rows of a consolidation by a form version, as they would be pushed, by breakdown codes; blanks are absent.

    Sums and formulas are exact and then written with the indicator's decimals, so that the same figures always give
    the same bytes. A sum may be out of an indicator's bounds; validation finds that.
    """
    found: dict[Codes, list[Figures]] = {}
    for source in sources:
        names = [each.id for each in source.form.indicators]
        for row in source.rows:
            found.setdefault(row.codes, []).append(dict(zip(names, row.cells, strict=True)))
    return [_row(form, codes, found[codes]) for codes in sorted(found)]


def _row(form: Form, codes: Codes, rows: Sequence[Figures]) -> dict[str, object]:
    figures = rows[0] if len(rows) == 1 else _combined(form, rows)
    row: dict[str, object] = dict(zip((each.id for each in form.breakdowns), codes, strict=True))
    cells = {each.id: _cell(each, figures.get(each.id)) for each in form.indicators}
    return row | {name: cell for name, cell in cells.items() if cell is not None}


def _cell(indicator: Indicator, value: object) -> object:
    """A value as the form version writes it: a source of another version may have more decimals."""
    return rounded(indicator, Fraction(value)) if isinstance(value, Decimal) else value


def _combined(form: Form, rows: Sequence[Figures]) -> Figures:
    sums = {
        each.id: _sum(row.get(each.id) for row in rows) for each in form.indicators if each.over_agencies is Combine.sum
    }
    return sums | {
        each.id: recomputed(form, each, sums) for each in form.indicators if each.over_agencies is Combine.formula
    }


_EXACT = Context(prec=100, traps=[Inexact])
"""Room for the sum of any number of cells, each of at most 30 digits before the point and 10 after it."""


def _sum(values: Iterable[object]) -> int | Decimal | None:
    """The exact sum of what is not blank; None where everything is."""
    numbers = [value for value in values if isinstance(value, int | Decimal)]
    return reduce(_add, numbers) if numbers else None


def _add(one: int | Decimal, other: int | Decimal) -> int | Decimal:
    return one + other if isinstance(one, int) and isinstance(other, int) else _EXACT.add(one, other)


def inherit(children: Iterable[tuple[str, Iterable[Mapping[str, Any]]]]) -> list[dict[str, Any]]:
    """The explanations of children, given with each child's agency, as one for each rule and row that cites them all.

    They stand by rule and then by row, the whole report before its rows, and cite children by agency. A text that
    grows too long ends by saying where the rest is; explanations past what one report may hold are left out.
    """
    cited: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
    rows: dict[tuple[tuple[str, str], ...], dict[str, str] | None] = {}
    for agency, explanations in sorted(children, key=lambda child: child[0]):
        for each in explanations:
            row = tuple(sorted((each.get("row") or {}).items()))
            rows.setdefault(row, each.get("row") or None)
            cited.setdefault((each["rule"], row), []).append(f"{agency}: {each['text']}")
    return [
        {"rule": rule, "row": rows[row], "text": _bounded("; ".join(cited[rule, row]))}
        for rule, row in sorted(cited)[:MAX_EXPLANATIONS]
    ]


SHORTENED = "… (đã rút gọn, xem giải trình trong báo cáo của từng cơ quan)"


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - len(SHORTENED)] + SHORTENED
