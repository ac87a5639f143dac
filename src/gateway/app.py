"""The API process: its parts put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.access.allowance import Allowance
from gateway.access.clock import DatabaseClock
from gateway.access.fetched_keys import FetchedKeys
from gateway.access.limits import Limits
from gateway.access.standing import Standing
from gateway.access.tokens import Tokens
from gateway.access.uses import Uses
from gateway.api import (
    aggregates,
    catalog,
    changes,
    clients,
    completeness,
    consolidations,
    deliveries,
    documents,
    extensions,
    health,
    lineage,
    log,
    obligations,
    observations,
    operations,
    reconciliation,
    regimes,
    reports,
    sdmx,
    signers,
    tokens,
)
from gateway.api.deps import Gateway
from gateway.api.edge import Edge
from gateway.api.metrics import Metrics
from gateway.api.problems import install_problems
from gateway.api.render import render
from gateway.api.router import OVERRIDES
from gateway.api.sdmx_errors import refuse
from gateway.api.traffic import Traffic
from gateway.connectors.fetch import fetch_document
from gateway.evidence.anchors import Anchors
from gateway.evidence.receipts import Signer
from gateway.flow.load import Catalogues
from gateway.flow.receive import Intake
from gateway.keys import load_keys
from gateway.settings import Settings

TAGS = [
    {"name": "reports", "description": "Push reports and read them back (local reporting systems)."},
    {"name": "aggregates", "description": "Pull figures (the national system)."},
    {"name": "sdmx", "description": "Structures and figures as SDMX (statisticians)."},
    {"name": "catalogue", "description": "Forms, code lists and agencies, as data."},
    {
        "name": "regimes",
        "description": "Who reports what for which periods, by when: regimes, calendars, periods.",
    },
    {"name": "obligations", "description": "What is owed, where it stands, more time for it, and how complete it is."},
    {"name": "consolidations", "description": "A parent's report made from its children's, level by level."},
    {"name": "operations", "description": "Connectors and deliveries (operators)."},
    {"name": "log", "description": "The tamper-evident log: checkpoints, proofs and entries."},
    {"name": "access", "description": "Tokens, clients and public keys."},
    {"name": "operating", "description": "Health and metrics."},
]

ROUTERS = (
    reports.router,
    consolidations.router,
    lineage.router,
    aggregates.router,
    observations.router,
    changes.router,
    sdmx.router,
    catalog.router,
    regimes.router,
    obligations.router,
    extensions.router,
    completeness.router,
    operations.router,
    deliveries.router,
    reconciliation.router,
    tokens.router,
    clients.router,
    log.router,
    signers.router,
    health.router,
)
"""In the order in which their routes are looked through."""


def build_gateway(settings: Settings, engine: AsyncEngine) -> Gateway:
    """The parts of a gateway on a database."""
    keys = load_keys(settings)
    catalogues, metrics, clock = Catalogues(engine), Metrics(engine), DatabaseClock()
    return Gateway(
        settings=settings,
        engine=engine,
        keys=keys,
        tokens=Tokens(keys.tokens, settings.issuer, settings.token_seconds, clock),
        catalogues=catalogues,
        intake=Intake(
            engine,
            catalogues,
            render,
            Signer(keys.receipts, settings.issuer).sign,
            count=metrics.traffic.count_reports,
        ),
        metrics=metrics,
        standing=Standing(engine, clock),
        uses=Uses(engine),
        allowance=Allowance(engine, Limits(settings.requests_per_second, None, settings.reports_per_day)),
        fetched_keys=FetchedKeys(partial(fetch_document, allow_private=settings.jwks_allow_private_addresses)),
        anchors=Anchors(settings.trust_anchors_dir),
    )


def build_app(gateway: Gateway | None = None) -> FastAPI:
    """The API over a gateway; without one it can only describe itself."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if gateway is None:
            yield
            return
        following = asyncio.create_task(gateway.keys.follow())
        try:
            yield
        finally:
            following.cancel()
            await gateway.intake.drain()
            await gateway.uses.flush()
            await gateway.engine.dispose()

    app = FastAPI(
        title="Report gateway",
        version="1.0",
        description=documents.DESCRIPTION,
        openapi_tags=TAGS,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        routes=[route for router in ROUTERS for route in router.routes],
    )
    app.dependency_overrides = OVERRIDES.dependency_overrides
    app.state.gateway = gateway
    install_problems(app, ROUTERS, {"/sdmx/": refuse})
    documents.install_documents(app)
    app.add_middleware(
        Edge,
        traffic=Traffic() if gateway is None else gateway.metrics.traffic,
        is_https=gateway is not None and gateway.settings.issuer.startswith("https://"),
    )
    return app
