"""Steer the forwarding: make, change, pause and remove connectors, take deliveries up again or give them up."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Annotated, Any, Literal
from uuid import UUID

import sqlalchemy as sa
from cryptography.fernet import MultiFernet
from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.db import catalogue as stored
from gateway.db import connectors
from gateway.db.deliveries import (
    Backlog,
    KeptDelivery,
    add_backlog,
    cancel_delivery,
    cancel_open,
    find_delivery,
    hasten_delivery,
    reopen_all,
    reopen_delivery,
)
from gateway.db.engine import driver
from gateway.domain.catalogue import Catalogue
from gateway.domain.delivery import DeliveryState
from gateway.domain.document import Day, Document
from gateway.domain.period import VIETNAM
from gateway.domain.report import ReportKind
from gateway.errors import NotFound, StateConflict, Text


class ConnectorDocument(Document):
    """What an operator asks a connector to be."""

    kind: str = Field(max_length=50, description="How the upstream is spoken to; now always `http_json`.")
    url: str = Field(min_length=1, max_length=2000)
    name: str | None = Field(None, description="May be given, and is then the name in the address.")
    forms: list[Annotated[str, StringConstraints(max_length=50)]] | None = Field(
        None, min_length=1, max_length=1000, description="Only these forms; null is all."
    )
    under: str | None = Field(None, max_length=100, description="Only this agency's subtree; null is the country.")
    what: Literal["own", "consolidation", "all"] = "own"
    from_: Day | None = Field(
        None,
        alias="from",
        description="Also reports received since this day; null: only what is accepted after the connector was made.",
    )
    concurrency: int = Field(8, ge=1, le=100, description="The most that is being sent at any moment.")
    rate: float | int | None = Field(None, gt=0, le=10_000, description="The most that is sent in a second, on average.")
    allow_private_addresses: bool = Field(False, description="Whether the URL may lead into a private network.")
    credentials: (
        dict[Annotated[str, StringConstraints(max_length=50)], Annotated[str, StringConstraints(max_length=10_000)]] | None
    ) = Field(
        None,
        max_length=10,
        description="For `http_json`: `bearer`, `signing_secret` (`whsec_…`). Absent keeps those there are, "
        "`{}` removes them; never read back.",
    )
