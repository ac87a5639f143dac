"""What the difference of two revisions looks like, with an example."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from gateway.domain.difference import Change
from gateway.domain.document import Title
from gateway.domain.report import Nil

_REPORT = "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e20"


CORRECTED: dict[str, Any] = {
    "from": {"id": _REPORT, "revision": 1, "received_at": "2026-09-20T02:15:08.114200Z"},
    "to": {
        "id": "01998f64-b2c0-7a11-8e7d-6a0b1c2d3e4f",
        "revision": 2,
        "received_at": "2026-09-21T03:40:51.920114Z",
        "reason": "Bổ sung 10 hồ sơ",
    },
    "nil": None,
    "rows": [
        {
            "row": {"sector": "LAND"},
            "change": "changed",
            "indicators": [
                {
                    "indicator": "pending_total",
                    "title": {"vi": "Số lượng hồ sơ đang giải quyết – Tổng số", "en": "Dossiers pending – total"},
                    "column": "(11)",
                    "before": 25,
                    "after": 35,
                    "difference": "10",
                }
            ],
        }
    ],
    "explanations": {"added": [], "removed": []},
}


class EarlierShape(BaseModel):
    """The revision that a difference starts from."""

    id: UUID
    revision: int
    received_at: datetime


class LaterShape(EarlierShape):
    """The revision that a difference leads to."""

    reason: str | None = Field(description="Why its sender made it.")


class FigureDifference(BaseModel):
    """A value that differs."""

    indicator: str
    title: Title
    column: str | None
    before: Any = Field(description="Null is a blank.")
    after: Any = Field(description="Null is a blank.")
    difference: str | None = Field(
        description="After − before, an exact decimal written as a string; null where one of the two is not a number."
    )


class RowDifference(BaseModel):
    """A row that differs, with those of its values that differ, in the form's order."""

    row: dict[str, str] = Field(description="The row, by its breakdowns.")
    change: Change
    indicators: list[FigureDifference]


class NilDifference(BaseModel):
    """What was said of there being no rows."""

    before: Nil | None
    after: Nil | None


class ExplanationsDifference(BaseModel):
    """Explanations that only one of the two revisions has."""

    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]


class DifferenceShape(BaseModel):
    """What changed from one revision of a report to another; what is the same in both is left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [CORRECTED]})

    from_: EarlierShape = Field(alias="from")
    to: LaterShape
    nil: NilDifference | None = Field(description="Null where both say the same.")
    rows: list[RowDifference] = Field(description="In the order of `to`; removed rows last.")
    explanations: ExplanationsDifference
