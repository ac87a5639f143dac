"""Kind `http_json`: POSTs a report as JSON to one URL, or as options map it, signed as Standard Webhooks 1.0 asks."""

import base64
import hashlib
from collections.abc import AsyncGenerator

from gateway.connectors.connector import ConnectorSettings, Dispatch, InvalidConnectorOptions, options_of
from gateway.connectors.holdings import Holdings, HoldingsOptions
from gateway.connectors.mapping import Mapper, MappingOptions, address
from gateway.connectors.outcome import reminder_refused
from gateway.connectors.post import SignedPost
from gateway.connectors.template_syntax import TemplateReader
from gateway.domain.delivery import Outcome
from gateway.domain.upstream import Held


class HttpJsonOptions(MappingOptions):
    """How reports are told, and where it is listed what of them is held."""

    reconciliation: HoldingsOptions | None = None


class HttpJson:
    """An upstream that takes one report a request at one URL and knows repeats by their `Idempotency-Key`."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._mapper = Mapper(options_of(settings, HttpJsonOptions))
        self._url = settings.url
        self._post = SignedPost(self._mapper.fitted(settings))

    async def send(self, dispatch: Dispatch) -> Outcome:
        """Make one attempt."""
        if dispatch.report is None:
            return reminder_refused("http_json")
        request = await self._mapper.prepare(dispatch)
        if isinstance(request, Outcome):
            return request
        answer = await self._post.post(
            request.dispatch,
            request.dispatch.body,
            report_headers(request.dispatch) | request.headers,
            until=self._post.ends(),
            url=address(self._url, request.path),
            method=request.how.method,
        )
        return request.judged(answer, self._post.judged(answer, dispatch.attempted_at))

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._post.aclose()


class Listing(HttpJson):
    """One that lists what it holds."""

    def __init__(self, settings: ConnectorSettings, options: HoldingsOptions) -> None:
        super().__init__(settings)
        reader = TemplateReader({})
        self._holdings = Holdings(options, settings, self._post, reader)
        if reader.wrong:
            raise InvalidConnectorOptions(reader.wrong)

    def holdings(self, form: str | None, period: str | None) -> AsyncGenerator[Held, None]:
        """The reports it holds, newest first. Raises `UpstreamSilent`."""
        return self._holdings.all(form, period)


def http_json(settings: ConnectorSettings) -> HttpJson:
    """A connector that can be asked what its upstream holds, if its options say how. Raises as opening one does."""
    listing = options_of(settings, HttpJsonOptions).reconciliation
    return HttpJson(settings) if listing is None else Listing(settings, listing)


def report_headers(dispatch: Dispatch) -> dict[str, str]:
    """What tells of the body of a dispatch, and by what an upstream knows that it got it before."""
    return {
        "Content-Type": dispatch.media_type,
        "Content-Digest": content_digest(dispatch.body),
        "Idempotency-Key": f"{dispatch.report}:{dispatch.event}",
    }


def content_digest(body: bytes) -> str:
    """The value of `Content-Digest` for a body (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"
