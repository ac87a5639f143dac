"""What catalogue documents are made of: strict models, titles in two languages, validity, lists of all faults."""

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gateway.errors import Place, Text


def _iso_date(value: object) -> object:
    return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else value


Day = Annotated[date, BeforeValidator(_iso_date, json_schema_input_type=str)]
"""A civil date in Asia/Ho_Chi_Minh, written ``YYYY-MM-DD``."""


class Document(BaseModel):
    """A strict part of a catalogue document: no unknown fields, no coercion."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


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


def pointer(location: tuple[int | str, ...]) -> str:
    """The JSON Pointer (RFC 6901) of a place in a document."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)


def faults(error: ValidationError, prefix: tuple[int | str, ...] = ()) -> list[Place]:
    """Every fault of a document that a model refused, without the values it held."""
    return [
        Place(pointer(prefix + tuple(fault["loc"])), _sentence(fault))
        for fault in error.errors(include_url=False, include_input=False)
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
    "uuid_type": Text("Phải là UUID.", "Must be a UUID."),
}


def _sentence(fault: Any) -> Text:
    known = _SENTENCES.get(fault["type"])
    if known is not None:
        return known
    message = str(fault["msg"]).removeprefix("Value error, ")
    return Text(f"Giá trị không hợp lệ: {message}", f"{message}.")
