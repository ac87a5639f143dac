"""A rolling upgrade as the version that is being left sees it: the schema goes ahead, and nothing stops."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from itertools import count, product
from pathlib import Path

import pytest

from factories import a_report
from forwarding import connect_upstream, deliveries, until_all, upstream, working
from gateway.api.deps import Gateway
from gateway.app import build_gateway
from gateway.db.engine import open_engine
from gateway.db.migrate import upgrade
from gateway.db.schema import MIGRATIONS, UnfitSchema, require_fit, revisions
from gateway.ready import prepare
from gateway.settings import Settings
from gateway_under_test import accepted, add_account, bearer, databases, in_process, shown

EXPAND = '''"""What a next version may add."""

from alembic import op

from gateway.db.online import brief_locks, build_index

revision, down_revision, floor = "{revision}", "{before}", "{floor}"


def upgrade() -> None:
    build_index("ix_deliveries_next_{revision}", "deliveries", ["made_at", "id"])
    build_index("ix_reports_next_{revision}", "reports", ["received_at", "id"])
    brief_locks()
    op.execute("ALTER TABLE deliveries ADD COLUMN next_{revision} text")
    op.execute("ALTER TABLE attempts ADD COLUMN next_{revision} text")
    op.execute("ALTER TABLE reports ADD COLUMN next_{revision} text")
'''

NextVersion = Callable[[str], Path]


@pytest.fixture
async def own(
    settings: Settings, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway on a database of its own, whose schema may change."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "databases"
    making = databases(shared)
    url = await asyncio.to_thread(making.__enter__)
    engine = open_engine(settings, url)
    yield build_gateway(settings.model_copy(update={"database_url": url.replace("+asyncpg", "")}), engine)
    await engine.dispose()
    await asyncio.to_thread(making.__exit__, None, None, None)


@pytest.fixture
def next_version(tmp_path: Path) -> NextVersion:
    """Makes the migrations of a next version, which supports code from some revision on."""
    numbers = count(9001)
    before = [revisions()[-1]]
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)

    def make(floor: str) -> Path:
        revision = str(next(numbers))
        text = EXPAND.format(revision=revision, before=before[0], floor=floor.replace("own", revision))
        (folder / "versions" / f"{revision}.py").write_text(text)
        before[0] = revision
        return Path(shutil.copytree(folder, tmp_path / revision))

    return make


async def test_a_migration_under_load_loses_nothing_and_leaves_the_version_before_ready(
    own: Gateway, next_version: NextVersion
) -> None:
    scopes = ("reports:write", "reports:read")
    account = await add_account(own.engine, scopes, None)
    async with (
        upstream() as national,
        in_process(own, headers=bearer(own.tokens, account.id, scopes, None)) as client,
        working(own, count=2, attempt_seconds=10.0, lease_seconds=15.0),
    ):
        await connect_upstream(own, national.url)
        pushed: list[str] = []
        keys = product(range(2030, 2090), ("H26.18", "H01.18", "H05.18", "H12.18"))

        async def push() -> None:
            for year, agency in keys:
                report = await accepted(client, a_report(agency=agency, period=f"{year}-Q1"))
                pushed.append(report["id"])
                if migrated.done() and len(pushed) >= 30:
                    return

        migrated = asyncio.create_task(upgrade(own.engine, next_version(revisions()[-1])))
        await asyncio.gather(migrated, push(), push())
        ready = await client.get("/readyz")
        assert (ready.status_code, shown(ready)["reason"]) == (200, None)
        await prepare(own.engine, own.settings)  # also one that starts now
        await until_all(own.engine, "delivered")
        assert {each["id"] for each in await national.received()} == set(pushed)
        assert [each["count"] for each in await national.received()] == [1] * len(pushed)
        assert len(await deliveries(own.engine)) == len(pushed)


async def test_a_migration_that_leaves_a_version_behind_turns_it_away_in_words(
    own: Gateway, next_version: NextVersion
) -> None:
    await upgrade(own.engine, next_version(revisions()[-1]))
    await upgrade(own.engine)  # of the version before: all it knows is there
    await upgrade(own.engine, next_version("own"))
    async with in_process(own) as client:
        for language, words in (("vi", "hãy khởi động phiên bản mới hơn"), ("en", "start a newer version")):
            answer = await client.get("/readyz", headers={"Accept-Language": language})
            assert (answer.status_code, shown(answer)["checks"]["migrations"]) == (503, False)
            assert words in shown(answer)["reason"]
            assert "9002" in shown(answer)["reason"]
    for refused in (require_fit(own.engine), prepare(own.engine, own.settings), upgrade(own.engine)):
        with pytest.raises(UnfitSchema, match="start a newer version"):
            await refused
