"""What catalogue documents are made of: strict models, titles in two languages, validity, lists of all faults."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from gateway.errors import Place, Text


def choice(enumeration: type[StrEnum]) -> BeforeValidator:
    """Takes one of an enumeration's words, or None where the field may be null; names them all otherwise."""
    words = {each.value: each for each in enumeration}

    def choose(value: object) -> object:
        if value is None or isinstance(value, enumeration):
            return value
        if isinstance(value, str) and value in words:
            return words[value]
        raise PydanticCustomError("choice", "Must be one of: {choices}", {"choices": ", ".join(words)})

    return BeforeValidator(choose, json_schema_input_type=enumeration)


def refusal(vi: str, en: str) -> PydanticCustomError:
    """What a model's own check raises: a sentence without its full stop, in both languages."""
    return PydanticCustomError("refusal", "{en}", {"vi": vi, "en": en})


def in_utc(moment: datetime) -> datetime:
    """A time in UTC; the first and the last hours of the calendar in some zones are none there."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise refusal("thời điểm này không có trong UTC", "there is no such time in UTC") from None


_WRITTEN_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].+")
_moment = TypeAdapter(AwareDatetime)


def _rfc_3339(value: object) -> object:
    """What is no text of a day and a time is left to be refused: it might be taken for seconds since 1970."""
    if not isinstance(value, str):
        return value
    try:
        if _WRITTEN_MOMENT.fullmatch(value):
            return _moment.validate_python(value)
    except ValidationError:
        pass
    raise PydanticCustomError("moment", "Must be an RFC 3339 time")


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc_3339, json_schema_input_type=datetime), AfterValidator(in_utc)]
"""An RFC 3339 time with its zone."""


_WRITTEN_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
LAST_DAY = date(2199, 12, 31)
"""The last day that is reckoned with: what is counted from it is still a date."""
_BY_LAST_DAY = r"^(?:[01][0-9]|2[01])"


def _iso_date(value: object) -> object:
    return date.fromisoformat(value) if isinstance(value, str) and _WRITTEN_DAY.fullmatch(value) else value


Day = Annotated[date, BeforeValidator(_iso_date, json_schema_input_type=date)]
"""A civil date in Asia/Ho_Chi_Minh, written ``YYYY-MM-DD``."""


def _at_most_last(day: date) -> date:
    if day > LAST_DAY:
        raise PydanticKnownError("less_than_equal", {"le": str(LAST_DAY)})
    return day


ReckonedDay = Annotated[
    Day,
    AfterValidator(_at_most_last),
    WithJsonSchema({"type": "string", "format": "date", "pattern": _BY_LAST_DAY}),
]
"""A day that others are counted from."""
WEB_ADDRESS: dict[str, Any] = {"pattern": "^https?://"}
"""In the schema: an address that can be asked."""
WORDS: dict[str, Any] = {"pattern": r"\S"}
"""In the schema: a text of something else than spaces, which are taken off its ends."""


def exact_number(value: object) -> object:
    """An integer as the decimal it is; anything else as it came."""
    return Decimal(value) if type(value) is int else value


EXACT = BeforeValidator(exact_number, json_schema_input_type=float)
"""For a ``Decimal``: a number in JSON, never a text."""
NUMBER = WithJsonSchema({"type": "number"})
"""A ``Decimal`` in an answer, in the document: it is written as a number."""


def at_most_one(first: str, second: str) -> dict[str, Any]:
    """In the schema: of two members not both are given, null being the same as absent."""
    return {"if": {"properties": {first: {"type": "null"}}}, "else": {"properties": {second: {"type": "null"}}}}


def exactly_one(first: str, second: str) -> dict[str, Any]:
    """As ``at_most_one``, and neither is not enough."""
    given = {"required": [second], "properties": {second: {"not": {"type": "null"}}}}
    return at_most_one(first, second) | {"then": given}


MAX_UNKNOWN = 20
"""Unknown fields of one object that an answer names."""


class Document(BaseModel):
    """A strict part of a catalogue document: no unknown fields, no coercion."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _few_unknown(cls, value: Any) -> Any:
        """Naming a million unknown fields would take seconds in which nobody else is served."""
        if not isinstance(value, dict) or len(value) <= len(cls.model_fields) + MAX_UNKNOWN:
            return value
        known = {field.alias or name for name, field in cls.model_fields.items()}
        unknown = islice(((name, member) for name, member in value.items() if name not in known), MAX_UNKNOWN)
        return {name: member for name, member in value.items() if name in known} | dict(unknown)


