"""Kind `witness`: has the log's checkpoints cosigned by somebody who saw that it only grew (C2SP tlog-witness).

The URL is the witness's submission prefix. A witness remembers the newest checkpoint that it signed, and signs another
one only with the proof that it grew out of that. It is given no reports.
"""

import base64
from collections.abc import Sequence

from pydantic import Field

from gateway.connectors.connector import (
    Behind,
    ConnectorSettings,
    Contradicted,
    Cosigned,
    Dispatch,
    InvalidConnectorOptions,
    InvalidConnectorSettings,
    UpstreamSilent,
    options_of,
)
from gateway.connectors.post import SignedPost
from gateway.connectors.transport import NoReply, Request
from gateway.domain.delivery import Outcome, OutcomeClass
from gateway.domain.document import Document
from gateway.errors import Place, Text
from gateway.evidence.note import InvalidNote, line_of, read_note, read_vkey

_OK, _CONFLICT, _NOT_CONSISTENT = 200, 409, 422


class WitnessOptions(Document):
    """What the kind asks for: the witness's public key, as it publishes it."""

    vkey: str = Field(min_length=1, max_length=500)


class Witness:
    """One witness."""

    def __init__(self, settings: ConnectorSettings) -> None:
        try:
            self._key = read_vkey(options_of(settings, WitnessOptions).vkey)
        except InvalidNote as error:
            message = Text(f"Không dùng được: {error}.", f"Cannot be used: {error}.")
            raise InvalidConnectorOptions([Place("/options/vkey", message)]) from error
        if "?" in settings.url:
            raise InvalidConnectorSettings("url may hold no query: it is the witness's submission prefix")
        self._post = SignedPost(settings, ("bearer",))
        self._url = f"{settings.url.rstrip('/')}/add-checkpoint"

    async def send(self, _: Dispatch) -> Outcome:
        """Nothing: a witness takes no reports."""
        return Outcome(OutcomeClass.refused, "not sent: a witness takes no reports")

    async def cosign(self, old: int, path: Sequence[bytes], note: str) -> Cosigned | Behind:
        """Have a checkpoint cosigned that grew out of one of ``old`` entries, by its consistency proof.

        Raises `UpstreamSilent`, or `Contradicted` where the witness holds against it.
        """
        hashes = "".join(f"{base64.b64encode(each).decode()}\n" for each in path)
        body = f"old {old}\n{hashes}\n{note}".encode()
        headers = {"Content-Type": "text/plain; charset=utf-8", "Accept": "text/plain", **self._post.authorization}
        answer = await self._post.exchange(Request(self._url, headers, body), until=self._post.ends())
        if isinstance(answer, NoReply):
            raise UpstreamSilent(answer.reason)
        if answer.status == _CONFLICT:
            return _behind(answer.body)
        if answer.status == _NOT_CONSISTENT:
            raise Contradicted(f"the witness does not find this log to be grown out of the {old} entries it knows")
        if answer.status != _OK:
            raise UpstreamSilent(f"the witness answered {answer.status}")
        return self._cosigned(note, answer.body)

    def _cosigned(self, note: str, lines: bytes) -> Cosigned:
        """What the witness wrote, if it is its signature of this very checkpoint."""
        text = note.rpartition("\n\n")[0]
        try:
            answered = read_note(f"{text}\n\n{lines.decode()}")
            at = self._key.verify(answered)
        except (InvalidNote, UnicodeDecodeError) as error:
            raise Contradicted(f"what the witness signed is not the checkpoint it was given: {error}") from error
        if at is None:
            raise UpstreamSilent("the witness gave a signature without a time, which is no cosignature")
        [line] = [each for each in answered.signatures if each.key_id == self._key.key_id][:1]
        return Cosigned(line_of(line), at)

    async def aclose(self) -> None:
        """Close the connections kept open."""
        await self._post.aclose()


def _behind(body: bytes) -> Behind:
    text = body.strip()
    if not text.isdigit() or len(text) > 18:
        raise UpstreamSilent("the witness answered 409 and did not say what it knows")
    return Behind(int(text))
