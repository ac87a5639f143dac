"""Data of the SDMX routes: streamed from one snapshot, flat in memory; a failure half-way breaks the connection."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Protocol

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.access.tokens import Caller
from gateway.api.deps import Gateway
from gateway.api.sdmx_errors import refuse
from gateway.api.sdmx_message import header_now
from gateway.api.sdmx_query import DataAsked
from gateway.api.sdmx_selection import form_in, select
from gateway.domain.form import Form
from gateway.errors import NotFound, Text
from gateway.flow.look import Opened, look
from gateway.flow.select_series import Serialiser
from gateway.flow.tabulate import tabulate
from gateway.flow.touched import only_touched, touched
from gateway.formats.sdmx_codes import ATTRIBUTES
from gateway.formats.sdmx_csv import CsvData
from gateway.formats.sdmx_mapping import Structures
from gateway.formats.sdmx_ml import ML_2_1, ML_3_0
from gateway.formats.sdmx_ml_data import GenericData, Shown, SpecificData
from gateway.formats.sdmx_structures import Header, Series

GENERIC = "application/vnd.sdmx.genericdata+xml;version=2.1"
SPECIFIC = "application/vnd.sdmx.structurespecificdata+xml;version=2.1"
ML_3 = "application/vnd.sdmx.data+xml;version=3.0.0"
CSV_1 = "application/vnd.sdmx.data+csv;version=1.0.0"
CSV_2 = "application/vnd.sdmx.data+csv;version=2.0.0"
OFFERED = {"v1": (GENERIC, SPECIFIC, CSV_1), "v2": (ML_3, CSV_2, CSV_1)}
_PIECE_SERIES = 500


class Dialect(Protocol):
    """A notation of data: a message is its opening, the data set unless it is empty, and a closing."""

    @property
    def media_type(self) -> str: ...
    def opening(self, said: Header, /) -> bytes: ...
    def data_set(self) -> bytes: ...
    def pieces(self, series: Iterable[Series]) -> bytes: ...
    def closing(self, empty: bool) -> bytes: ...


@dataclass(frozen=True, slots=True)
class DataRequest:
    """Who asks for which data, in which of the formats offered."""

    gateway: Gateway
    structures: Structures
    caller: Caller
    form: Form
    asked: DataAsked
    media_type: str

    @property
    def dialect(self) -> Dialect:
        attributes = frozenset(ATTRIBUTES) if self.asked.attributes is None else self.asked.attributes
        shown = Shown(attributes, self.asked.observations, self.asked.values, self.asked.flat)
        structure = self.structures.structure(self.form)
        if self.media_type == GENERIC:
            return GenericData(structure, shown)
        if self.media_type in {CSV_1, CSV_2}:
            flow = self.structures.dataflow(self.form).reference
            return CsvData(1 if self.media_type == CSV_1 else 2, flow, structure, shown)
        return SpecificData(ML_2_1 if self.media_type == SPECIFIC else ML_3_0, structure, shown)


class StreamedData(StreamingResponse):
    """A data message. Where there is nothing: one without a data set, or 404 where that is what clients understand."""

    def __init__(self, request: Request, asked: DataRequest) -> None:
        super().__init__((), media_type=asked.media_type)
        self._request, self._asked = request, asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            try:
                gateway, asked = self._asked.gateway, self._asked.asked
                opening = look(gateway.engine, gateway.catalogues, asked.as_of, asked.since)
                opened = await stack.enter_async_context(opening)
                self.headers["As-Of"] = str(opened.state.name)
                pieces = await stack.enter_async_context(aclosing(self._pieces(opened)))
                first = await anext(pieces, None)
                if first is None and self._is_404:
                    raise NotFound(Text("Không có số liệu như yêu cầu.", "There is no data for this request."))
            except Exception as error:
                await stack.aclose()
                await refuse(self._request, error)(scope, receive, send)
                return
            self.body_iterator = self._message(first, pieces)
            await super().__call__(scope, receive, send)

    @property
    def _is_404(self) -> bool:
        """SDMX-REST 2 clients take 404 for nothing; those of 1 an empty message, and of CSV 2 a header alone."""
        is_old = self._request.scope["path"].startswith("/sdmx/v1")
        return not is_old and self._asked.media_type != CSV_2

    async def _pieces(self, opened: Opened) -> AsyncGenerator[list[Series], None]:
        asked, form = self._asked.asked, form_in(opened.catalogue, self._asked.form)
        selection = await select(opened, self._asked.caller, form, asked)
        serialiser = Serialiser(selection, asked.first, asked.last)
        piece: list[Series] = []
        lines = tabulate(opened, selection.table)
        if opened.before is not None:
            lines = only_touched(lines, await touched(opened, opened.before, selection.table))
        async for line in lines:
            piece.extend(serialiser.series(line))
            if len(piece) >= _PIECE_SERIES:
                yield piece
                piece = []
        if piece:
            yield piece

    async def _message(self, first: Sequence[Series] | None, rest: AsyncIterator[list[Series]]) -> AsyncIterator[bytes]:
        dialect = self._asked.dialect
        opening = dialect.opening(header_now(self._request))
        if first is None:
            yield opening + dialect.closing(True)
            return
        yield opening + dialect.data_set() + dialect.pieces(first)
        async for piece in rest:
            yield dialect.pieces(piece)
        yield dialect.closing(False)
