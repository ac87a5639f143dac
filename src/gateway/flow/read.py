"""Read a pushed body: strict JSON on the raw bytes, then the envelope. Pure."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pydantic import ValidationError

from gateway.domain.document import faults, pointer
from gateway.domain.exact import decode
from gateway.domain.report import Submission
from gateway.errors import Classified, MalformedRequest, Place, Text

MAX_PLACES = 1000
"""Places named in one answer; a body with more is wrong altogether."""


def parse_json(body: bytes) -> Any:
    """Strict JSON (RFC 8259): UTF-8 without BOM, no NaN, no duplicate keys, decimals exact.

    Raises ``MalformedRequest`` naming the place.
    """
    try:
        value = decode(body)
    except ValueError as error:
        reason = str(error)
        place = re.search(r"line (\d+) column (\d+)$", reason)
        where = f" (dòng {place[1]}, cột {place[2]})" if place else ""
        message = Text(f"Nội dung không phải JSON hợp lệ{where}.", f"Not strict JSON: {reason}.")
        raise MalformedRequest(message, errors=[Place("", message)]) from error
    if b"\\u0000" in body and (places := list(islice(_nul_places(value, ()), MAX_PLACES))):
        message = Text("Chuỗi chứa ký tự NUL.", "The string contains a NUL character.")
        raise MalformedRequest(message, errors=[Place(place, message) for place in places])
    return value


def _nul_places(value: object, path: tuple[int | str, ...]) -> Iterator[str]:
    if isinstance(value, str):
        if "\0" in value:
            yield pointer(path)
    elif isinstance(value, dict):
        for name, member in value.items():
            if "\0" in name:
                yield pointer(path)
            else:
                yield from _nul_places(member, (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _nul_places(member, (*path, index))


def read_submission(body: bytes) -> Submission:
    """The report a body holds.

    Raises ``MalformedRequest`` with every wrong place, or ``Classified`` when the report says that it is.
    """
    value = parse_json(body)
    if not isinstance(value, dict):
        message = Text("Nội dung phải là một đối tượng JSON.", "The body must be a JSON object.")
        raise MalformedRequest(message, errors=[Place("", message)])
    try:
        submission = Submission.model_validate(value)
    except ValidationError as error:
        found = faults(error)
        raise MalformedRequest(
            Text(f"Số lỗi ở phần khung báo cáo: {len(found)}.", f"Faults in the envelope: {len(found)}."),
            errors=found[:MAX_PLACES],
        ) from error
    if submission.classification != "none":
        raise Classified(
            Text(
                "Hệ thống không nhận báo cáo có nội dung bí mật nhà nước; nội dung không được lưu.",
                "Reports with classified content are not taken; nothing of it was kept.",
            )
        )
    return submission
