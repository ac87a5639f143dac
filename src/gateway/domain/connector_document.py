"""What an operator asks a connector to be."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from gateway.domain.delivery import Event, schedule_of
from gateway.domain.document import EXACT, WEB_ADDRESS, Day, Document, refusal

CONNECTOR_KINDS = ("gateway", "http_json", "webhook", "lgsp", "ndxp", "dhis2", "witness")
"""The kinds there are, for the document; what knows them opens them."""

_Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_Secret = Annotated[str, StringConstraints(max_length=40_000)]
_PerSecond = Annotated[
    Decimal,
    EXACT,
    Field(gt=0, max_digits=9, decimal_places=3),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1_000_000, "multipleOf": 0.001}),
]


class Remind(Document):
    """What a connector is reminded of: obligations that have no accepted report."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"due_in_days": {"type": "null"}}},
            "then": {"required": ["overdue"], "properties": {"overdue": {"const": True}}},
        }
    )

    due_in_days: int | None = Field(
        None, ge=0, le=60, description="So many days before one is due; 0: on that day; null: never."
    )
    overdue: bool = Field(False, description="Whether also on the day after.")

    @property
    def events(self) -> frozenset[Event]:
        """Which reminders it asks for."""
        asked = {Event.due: self.due_in_days is not None, Event.overdue: self.overdue}
        return frozenset(event for event, is_asked in asked.items() if is_asked)


_MOST_ATTEMPTS = 1000
_Wait = Annotated[int, Field(ge=1, le=7 * 24 * 3600)]


class Retry(Document):
    """When a connector's deliveries are tried again; each wait is moved by up to a fifth, as everywhere."""

    delays_seconds: list[_Wait] = Field(
        min_length=1, max_length=50, description="The waits after failed attempts, in turn; the last is repeated."
    )
    horizon_hours: int = Field(
        ge=1,
        le=28 * 24,
        description="So long after the first attempt the last one is made; then the delivery is `exhausted`.",
    )

    @model_validator(mode="after")
    def _is_bounded(self) -> "Retry":
        if schedule_of(self.delays_seconds, self.horizon_hours).attempts > _MOST_ATTEMPTS:
            raise refusal(
                f"Quá {_MOST_ATTEMPTS} lần thử trong thời hạn này: hãy đặt khoảng chờ cuối dài hơn",
                f"More than {_MOST_ATTEMPTS} attempts within this horizon: make the last wait longer",
            )
        return self


class ConnectorDocument(Document):
    """What an operator asks a connector to be."""

    name: _Name | None = Field(None, description="If given, the name in the address.")
    kind: _Name = Field(
        description="How the upstream is spoken to: `gateway` (another instance of this gateway); `http_json`; "
        "`webhook` (Standard Webhooks); `lgsp` (OAuth 2.0 "
        "client credentials, then as `http_json`); `ndxp` (through an adapter of X-Road servers, after signing in to "
        "the provider); `dhis2` (data value sets); `witness` (of the log: C2SP tlog-witness, with `what` `none`).",
        json_schema_extra={"enum": [*CONNECTOR_KINDS]},
    )
    url: str = Field(min_length=1, max_length=2000, json_schema_extra=WEB_ADDRESS)
    forms: list[_Name] | None = Field(None, min_length=1, max_length=1000, description="Only these forms; null: all.")
    under: _Name | None = Field(None, description="Only this agency and everything below it; null: the whole country.")
    what: Literal["own", "consolidation", "all", "none"] = Field(
        "own", description="Which kinds of report; `none` where only reminders are wanted."
    )
    remind: Remind | None = Field(
        None, description="Reminders of obligations, of the `forms` and `under` above; only for kind `webhook`."
    )
    from_: Day | None = Field(
        None,
        alias="from",
        description="Also reports received since this day; null: only those accepted from now on.",
    )
    concurrency: int = Field(8, ge=1, le=1000, description="The most to send at once.")
    rate: _PerSecond | None = Field(None, description="The most to send in a second; null: no limit.")
    retry: Retry | None = Field(
        None,
        description="When failed deliveries are tried again; null: after 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, "
        "then every 4 h, for 7 days. It holds from the next failure on.",
    )
    allow_private_addresses: bool = Field(False, description="Whether the URL may lead to private addresses.")
    options: dict[_Name, Any] | None = Field(
        None,
        description="What the kind asks for beyond this; no secrets. `lgsp`: `token_url`, and `scope` if one is asked "
        "for. `ndxp`: `dstcode`, `provider_url`, `service`, `login`. `dhis2`: `forms`, `org_units`, and `periods` that "
        "are not of its calendar. `witness`: `vkey`, its public key. "
        "`http_json`, `lgsp` and `ndxp`, for a receiver of another shape: `accepted`, "
        "`returned` and `withdrawn`, each with `method`, `path`, `headers`, `body`, `taken` and `busy`, and the tables "
        "`codes`; where there is any of the three, an event without one is not sent. `http_json`: `reconciliation`, "
        "which says where the receiver lists what it holds. `webhook` and `gateway` have none.",
        examples=[
            {"token_url": "https://lgsp.example/token"},
            {
                "codes": {"offices": {"H26.18": "000-00-18-H26"}},
                "accepted": {
                    "method": "PUT",
                    "path": "/bao-cao/{form}/{period}",
                    "headers": {"X-Ma-Don-Vi": "{agency|offices}"},
                    "body": {"rows": {"$each": "row", "$give": {"sector": "{row/sector}"}}},
                    "taken": {"/MSG": ["Done"]},
                },
            },
        ],
    )
    credentials: dict[_Name, _Secret] | None = Field(
        None,
        max_length=10,
        description="`bearer`; `signing_secret`: `whsec_…`, or an Ed25519 private key `whsk_…`, or several with a "
        "space between them while the receiver changes from one to the other. A `webhook` needs one; `lgsp` has "
        "`client_id` and `client_secret` for `bearer`, `ndxp` `username` and `password`; `dhis2` has those or `token`, "
        "and no `signing_secret`; `gateway` has `client_id` and `client_secret` alone. Any kind: `client_certificate` "
        "and `client_key` to be known by, `ca_certificate` to know the upstream by instead of public ones, all in PEM. "
        "Absent: keeps those there are; `{}`: none. Never read back.",
    )
