"""A form (biểu mẫu) compiled: the version that reports are checked against."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from operator import itemgetter
from types import GenericAlias
from typing import Annotated, Any, Optional, TypeAlias

from pydantic import (
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from typing_extensions import TypedDict

from gateway.domain.document import EXACT
from gateway.domain.form_document import (
    LARGEST,
    MAX_WHOLE_DIGITS,
    Combine,
    FormDocument,
    Indicator,
    Rule,
    Type,
)
from gateway.domain.rules import (
    RESERVED,
    Check,
    Column,
    Formula,
    Kind,
    RuleError,
    compile_check,
    compile_formula,
)

RESULT_COLUMNS = frozenset({"agency", "period", "level", "own"})
"""Columns of an aggregate, which no breakdown or indicator may be called."""

TIMES_WITHIN = 12
"""How often a rule about the reports within a period is read for each row: for the months of a year."""


BUILT_IN_FINDINGS = frozenset(
    {
        "column",
        "type",
        "required",
        "codelist",
        "duplicate",
        "total_row",
        "agency",
        "form_version",
        "obligation",
        "signature",
    }
)


Fault: TypeAlias = tuple[tuple[int | str, ...], str]
"""A place in a form document and what is wrong there."""


class FormFault(ValueError):
    """A form document whose parts do not fit; ``faults`` holds every place and reason."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(reason for _, reason in faults))
        self.faults = tuple(faults)


def rule_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with the rules of a document that is wrong elsewhere too, so that its author sees all at once."""
    indicators: list[Indicator] = []
    for part in _parts(document, "indicators"):
        try:
            indicators.append(Indicator.model_validate(part))
        except ValidationError:
            return  # a rule that names this one would be blamed for nothing
    columns, code = _columns(indicators), document.get("code")
    for index, rule in enumerate(_parts(document, "rules")):
        check = rule.get("check")
        if isinstance(check, str):
            try:
                compile_check(check, columns, code if isinstance(code, str) else None)
            except RuleError as error:
                yield ("rules", index, "check"), str(error)


def codelists_named(document: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """The code lists a document's breakdowns name, with the place of each."""
    for index, breakdown in enumerate(_parts(document, "breakdowns")):
        if isinstance(breakdown.get("codelist"), str):
            yield index, breakdown["codelist"]