class Title(Document):
    """A name in Vietnamese and in English."""

    vi: str = Field(min_length=1, max_length=1000)
    en: str = Field(min_length=1, max_length=1000)

    @property
    def text(self) -> Text:
        return Text(self.vi, self.en)


class Valid(Document):
    """Something in force from one civil date to another, both included; an open end is null."""

    valid_from: Day | None = None
    valid_to: Day | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "Valid":
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise ValueError("valid_to lies before valid_from")
        return self

    def is_valid_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)


_LONGEST_STEP = 200


def pointer(location: tuple[int | str, ...]) -> str:
    """The JSON Pointer (RFC 6901) of a place in a document.

    A name no document has is cut: a thousand places below a name of a megabyte would be an answer of a gigabyte.
    """
    return "".join("/" + _step(step).replace("~", "~0").replace("/", "~1") for step in location)


def _step(step: int | str) -> str:
    name = str(step)
    return name if len(name) <= _LONGEST_STEP else f"{name[:_LONGEST_STEP]}…"


MAX_FAULTS = 1000
"""Faults that one answer names; a document with more is wrong altogether."""


def faults(error: ValidationError, prefix: tuple[int | str, ...] = ()) -> list[Place]:
    """Every fault of a document that a model refused, without the values it held."""
    return [
        Place(pointer(prefix + tuple(fault["loc"])), _sentence(fault))
        for fault in islice(error.errors(include_url=False, include_input=False), MAX_FAULTS)
    ]


_SENTENCES = {
    "extra_forbidden": Text("Trường không có trong quy định.", "Unknown field."),
    "missing": Text("Thiếu trường bắt buộc.", "Required field is missing."),
    "string_type": Text("Phải là chuỗi ký tự.", "Must be a string."),
    "int_type": Text("Phải là số nguyên.", "Must be an integer."),
    "bool_type": Text("Phải là true hoặc false.", "Must be true or false."),
    "list_type": Text("Phải là một mảng.", "Must be an array."),
    "dict_type": Text("Phải là một đối tượng JSON.", "Must be a JSON object."),
    "model_type": Text("Phải là một đối tượng JSON.", "Must be a JSON object."),
    "model_attributes_type": Text("Phải là một đối tượng JSON.", "Must be a JSON object."),
    "date_type": Text("Phải là ngày dạng YYYY-MM-DD.", "Must be a date, YYYY-MM-DD."),
    "moment": Text("Phải là thời điểm RFC 3339.", "Must be an RFC 3339 time."),
    "uuid_type": Text("Phải là UUID.", "Must be a UUID."),
    "is_instance_of": Text("Sai kiểu giá trị.", "Wrong kind of value."),
    "period": Text("{vi}", "{en}"),
    "refusal": Text("{vi}.", "{en}."),
    "choice": Text("Phải là một trong: {choices}.", "Must be one of: {choices}."),
    "literal_error": Text("Phải là một trong: {expected}.", "Must be one of: {expected}."),
    "string_too_short": Text("Phải có ít nhất {min_length} ký tự.", "Must have at least {min_length} characters."),
    "string_too_long": Text("Chỉ được tối đa {max_length} ký tự.", "Must have at most {max_length} characters."),
    "string_pattern_mismatch": Text("Không đúng mẫu {pattern}.", "Must match {pattern}."),
    "too_short": Text("Phải có ít nhất {min_length} phần tử.", "Must have at least {min_length} items."),
    "too_long": Text("Chỉ được tối đa {max_length} phần tử.", "Must have at most {max_length} items."),
    "greater_than": Text("Phải lớn hơn {gt}.", "Must be greater than {gt}."),
    "greater_than_equal": Text("Không được nhỏ hơn {ge}.", "Must not be less than {ge}."),
    "less_than_equal": Text("Không được lớn hơn {le}.", "Must not be greater than {le}."),
}


def _sentence(fault: Any) -> Text:
    known = _SENTENCES.get(fault["type"])
    if known is not None:
        values = fault.get("ctx", {})
        return Text(known.vi.format(**values), known.en.format(**values))
    message = str(fault["msg"]).removeprefix("Value error, ")
    return Text(f"Giá trị không hợp lệ: {message}.", f"{message}.")
