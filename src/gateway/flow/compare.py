"""Compare two revisions of a report: what a correction changed."""

from typing import Any
from uuid import UUID

from gateway.db.reading import KeptReport, find_revisions, find_rows
from gateway.domain.catalogue import Catalogue
from gateway.domain.difference import Compared, Difference, difference
from gateway.errors import MalformedRequest, NotFound, Place, Text
from gateway.flow.show import row_shown


async def compare(connection: Any, kept: KeptReport, against: UUID | None, catalogue: Catalogue) -> Difference:
    """What a report changed: against the revision it corrects, or against another of its key (``against``).

    Raises ``NotFound`` where there is nothing to compare, ``MalformedRequest`` naming ``from`` where ``against`` is
    no revision of the report's key.
    """
    if kept.head.revision is None:
        raise NotFound(Text("Báo cáo bị từ chối không phải là một lần gửi.", "A rejected report is not a revision."))
    earlier = kept.head.corrects if against is None else against
    if earlier is None:
        raise NotFound(_CORRECTS_NOTHING if kept.head.revision > 1 else _FIRST)
    revisions = {each.head.id: each for each in await find_revisions(connection, kept, catalogue)}
    if earlier not in revisions:
        raise MalformedRequest(_NOT_A_REVISION, errors=[Place("from", _NOT_A_REVISION)])
    return difference(
        await _compared(connection, revisions[earlier], catalogue), await _compared(connection, kept, catalogue)
    )


_FIRST = Text("Lần gửi đầu tiên không đính chính báo cáo nào.", "A first revision corrects nothing.")
_CORRECTS_NOTHING = Text(
    "Lần gửi này không đính chính báo cáo nào; hãy nêu lần gửi cần so sánh trong 'from'.",
    "This revision corrects nothing; name the one to compare it with in 'from'.",
)
_NOT_A_REVISION = Text(
    "'from' phải là mã một lần gửi của cùng báo cáo (cơ quan, biểu mẫu, kỳ, loại).",
    "'from' is the id of a revision of the same report (agency, form, period and kind).",
)


async def _compared(connection: Any, kept: KeptReport, catalogue: Catalogue) -> Compared:
    head = kept.head
    form = catalogue.form_version(head.form, head.form_version)
    if form is None or head.revision is None:
        raise LookupError(f"revision {head.revision} by form {head.form} version {head.form_version} cannot be shown")
    return Compared(
        form=form,
        id=head.id,
        revision=head.revision,
        received_at=head.received_at,
        reason=kept.reason,
        nil=kept.nil,
        explanations=kept.explanations,
        rows=[row_shown(form, row) for row in await find_rows(connection, kept)],
    )
