"""Erase: the bytes of a report, and the texts in it, are gone for good; its figures, receipt and proofs stay.

The log has that it was done, and a hash of what stays: so that figures without bytes can be held against the log, too.
"""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db import confronting as kept
from gateway.db.deadline import watch_of
from gateway.db.engine import clock, driver
from gateway.db.erasures import erase_report, find_erasures, is_on_its_way
from gateway.db.log import add_entries
from gateway.db.reading import payloads_at, rows_at
from gateway.domain.entry import new_entry
from gateway.errors import Erased, NotFound, StateConflict, Text
from gateway.flow.confront.contradiction import commitments_in, read_entries
from gateway.flow.confront.reread import Rereading, kept_digest, rows_fault
from gateway.flow.load import Catalogues
from gateway.flow.show import decompress


async def erase(engine: AsyncEngine, catalogues: Catalogues, report: UUID, by: str, reason: str) -> None:
    """Erase a report, for somebody and a reason.

    Raises ``NotFound``, ``Erased`` where it is done already, and ``StateConflict`` while a delivery of it has not
    ended, or where its rows are not what its bytes say: then those are evidence.
    """
    async with driver(engine) as connection, connection.transaction():
        watch_of(connection).rest()
        head = await kept.head_of(connection, report)
        if head is None:
            raise NotFound(Text("Không có báo cáo này.", "There is no such report."))
        if await find_erasures(connection, [report]):
            raise Erased()
        if await is_on_its_way(connection, report):
            raise StateConflict(
                Text(
                    "Báo cáo còn đang được chuyển lên: chờ hoặc hủy các lần chuyển trước.",
                    "Deliveries of it have not ended: wait for them, or cancel them first.",
                )
            )
        place = [head.year], [head.agency_id], [report]
        rows = (await rows_at(connection, *place)).get(report, [])
        payload = (await payloads_at(connection, *place)).get(report)
        if payload is not None and head.status != "rejected":
            made_here = bool(await kept.made_here(connection, [report]))
            then = await catalogues.at(await kept.revision_at(connection, head.received_at))
            read = Rereading().read(head, payload[0], decompress(payload[1]), then, made_here)
            if fault := rows_fault(read, rows):
                raise StateConflict(Text(f"Dữ liệu không khớp: {fault}.", f"It was changed: {fault}."))
        entries, _ = read_entries(str(report), await kept.entries_of(connection, report))
        commitments = commitments_in([each for each in entries if each.says.get("report") == str(report)], "reason")
        await erase_report(connection, (report, head.agency_id, head.year), list(commitments), by, reason)
        about, texts = {"kept": kept_digest(head, rows)}, {"reason": reason, "ordered_by": by}
        entry = new_entry("erased", await clock(connection), None, about, report=report, texts=texts)
        await add_entries(connection, [entry])
