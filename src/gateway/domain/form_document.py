"""The document of a form (biểu mẫu), as it is written and served."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from gateway.domain.document import EXACT, NUMBER, Document, Title, Valid, choice
from gateway.domain.period import Frequency
from gateway.domain.rule_syntax import CODE

FORM_CODE = f"^{CODE}$"


COLUMN_ID = r"^[a-z][a-z0-9_]{0,48}$"


MAX_WHOLE_DIGITS, MAX_DECIMALS = 30, 10


LARGEST = 10**MAX_WHOLE_DIGITS - 1


ColumnId = Annotated[str, StringConstraints(pattern=COLUMN_ID)]


class Type(StrEnum):
    """What a cell of an indicator may hold."""

    integer = "integer"
    decimal = "decimal"
    percent = "percent"
    text = "text"
    boolean = "boolean"


class Combine(StrEnum):
    """How an indicator is combined over agencies and breakdowns, or over periods."""

    sum = "sum"
    first = "first"
    last = "last"
    formula = "formula"
    none = "none"


class Severity(StrEnum):
    """What a broken rule does: refuse, refuse unless explained, or be recorded."""

    error = "error"
    explain = "explain"
    warning = "warning"


class Breakdown(Document):
    """A breakdown (phân tổ): what a row is about, from a code list."""

    id: ColumnId
    codelist: Annotated[str, StringConstraints(pattern=FORM_CODE)]
    total: Literal["sum", "none"]
    title: Title


class Indicator(Document):
    """An indicator (chỉ tiêu): one column of figures."""

    id: ColumnId
    column: str | None = Field(default=None, max_length=20)
    title: Title
    type: Annotated[Type, choice(Type)]
    unit: str | None = Field(default=None, max_length=50)
    scale: int | None = Field(default=None, ge=0, le=MAX_DECIMALS)
    min: Annotated[Decimal, EXACT, NUMBER] | None = None
    max: Annotated[Decimal, EXACT, NUMBER] | None = None
    required: bool = False
    over_agencies: Annotated[Combine, choice(Combine)]
    over_time: Annotated[Combine, choice(Combine)]
    formula: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type is Type.decimal and self.scale is None:
            raise ValueError("a decimal needs a scale")
        if self.type is not Type.decimal and self.scale is not None:
            raise ValueError("only a decimal has a scale")
        if self.over_agencies in {Combine.first, Combine.last}:
            raise ValueError("over_agencies is sum, formula or none")
        ways = {self.over_agencies, self.over_time}
        if self.type in {Type.text, Type.boolean} and ways != {Combine.none}:
            raise ValueError("a text or boolean is never combined: both over_… must be none")
        if self.type is Type.percent and Combine.sum in ways:
            raise ValueError("a percentage is never added: use formula or none")
        if self.min is not None and self.max is not None and self.max < self.min:
            raise ValueError("max lies below min")
        if (Combine.formula in ways) != (self.formula is not None):
            raise ValueError("a formula is given exactly where an over_… is formula")
        return self

    @property
    def is_number(self) -> bool:
        return self.type in {Type.integer, Type.decimal, Type.percent}

    @property
    def places(self) -> int:
        """Digits after the point."""
        return {Type.percent: 2, Type.decimal: self.scale or 0}.get(self.type, 0)


class Rule(Document):
    """A rule of a form: a condition in the rule language that holds for every correct report."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,29}$")]
    severity: Annotated[Severity, choice(Severity)]
    check: str
    message: Title


class FormDocument(Valid):
    """One version of a form as it is written and served."""

    code: Annotated[str, StringConstraints(pattern=FORM_CODE)]
    number: str | None = Field(default=None, max_length=100)
    version: int = Field(ge=1, le=999)
    legal_basis: str | None = Field(default=None, max_length=500)
    title: Title
    frequencies: list[Annotated[Frequency, choice(Frequency)]] = Field(min_length=1)
    breakdowns: list[Breakdown] = Field(default_factory=list, max_length=10)
    indicators: list[Indicator] = Field(min_length=1, max_length=500)
    rules: list[Rule] = Field(default_factory=list, max_length=500)
