"""Relay: a report that another gateway took first keeps its id, and its first receipt speaks for it.

The client that brings it stands for that gateway. What a receipt says is believed if an issuer signed it for whom the
client may speak: which report that is, and when it was received first.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from joserfc.errors import JoseError
from pydantic import TypeAdapter, ValidationError
from pydantic.types import AwareDatetime

from gateway.db.relays import KeptRelay, find_issuer_keys
from gateway.errors import Text, UntrustedReceipt
from gateway.evidence.receipts import InvalidReceipt, issuer_of, key_set, verify_receipt

_Claims: TypeAlias = dict[str, Any]
_time = TypeAdapter(AwareDatetime)


@dataclass(frozen=True, slots=True)
class FirstReceipt:
    """What the receipt of whoever took a report first says of it; the signature has been verified."""

    issuer: str
    report: UUID
    sha256: str
    agency: str
    form: str
    period: str
    kind: str
    revision: int
    received_at: datetime
    receipt: str

    def kept(self, client: UUID) -> KeptRelay:
        """The receipt as it is stored with its report, brought by a client."""
        return KeptRelay(self.issuer, self.received_at, self.revision, self.receipt, client)


async def first_receipt(connection: Any, client: UUID, receipt: str) -> FirstReceipt:
    """What a receipt says that a client brings. Raises ``UntrustedReceipt``."""
    try:
        issuer = issuer_of(receipt)
        keys = await find_issuer_keys(connection, client, issuer)
        if keys is None:
            raise _untrusted(
                f"client này không được chuyển báo cáo của {issuer!r}",
                f"is of {issuer!r}, for which this client may not speak",
            )
        return _read(verify_receipt(receipt, key_set(keys)), receipt)
    except (InvalidReceipt, JoseError) as error:
        raise _untrusted("chữ ký hoặc định dạng không đúng", f"cannot be verified: {error}") from error
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise _untrusted("thiếu nội dung bắt buộc", "lacks a claim, or has one of the wrong type") from error


def _read(claims: _Claims, receipt: str) -> FirstReceipt:
    texts = {name: claims[name] for name in ("sha256", "agency", "form", "period", "kind")}
    revision = claims["revision"]
    if not all(isinstance(text, str) for text in texts.values()) or type(revision) is not int:
        raise TypeError("a claim of the wrong type")
    return FirstReceipt(
        issuer=claims["iss"],
        report=UUID(claims["report"]),
        revision=revision,
        received_at=_time.validate_python(claims["received_at"]),
        receipt=receipt.strip(),
        **texts,
    )


def require_same(first: FirstReceipt, **found: object) -> None:
    """A receipt is for just this report. Raises ``UntrustedReceipt`` naming what differs."""
    wrong = [name for name, value in found.items() if getattr(first, name) != value]
    if wrong:
        raise _untrusted(f"không khớp với báo cáo: {', '.join(wrong)}", f"is for another report: {', '.join(wrong)}")


def _untrusted(vi: str, en: str) -> UntrustedReceipt:
    return UntrustedReceipt(Text(f"Biên nhận đầu tiên không được chấp nhận: {vi}.", f"The first receipt {en}."))
