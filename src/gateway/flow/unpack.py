"""Unpack a push: the reports that a file holds, whatever its notation, each as a push of its own. Pure.

What a file cannot say of its reports (form, agency, period …) comes as parameters. A report in JSON says it all itself
and is left as it is; parameters that say something else are refused.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from pydantic import TypeAdapter, ValidationError

from gateway.domain.catalogue import Catalogue
from gateway.domain.document import faults
from gateway.domain.exact import decode
from gateway.domain.form import Form
from gateway.domain.report import Explanation, Submission
from gateway.errors import Classified, ContentTooLarge, MalformedRequest, Place, Text
from gateway.flow.prepare import Push, Unpacked
from gateway.flow.read import MAX_PLACES, read_submission
from gateway.formats.adx import read_adx
from gateway.formats.cells import shown
from gateway.formats.csv import read_csv
from gateway.formats.sdmx_csv_read import read_sdmx_csv
from gateway.formats.sdmx_ml_read import read_generic, read_specific
from gateway.formats.typed_rows import typed_rows
from gateway.formats.upload import FiledReport, require_few_rows
from gateway.formats.xlsx import read_xlsx

JSON, CSV = "application/json", "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ADX = "application/adx+xml"
SDMX_CSV = "application/vnd.sdmx.data+csv"
SDMX_GENERIC = "application/vnd.sdmx.genericdata+xml"
SDMX_SPECIFIC = "application/vnd.sdmx.structurespecificdata+xml"
SDMX_ML_3 = "application/vnd.sdmx.data+xml"
Read = Callable[[bytes], Sequence[FiledReport]]

READERS: Mapping[str, Read] = {
    CSV: read_csv,
    XLSX: read_xlsx,
    ADX: read_adx,
    SDMX_CSV: read_sdmx_csv,
    SDMX_GENERIC: read_generic,
    SDMX_SPECIFIC: read_specific,
    SDMX_ML_3: read_specific,
}
"""The notations that a report may come in besides JSON, by media type."""

PARAMETERS = (
    "form",
    "agency",
    "period",
    "kind",
    "nil",
    "explanations",
    "corrects",
    "reason",
    "form_version",
    "classification",
    "part",
)
OF_ONE = ("corrects", "nil", "explanations")
"""Parameters that are about one report alone."""
MAX_PARTS_BYTES = 256 * 1024 * 1024
"""Each report of a file is kept with the whole file: so many bytes at most, before they are compressed."""


def kind_of(media_type: str) -> str:
    """A media type without its parameters."""
    return media_type.partition(";")[0]


def unpack(push: Push) -> list[Push]:
    """A push for each report that the body holds, in the order in which they begin.

    Raises ``MalformedRequest`` with every fault of the file and its envelopes, ``ContentTooLarge``, ``Classified``.
    """
    read = READERS.get(kind_of(push.media_type))
    if read is None:
        require_agreement(push)
        return [push]
    asked = read_parameters(push.query)
    part = _number("part", asked.pop("part", None))
    reports = read(push.body) or [FiledReport()]
    chosen = list(enumerate(reports, start=1))
    is_one = len(reports) == 1
    if part is not None:
        if not 1 <= part <= len(reports):
            raise _wrong("part", Text(f"Tệp chỉ có {len(reports)} báo cáo.", f"The file has {len(reports)} reports."))
        chosen = [chosen[part - 1]]
    _require_few(push, chosen, asked)
    query = urlencode(sorted(asked.items()))
    found: list[Push] = []
    wrong: list[Place] = []
    for number, report in chosen:
        try:
            submission = _submission(report, asked)
        except MalformedRequest as error:
            wrong.extend(_placed(error.errors, report, None if is_one else number))
            continue
        unpacked = Unpacked(submission, report, query, None if is_one else number)
        key = push.key if len(chosen) == 1 or push.key is None else f"{push.key}/{number}"
        found.append(replace(push, unpacked=unpacked, key=key))
    if wrong:
        raise MalformedRequest(
            Text(f"Số lỗi ở phần khung báo cáo: {len(wrong)}.", f"Faults in the envelope: {len(wrong)}."),
            errors=list(dict.fromkeys(wrong))[:MAX_PLACES],
        )
    return found


_explanations = TypeAdapter(list[Explanation])


def require_agreement(push: Push) -> None:
    """Raises ``MalformedRequest`` where parameters say something else than a report in JSON; others say nothing."""
    asked = [(name, value) for name, value in parse_qsl(push.query) if name in PARAMETERS]
    if not asked:
        return
    submission = read_submission(push.body)
    differing = dict.fromkeys(name for name, value in asked if not _agrees(submission, name, value))
    if differing:
        raise MalformedRequest(errors=[Place(name, _BODY_DIFFERS) for name in differing])


def _agrees(submission: Submission, name: str, value: str) -> bool:
    match name:
        case "part":
            return value == "1"
        case "explanations":
            try:
                return _explanations.validate_python(decode(value.encode())) == (submission.explanations or [])
            except ValueError:
                return False
        case "corrects":
            return value.lower() == str(submission.corrects)
    written = getattr(submission, name)
    return written is not None and value == str(written)


def read_parameters(query: str) -> dict[str, str]:
    """The parameters of a query, each at most once; an empty one is absent. Raises ``MalformedRequest``."""
    try:
        given = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=100
        )
    except ValueError:
        raise _wrong("query", Text("Tham số không đọc được.", "The parameters cannot be read.")) from None
    wrong: list[Place] = []
    found: dict[str, str] = {}
    for name, value in given:
        if name not in PARAMETERS:
            wrong.append(Place(name[:100], Text("Không có tham số này.", "There is no such parameter.")))
        elif name in found:
            wrong.append(Place(name, Text("Tham số xuất hiện hai lần.", "The parameter is there twice.")))
        elif "\0" in value:
            wrong.append(Place(name, Text("Chuỗi chứa ký tự NUL.", "The string contains a NUL character.")))
        found[name] = value
    if wrong:
        raise MalformedRequest(errors=wrong[:MAX_PLACES])
    return {name: value for name, value in found.items() if value}


def _require_few(push: Push, chosen: Sequence[tuple[int, FiledReport]], asked: Mapping[str, str]) -> None:
    for _, report in chosen:
        require_few_rows(report)
    if len(chosen) == 1:
        return
    if len(chosen) * len(push.body) > MAX_PARTS_BYTES:
        raise ContentTooLarge(
            Text(
                f"Tệp có {len(chosen)} báo cáo, quá nhiều cho một tệp; hãy chia thành nhiều tệp.",
                f"The file has {len(chosen)} reports, which is too many for its size: split it into several files.",
            )
        )
    wrong = [name for name in OF_ONE if name in asked]
    if wrong:
        message = Text(
            f"Tệp có {len(chosen)} báo cáo: tham số này chỉ dùng cho một báo cáo (thêm 'part').",
            f"The file has {len(chosen)} reports: this parameter is about one of them (say which by 'part').",
        )
        raise MalformedRequest(errors=[Place(name, message) for name in wrong])


def _submission(report: FiledReport, asked: Mapping[str, str]) -> Submission:
    """A report without its rows, which are read when its form is known."""
    differing = [name for name, value in report.said.items() if asked.get(name, value) != value]
    if differing:
        raise MalformedRequest(errors=[Place(f"/{name}", _DIFFERS) for name in differing])
    envelope: dict[str, Any] = {**report.said, **asked, "rows": []}
    if "form_version" in envelope:
        envelope["form_version"] = _number("form_version", envelope["form_version"])
    if "explanations" in asked:
        envelope["explanations"] = _json("explanations", asked["explanations"])
    try:
        submission = Submission.model_validate(envelope)
    except ValidationError as error:
        raise MalformedRequest(errors=faults(error)) from error
    if submission.classification != "none":
        raise Classified(
            Text(
                "Hệ thống không nhận báo cáo có nội dung bí mật nhà nước; nội dung không được lưu.",
                "Reports with classified content are not taken; nothing of it was kept.",
            )
        )
    return submission


_BODY_DIFFERS = Text("Nội dung ghi khác với tham số.", "The body says something else than the parameter.")
_DIFFERS = Text("Tệp ghi khác với tham số.", "The file says something else than the parameter.")


def _placed(places: Sequence[Place], report: FiledReport, part: int | None) -> list[Place]:
    """Faults of an envelope where their author can find them: in the file, or among the parameters."""
    found = []
    for place in places:
        name = place.pointer.split("/")[1] if place.pointer.startswith("/") else place.pointer
        spot = report.at.get(name)
        if spot is not None:
            found.append(Place(spot.en, Text(f"{spot.vi}: {place.message.vi}", f"{spot.en}: {place.message.en}")))
        else:
            rest = place.pointer.removeprefix(f"/{name}") if place.pointer.startswith("/") else ""
            found.append(Place(f"{name}{rest}", place.message))
    return found


def _number(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise _wrong(name, Text("Phải là số nguyên dương.", "Must be a positive integer."))
    return int(text)


def _json(name: str, text: str) -> object:
    try:
        return decode(text.encode())
    except ValueError:
        raise _wrong(name, Text("Không phải JSON hợp lệ.", "Not strict JSON.")) from None


def _wrong(name: str, message: Text) -> MalformedRequest:
    return MalformedRequest(message, errors=[Place(name, message)])


def rows_sent(media_type: str, body: bytes, part: int | None, form: Form, catalogue: Catalogue) -> list[object]:
    """The rows of a rejected report, as they stand in the bytes that were sent."""
    read = READERS.get(kind_of(media_type))
    if read is None:
        return list(decode(body)["rows"])
    report = read(body)[(part or 1) - 1 :][:1]
    rows = typed_rows(report[0], form, catalogue.codelists) if report else []
    return [{name: shown(cell) for name, cell in row.items()} for row in rows]
