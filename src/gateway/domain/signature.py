"""An agency's own signature on a report (chữ ký số): who signed which bytes and when, and what speaks against it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.errors import Text


class SignatureRule(StrEnum):
    """Whether reports of a regime must be signed."""

    none = "none"
    required = "required"


@dataclass(frozen=True, slots=True)
class Signer:
    """The certificate that signed, as it names itself (RFC 4514), and when it says that it did."""

    subject: str
    issuer: str
    serial: str
    fingerprint: str
    signed_at: datetime

    def shown(self) -> dict[str, object]:
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "serial": self.serial,
            "sha256": self.fingerprint,
            "signed_at": self.signed_at,
        }


@dataclass(frozen=True, slots=True)
class ReportSignature:
    """A signature that came with a report, exactly as it came.

    ``faults`` are why it does not hold for these bytes or is not trusted here; ``agencies`` those that its signer may
    sign for. ``query`` are the parameters that were signed with them, as a query; empty where none were.
    """

    jws: str
    signer: Signer
    faults: tuple[Text, ...]
    agencies: frozenset[str]
    query: str = ""

    def faults_for(self, agency: str) -> tuple[Text, ...]:
        """Why it is not taken as an agency's; empty where it is."""
        if agency in self.agencies:
            return self.faults
        stranger = Text(
            f"chứng thư của người ký không được đăng ký cho {agency}",
            f"its signer is not registered for {agency}",
        )
        return (*self.faults, stranger)
