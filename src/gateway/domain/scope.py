"""What a rule sees: the report it judges and the others it reads, and why they may not answer it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, Self, TypeAlias

Number: TypeAlias = int | Fraction


Cells: TypeAlias = Sequence[int | Fraction | bool | None]


Codes: TypeAlias = tuple[str, ...]
"""The breakdown codes of a row, in the order of the form: what makes two rows the same."""


Reason: TypeAlias = Literal[
    "blank", "division_by_zero", "no_previous_report", "no_report_of_form", "no_report_within", "too_large"
]


_ABSENCES = frozenset({"no_previous_report", "no_report_of_form", "no_report_within"})


class Undecided(Exception):
    """These figures cannot answer the rule.

    `operand` is the blank indicator or the divisor, in another report `x (2026-Q1)` or `CODE.x`; of a report
    that is not there the `previous(…)`, the code of its period, or the code of its form.
    """

    def __init__(self, reason: Reason, operand: str) -> None:
        super().__init__(f"{reason}: {operand}")
        self.reason: Reason = reason
        self.operand = operand

    @property
    def is_absence(self) -> bool:
        """Whether another report is not there, so that the rule is undecided for every row alike."""
        return self.reason in _ABSENCES


@dataclass(slots=True)  # not frozen, which would double the cost of `at`
class Scope:
    """What one evaluation sees: rows in the order of the form's indicators, where None is a blank.

    `row` is None when the report is judged as a whole, `previous_row` when the preceding report lacks the
    row, `previous_rows` when there is no such report. `codes` are those of the row, by which other reports are
    searched for it; only a rule that reads those needs them. `within` has the reports owed within the period,
    in order of time, by the code of their period: None is one that is not there. `forms` has the reports of
    other forms by code. `columns` is where another form's indicators stand, in a scope on a report of it.
    Rows must not change while a scope on them is in use.
    """

    row: Cells | None
    rows: Sequence[Cells]
    previous_row: Cells | None
    previous_rows: Sequence[Cells] | None
    codes: Codes | None = None
    within: "Sequence[tuple[str, OtherReport | None]]" = ()
    forms: "Mapping[str, OtherReport]" = field(default_factory=dict)
    columns: Mapping[str, int] = field(default_factory=dict)
    _totals: dict[object, Number | Undecided] = field(default_factory=dict, repr=False, compare=False)

    def at(self, row: Cells, previous_row: Cells | None, codes: Codes | None = None) -> Self:
        """The same report seen from one of its rows; totals are computed once for all of them."""
        others = self.within, self.forms, self.columns
        return type(self)(row, self.rows, previous_row, self.previous_rows, codes, *others, self._totals)


@dataclass(frozen=True, slots=True)
class OtherReport:
    """A report that rules look at besides the one they judge: its rows by their codes.

    Its cells are in the order of this form's indicators or, in a report of another form, where `columns` says.
    Totals are computed once for all who share it.
    """

    rows: Mapping[Codes, Cells]
    columns: Mapping[str, int] = field(default_factory=dict)
    scope: Scope = field(init=False, repr=False, compare=False)
    absent: Cells = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        scope = Scope(None, list(self.rows.values()), None, None, columns=self.columns)
        object.__setattr__(self, "scope", scope)
        object.__setattr__(self, "absent", zeros(self.columns.values()))

    def row(self, codes: Codes | None, absent: Cells) -> Cells:
        """The row with these codes, or the one that stands for it; no cells where no row is being judged."""
        return () if codes is None else self.rows.get(codes, absent)


def zeros(indexes: Iterable[int]) -> Cells:
    return (0,) * (1 + max(indexes, default=-1))
