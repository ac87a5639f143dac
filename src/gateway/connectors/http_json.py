"""Kind `http_json`: POSTs a report as JSON to one URL, signed as Standard Webhooks 1.0 asks."""

import base64
import hashlib

from gateway.connectors.connector import ConnectorSettings, Dispatch
from gateway.connectors.post import SignedPost
from gateway.domain.delivery import Outcome, OutcomeClass


class HttpJson:
    """An upstream that takes one report a request at one URL and knows repeats by their `Idempotency-Key`."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._post = SignedPost(settings)

    async def send(self, dispatch: Dispatch) -> Outcome:
        """Make one attempt."""
        if dispatch.report is None:
            return Outcome(OutcomeClass.refused, "not sent: http_json takes reports, and this is a reminder")
        headers = {
            "Content-Type": dispatch.media_type,
            "Content-Digest": content_digest(dispatch.body),
            "Idempotency-Key": f"{dispatch.report}:{dispatch.event}",
        }
        return await self._post.send(dispatch, dispatch.body, headers)

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._post.aclose()


def content_digest(body: bytes) -> str:
    """The value of `Content-Digest` for a body (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"