def _parts(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    parts = document.get(name)
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _columns(indicators: Sequence[Indicator]) -> dict[str, Column]:
    return {
        indicator.id: Column(index, _kind(indicator), indicator.places if indicator.is_number else None)
        for index, indicator in enumerate(indicators)
    }


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with its compiled check."""

    document: Rule
    check: Check


class Form:
    """A compiled form version: the strict model of its rows, its rules and its formulas.

    ``cells`` of a row are its figures in the order of the indicators; in storage the figures
    stand in ``values`` (all but texts) and ``texts``, each in the order of the indicators.
    """

    def __init__(self, document: FormDocument) -> None:
        """Compile a document; raises ``FormFault`` with everything that is wrong with it."""
        self.document = document
        self.code, self.version = document.code, document.version
        self.breakdowns, self.indicators = document.breakdowns, document.indicators
        self.columns = _columns(self.indicators)
        found = list(_name_faults(document))
        self.rules: list[CompiledRule] = []
        for index, rule in enumerate(document.rules):
            try:
                self.rules.append(CompiledRule(rule, compile_check(rule.check, self.columns, self.code)))
            except RuleError as error:
                found.append((("rules", index, "check"), str(error)))
        self.formulas: dict[str, Formula] = {}
        for index, indicator in enumerate(self.indicators):
            found.extend(self._compile_formula(index, indicator))
        if found:
            raise FormFault(found)

    def _compile_formula(self, index: int, indicator: Indicator) -> Iterator[Fault]:
        if indicator.formula is None:
            return
        place = ("indicators", index, "formula")
        try:
            formula = compile_formula(indicator.formula, self.columns)
        except RuleError as error:
            yield place, str(error)
            return
        if formula.reads_other_reports or not formula.row_level:
            yield place, "a formula reads figures of its own row only"
        derived = {
            other.id
            for other in self.indicators
            if Combine.formula in {other.over_agencies, other.over_time} and other.id in formula.operands
        }
        if derived:
            yield place, f"a formula cannot read another formula: {', '.join(sorted(derived))}"
        self.formulas[indicator.id] = formula

    @cached_property
    def rows_model(self) -> TypeAdapter[list[dict[str, Any]]]:
        """The strict Pydantic model of the rows: breakdowns and indicators by id, every cell optional."""
        fields: dict[str, Any] = {each.id: str | None for each in self.breakdowns}
        fields |= {each.id: Optional[_cell_type(each)] for each in self.indicators}  # noqa: UP045 - a value
        make: Any = TypedDict
        row = make(f"{self.code}_row", fields, total=False)
        row.__pydantic_config__ = ConfigDict(strict=True, extra="forbid")
        rows: Any = GenericAlias(list, row)
        return TypeAdapter(rows)

    @cached_property
    def names(self) -> list[str]:
        """The names in a row: of its breakdowns, and of its indicators."""
        return [*(each.id for each in self.breakdowns), *self.columns]

    @cached_property
    def row_pattern(self) -> str:
        """A row as a JSON object, to be filled (``%``) with its codes and cells as JSON."""
        return "{" + ",".join(f'"{name}":%s' for name in self.names) + "}"

    @cached_property
    def _pick(self) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
        return itemgetter(*self.names)

    def in_order(self, row: dict[str, Any]) -> list[Any]:
        """A row's codes and then its cells, in the form's order; what is absent is a blank."""
        if len(row) == len(self.names) > 1:  # the model lets no other names in
            return list(self._pick(row))
        return [row.get(name) for name in self.names]

    @cached_property
    def number_positions(self) -> list[int]:
        """Positions, among the indicators, of those kept in ``values`` (numbers, and booleans as 0 and 1)."""
        return [i for i, each in enumerate(self.indicators) if each.type is not Type.text]

    @cached_property
    def text_positions(self) -> list[int]:
        return [i for i, each in enumerate(self.indicators) if each.type is Type.text]

    @cached_property
    def exact_positions(self) -> list[int]:
        """Positions of indicators whose cells are decimals, which rules read as exact fractions."""
        return [i for i, each in enumerate(self.indicators) if each.type in {Type.decimal, Type.percent}]

    @cached_property
    def number_casts(self) -> list[type[int] | None]:
        """What makes of each kept number what JSON shows of it; None where that is the decimal itself."""
        casts: dict[Type, type[int]] = {Type.integer: int, Type.boolean: bool}
        return [casts.get(self.indicators[position].type) for position in self.number_positions]

    @cached_property
    def value_index(self) -> Mapping[str, int]:
        """Place of each kept figure in ``values``, counted from 1 as PostgreSQL does."""
        return {self.indicators[p].id: n for n, p in enumerate(self.number_positions, start=1)}

    @cached_property
    def text_index(self) -> Mapping[str, int]:
        return {self.indicators[p].id: n for n, p in enumerate(self.text_positions, start=1)}

    @cached_property
    def has_only_numbers(self) -> bool:
        """Whether every indicator is a number, so that a row's cells are its ``figures`` as they stand."""
        return all(each.is_number for each in self.indicators)

    @cached_property
    def required_positions(self) -> list[int]:
        return [i for i, each in enumerate(self.indicators) if each.required]

    @cached_property
    def weight(self) -> int:
        """How much judging one row takes: the weight of all rules, as often as each is read."""
        times = {True: TIMES_WITHIN, False: 1}
        return sum(rule.check.weight * times[rule.check.uses_within] for rule in self.rules)

    @cached_property
    def uses_previous(self) -> bool:
        return any(rule.check.uses_previous for rule in self.rules)

    @cached_property
    def uses_within(self) -> bool:
        """Whether a rule looks at the reports whose periods lie within this one's."""
        return any(rule.check.uses_within for rule in self.rules)

    @cached_property
    def forms_read(self) -> frozenset[str]:
        """Codes of the other forms that rules look at."""
        return frozenset().union(*(rule.check.forms_read for rule in self.rules))

    @cached_property
    def forms_read_by_row(self) -> frozenset[str]:
        """Those of which rules read the same row, and which need the same breakdowns in the same order."""
        return frozenset().union(*(rule.check.forms_read_by_row for rule in self.rules))

    @cached_property
    def references(self) -> frozenset[tuple[str, str]]:
        """Indicators of other forms that rules look at, each with the code of its form."""
        return frozenset().union(*(rule.check.references for rule in self.rules))


def _kind(indicator: Indicator) -> Kind:
    if indicator.is_number:
        return Kind.number
    return Kind.boolean if indicator.type is Type.boolean else Kind.text


def typed(indicator: Indicator, kept: Any) -> object:
    """A kept figure as JSON shows it: an integer, an exact decimal, true or false, a text."""
    if kept is None or indicator.type is Type.text:
        return kept
    if indicator.type is Type.boolean:
        return kept != 0
    return int(kept) if indicator.type is Type.integer else kept


def _cell_type(indicator: Indicator) -> Any:
    low, high = indicator.min, indicator.max
    match indicator.type:
        case Type.integer:
            lowest = -LARGEST if low is None else int(low)
            return Annotated[int, Field(ge=lowest, le=LARGEST if high is None else int(high))]
        case Type.decimal | Type.percent:
            if indicator.type is Type.percent:
                low, high = low if low is not None else Decimal(0), high if high is not None else Decimal(100)
            limits = Field(
                ge=low,
                le=high,
                max_digits=MAX_WHOLE_DIGITS + indicator.places,
                decimal_places=indicator.places,
            )
            return Annotated[Decimal, limits, EXACT]
        case Type.boolean:
            return bool
        case Type.text:
            return Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]


def _name_faults(document: FormDocument) -> Iterator[Fault]:
    seen: set[str] = set()
    places = [("breakdowns", index, each.id) for index, each in enumerate(document.breakdowns)]
    places += [("indicators", index, each.id) for index, each in enumerate(document.indicators)]
    for part, index, name in places:
        if name in RESERVED or name in RESULT_COLUMNS:
            yield (part, index, "id"), f"'{name}' is a reserved name"
        if name in seen:
            yield (part, index, "id"), f"'{name}' is used twice"
        seen.add(name)
    rules: set[str] = set()
    for index, rule in enumerate(document.rules):
        if rule.id in rules:
            yield ("rules", index, "id"), f"'{rule.id}' is used twice"
        if rule.id in BUILT_IN_FINDINGS:
            yield ("rules", index, "id"), f"'{rule.id}' is the name of a built-in finding"
        rules.add(rule.id)
    for index, indicator in enumerate(document.indicators):
        for bound in (indicator.min, indicator.max):
            if bound is not None and not re.fullmatch(r"-?\d{1,30}(\.\d{1,10})?", f"{bound:f}"):
                yield ("indicators", index), "a bound has at most 30 digits before the point and 10 after"
