"""Kind `webhook`: POSTs one message an event as JSON to one URL, as Standard Webhooks 1.0 has it."""

from dataclasses import replace

from gateway.connectors.connector import ConnectorSettings, Dispatch, InvalidConnectorSettings, NoOptions, options_of
from gateway.connectors.post import SignedPost
from gateway.domain.delivery import REMINDERS, Outcome, OutcomeClass
from gateway.domain.exact import encode

_GONE = 410


class Webhook:
    """A receiver of Standard Webhooks, which knows repeats by their `webhook-id`. Messages are always signed."""

    def __init__(self, settings: ConnectorSettings) -> None:
        options_of(settings, NoOptions)
        self._post = SignedPost(settings)
        if not self._post.keys:
            raise InvalidConnectorSettings("signing_secret is needed: a webhook is always signed")

    async def send(self, dispatch: Dispatch) -> Outcome:
        """Make one attempt."""
        return _judged(await self._post.send(dispatch, message(dispatch), {"Content-Type": "application/json"}))

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._post.aclose()


def message(dispatch: Dispatch) -> bytes:
    """The body of a message: what happened, when it happened, and the JSON of the dispatch as `data`."""
    about = "obligation" if dispatch.event in REMINDERS else "report"
    head = encode({"type": f"{about}.{dispatch.event}", "timestamp": dispatch.occurred_at})
    return head[:-1] + b',"data":' + dispatch.body + b"}"


def _judged(outcome: Outcome) -> Outcome:
    """A receiver refuses by 410, "no more of these"; any other 4xx is a failure, after which senders try again."""
    status = outcome.status or 0
    if outcome.kind is not OutcomeClass.refused or not 400 <= status < 500:
        return outcome
    if status == _GONE:
        return replace(outcome, reason="refused: the receiver wants no more of these, it answered 410")
    words = f"the receiver failed to take it: it answered {status}"
    return replace(outcome, kind=OutcomeClass.unreachable, reason=words)
