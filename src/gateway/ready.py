"""What has to be in a database before anything runs on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.catalog import bundled_documents
from gateway.db.engine import database
from gateway.db.migrate import upgrade
from gateway.db.schema import require_fit
from gateway.flow.amend import Document, fill
from gateway.flow.load import Catalogues
from gateway.settings import Settings


@asynccontextmanager
async def fit_database(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """An engine on a database that has a schema this version runs on, for as long as the block runs.

    Raises ``UnfitSchema``, and ``EmbeddedServerError`` when the embedded server cannot be had.
    """
    with database(settings) as engine:
        try:
            await require_fit(engine)
            yield engine
        finally:
            await engine.dispose()


async def prepare(engine: AsyncEngine, settings: Settings) -> None:
    """Make the database ready: the embedded one by itself, any other only if it has a schema this version runs on.

    Raises ``UnfitSchema``.
    """
    if settings.database_url is None:
        await upgrade(engine)
        await load_bundled(engine)
    else:
        await require_fit(engine)


async def load_bundled(engine: AsyncEngine) -> int:
    """Add to the catalogue the bundled documents that it lacks, and return how many."""
    documents: list[Document] = [
        (f"{each.kind}:{number}", each.kind, each.document) for number, each in enumerate(bundled_documents())
    ]
    return await fill(engine, Catalogues(engine), documents)
