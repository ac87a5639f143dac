"""Re-encrypt: what is kept encrypted, by the newest key, so that the older ones can be taken away."""

from cryptography.fernet import InvalidToken, MultiFernet
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.db.connectors import encrypted_credentials, replace_credentials
from gateway.db.engine import driver


async def reencrypt(engine: AsyncEngine, secrets: MultiFernet) -> tuple[int, list[str]]:
    """Encrypt the credentials of every connector anew: how many there were, and those that no key of ours opens."""
    done, lost = 0, []
    async with driver(engine) as connection:
        for number, name, kept in await encrypted_credentials(connection):
            try:
                anew = secrets.rotate(kept)
            except InvalidToken:
                lost.append(name)
                continue
            done += await replace_credentials(connection, number, kept, anew)
    return done, lost
