"""What is asked for when a client is made, or gets new credentials."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from gateway.access.key_sets import MOST_KEYS
from gateway.access.scopes import Scope
from gateway.domain.document import EXACT, WEB_ADDRESS, WORDS, Document, Moment, at_most_one, choice, refusal

LONGEST_OVERLAP = timedelta(days=30)


Rate = Annotated[
    Decimal,
    EXACT,
    Field(gt=0, le=100_000, max_digits=9, decimal_places=3),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 100_000, "multipleOf": 0.001}),
]


def _to_come(moment: datetime) -> datetime:
    if moment <= datetime.now(UTC):
        raise refusal("thời điểm này đã qua", "this time has passed")
    return moment


_KeySet = Annotated[
    dict[str, Any],
    Field(
        json_schema_extra={
            "required": ["keys"],
            "properties": {
                "keys": {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": MOST_KEYS}
            },
        }
    ),
]
_Address = Annotated[str, Field(max_length=2000, json_schema_extra=WEB_ADDRESS)]


class CredentialDocument(Document):
    """How a client is to prove who it is: by a secret that is made for it, or by keys of its own."""

    model_config = ConfigDict(json_schema_extra=at_most_one("jwks", "jwks_uri"))

    jwks: _KeySet | None = Field(None, description="For `private_key_jwt`: a JSON Web Key Set of public keys.")
    jwks_uri: _Address | None = Field(
        None, description="For `private_key_jwt`: where the client keeps its key set; fetched when needed."
    )
    expires_at: Annotated[Moment, AfterValidator(_to_come)] | None = Field(
        None, description="From then on the credential is good no longer."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "CredentialDocument":
        if self.jwks is not None and self.jwks_uri is not None:
            raise refusal("Chỉ dùng một trong hai: jwks hoặc jwks_uri", "Use either jwks or jwks_uri")
        return self


class LimitsDocument(Document):
    """How much a client may ask for; null is what is set for all, which is any number unless the operator says."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"requests_per_second": 20, "reports_per_day": 5000}]})

    requests_per_second: Rate | None = Field(None, description="Over time; up to 3 decimals.")
    burst: int | None = Field(None, ge=1, le=1_000_000, description="At once; a second's worth if null.")
    reports_per_day: int | None = Field(
        None, ge=0, le=1_000_000_000, description="Sent alone or in batches, whatever becomes of them; Viet Nam's day."
    )


class ClientDocument(CredentialDocument):
    """A new client."""

    model_config = ConfigDict(
        json_schema_extra=at_most_one("jwks", "jwks_uri")
        | {
            "examples": [
                {
                    "name": "Hệ thống báo cáo của tỉnh",
                    "agency": "H26",
                    "scopes": ["reports:write", "reports:read"],
                    "expires_at": "2028-01-01T00:00:00Z",
                }
            ]
        }
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)] = Field(
        json_schema_extra=WORDS
    )
    agency: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        None, description="The root of its subtree; null is the whole country."
    )
    scopes: list[Annotated[Scope, choice(Scope)]] = Field(min_length=1, max_length=len(Scope))
    limits: LimitsDocument | None = None
    certificate_bound: bool = Field(
        False,
        description="Whether its tokens are given only over a connection with a client certificate, and are good only "
        "with that one (RFC 8705). A token that is asked for with a certificate is bound to it in any case.",
    )


class RotationDocument(CredentialDocument):
    """New credentials for a client: a new secret, or the keys that are given."""

    model_config = ConfigDict(
        json_schema_extra=at_most_one("jwks", "jwks_uri") | {"examples": [{"overlap_seconds": 86400}]}
    )

    overlap_seconds: int = Field(
        86_400,
        ge=0,
        le=int(LONGEST_OVERLAP.total_seconds()),
        description="How long the credential in use stays good beside the new one; 0 ends it, and its tokens, at once.",
    )
