"""Settings: environment variables ``GATEWAY_*``, read once at the start and passed down."""

import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


_BEGINNING = re.compile(r"postgres(ql)?(\+\w+)?://")


def _postgresql(url: str) -> str:
    """An address of PostgreSQL. What is wrong is said without the address, which may hold a password."""
    try:
        is_address = _BEGINNING.match(url) is not None and urlsplit(url).port != 0
    except ValueError:  # the port is no number
        is_address = False
    if not is_address:
        raise ValueError("must look like postgresql://user:password@host:5432/name")
    return url


class Settings(BaseSettings):
    """Every setting of every process; ``.env.example`` lists them with a sentence each."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="forbid")

    mode: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    issuer: str = "http://127.0.0.1:8000"
    """Public base address: issuer of tokens and receipts, and base of problem types."""
    database_url: Annotated[str, AfterValidator(_postgresql)] | None = None
    """A PostgreSQL 16+ address; unset means the embedded server in ``data_dir``."""
    data_dir: Path = Path(".gateway")
    keys_dir: Path | None = None
    """Signing and encryption keys; unset means ``data_dir``/keys, made at first start in development."""
    database_pool: int = Field(default=16, ge=1, le=200)
    database_seconds: float = Field(default=30, ge=1, le=3600)
    """How long one piece of work may use a connection: a database that has not answered by then is taken for silent."""
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    max_batch_bytes: int = Field(default=1024 * 1024 * 1024, ge=1024)
    body_timeout_seconds: float = Field(default=60, gt=0)
    """How long a client may take to send one body, or 1 MiB of a batch."""
    head_timeout_seconds: float = Field(default=10, gt=0)
    """How long a client may take to send the head of a request, from the connection on."""
    max_connections: int = Field(default=10_000, ge=10)
    """Connections that one process holds; past them, whoever has rested longest makes room."""
    sdmx_agency: str = Field(default="VNGOV", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=50)
    """Id of the maintenance agency in SDMX, under which structures are published."""
    token_seconds: int = Field(default=900, ge=60, le=3600)
    jwks_allow_private_addresses: bool = False
    """Whether clients may keep their key sets at private addresses, and over plain HTTP."""
    requests_per_second: float | None = Field(default=None, gt=0, le=100_000)
    """How many requests each client may make that has no limit of its own; unset: any number."""
    reports_per_day: int | None = Field(default=None, ge=0, le=1_000_000_000)
    """How many reports each client may send in a civil day that has no limit of its own; unset: any number."""
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Addresses, or networks, of proxies whose headers are believed: comma-separated."""
    client_certificate_header: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]{1,100}$")
    """The header in which a trusted proxy says which certificate the client showed; unset: nobody is asked for one."""
    trust_anchors_dir: Path | None = None
    """Certificate authorities whose word about who signed a report is taken; unset: none."""
    signature_age_seconds: int = Field(default=86_400, ge=60, le=31_622_400)
    """How long before it is received a report may have been signed."""
    worker_concurrency: int = Field(default=32, ge=1, le=1000)
    worker_poll_seconds: float = Field(default=1.0, gt=0)
    remind_seconds: float = Field(default=300, gt=0)
    """How often a worker looks for obligations to remind connectors of."""
    follow_seconds: float = Field(default=5, gt=0)
    """How often a worker asks upstreams of kind ``gateway`` what they returned."""
    lease_seconds: float = Field(default=15, ge=1, le=15)
    """After this a delivery of a worker that went away is taken over; one that is alive renews its leases."""
    attempt_seconds: float = Field(default=10, gt=0, le=3600)
    """Total deadline of one delivery attempt."""
    drain_seconds: float = Field(default=30, gt=0)
    """How long a worker that is told to stop waits for what it is sending."""
    breaker_failures: int = Field(default=10, ge=1)
    """After so many failures in a row a connector is left alone for a while."""
    loss_limit: int = Field(default=5, ge=2)
    """A delivery whose worker went away so many times in a row is set aside for a person."""
    attempts_days: int = Field(default=180, ge=30)
    """How long the history of deliveries is kept; longer than any is tried."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def keys(self) -> Path:
        return self.keys_dir or self.data_dir / "keys"

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def sqlalchemy_url(self) -> str | None:
        """``database_url`` for asyncpg, which has another name for ``sslmode``."""
        if self.database_url is None:
            return None
        place, query, options = self.database_url.partition("://")[2].partition("?")
        return f"postgresql+asyncpg://{place}{query}{options.replace('sslmode=', 'ssl=')}"
