"""What has to be in a database before anything runs on it."""

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.catalog import bundled_documents
from gateway.db.migrate import upgrade
from gateway.db.schema import require_fit
from gateway.flow.amend import Document, fill
from gateway.flow.load import Catalogues
from gateway.settings import Settings


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
