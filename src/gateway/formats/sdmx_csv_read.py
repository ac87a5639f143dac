"""SDMX-CSV 1.0 and 2.0, read: one line an observation."""

from collections.abc import Mapping

from gateway.errors import Text
from gateway.formats.csv import SPELL, csv_records, is_even
from gateway.formats.sdmx_codes import AGENCY, FREQ, INDICATOR, TIME, VALUE
from gateway.formats.sdmx_read import TAKEN_ACTIONS, add, structure_named
from gateway.formats.single_values import Observations, Path, Spelling
from gateway.formats.upload import Faults, FiledReport

_LEAD = ("STRUCTURE", "STRUCTURE_ID", "ACTION", "DATAFLOW")
_COLUMNS = (FREQ, AGENCY, INDICATOR, TIME, VALUE)


class _Lines(Spelling):
    """Values stand on a line, in the column of values."""

    def path(self, path: Path) -> Text:
        return SPELL.cell(*path)


def read_sdmx_csv(body: bytes) -> list[FiledReport]:
    """The reports of a message, by dataflow, agency and period. Raises ``MalformedRequest``, ``ContentTooLarge``."""
    records = csv_records(body)
    line, names = next(records, (1, []))
    _require_header(line, names)
    column = names.index(VALUE) + 1
    values, faults = Observations(_Lines(), is_sdmx=True), Faults()
    for line, fields in records:
        if not is_even(line, fields, len(names), faults):
            continue
        components = {name: field for name, field in zip(names, fields, strict=True) if field}
        structure = _structure(components, line, faults)
        if structure is not None:
            add(values, structure, components, (line, column), SPELL.line(line), faults)
    faults.settle()
    return values.reports


def _require_header(line: int, names: list[str]) -> None:
    faults = Faults()
    for number, name in enumerate(names, start=1):
        if names.index(name) + 1 != number:
            faults.add(SPELL.cell(line, number), Text("Tên cột xuất hiện hai lần.", "The column is named twice."))
        elif ":" in name or not name:
            faults.add(
                SPELL.cell(line, number),
                Text("Cột phải được nêu bằng id (labels=id).", "Columns are named by their ids (labels=id)."),
            )
    is_second = "STRUCTURE" in names
    lacking = [name for name in (*(_LEAD[:2] if is_second else _LEAD[3:]), *_COLUMNS) if name not in names]
    if lacking:
        named = ", ".join(lacking)
        faults.add(SPELL.line(line), Text(f"Thiếu cột: {named}.", f"Columns are missing: {named}."))
    faults.settle()


def _structure(components: dict[str, str], line: int, faults: Faults) -> Mapping[str, str] | None:
    """What an observation is of, taken out of its components; notes a fault if it is of nothing that is taken."""
    kind, action = components.pop("STRUCTURE", "dataflow"), components.pop("ACTION", "I")
    named = components.pop("STRUCTURE_ID", None) or components.pop("DATAFLOW", None) or ""
    if action.upper() not in TAKEN_ACTIONS:
        faults.add(
            SPELL.line(line),
            Text(
                "Chỉ nhận báo cáo trọn vẹn: ACTION là I, R hoặc A.",
                "A report is sent whole: ACTION is I, R or A.",
            ),
        )
        return None
    structure = structure_named(named) if kind.lower() in {"dataflow", "datastructure"} else None
    if structure is None:
        faults.add(
            SPELL.line(line),
            Text(
                "Không rõ thuộc dataflow nào.", "It does not say of which dataflow it is, like VNGOV:TTHC_06A(1.0.0)."
            ),
        )
    return structure


def looks_like_it(body: bytes) -> bool:
    """Whether a CSV file begins as SDMX-CSV does."""
    return body.removeprefix(b"\xef\xbb\xbf").startswith((b"STRUCTURE", b"DATAFLOW"))
