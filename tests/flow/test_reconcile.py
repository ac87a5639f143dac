"""Reconciling on a real database."""

from collections.abc import AsyncIterator

from forwarding import NOWHERE, claim, connect_upstream, finish, receive
from gateway.api.deps import Gateway
from gateway.db.engine import driver
from gateway.db.reconciling import WantedSent
from gateway.domain.upstream import Held
from gateway.flow.reconcile import reconcile
from gateway_under_test import connected


async def test_no_transaction_is_open_while_the_upstream_is_asked(gateway: Gateway) -> None:
    number = await connect_upstream(gateway, NOWHERE)
    report = await receive(gateway)
    [claimed] = await claim(gateway.engine)
    await finish(gateway.engine, claimed)
    async with driver(gateway.engine) as connection:
        wanted = WantedSent(number, await connection.fetchval("SELECT clock_timestamp()"), None, None)
    open_then: list[int] = []

    async def holdings() -> AsyncIterator[Held]:
        async with connected(gateway.engine) as connection:
            for held in (Held(report, "00", "accepted"), None):
                open_then.append(
                    await connection.fetchval(
                        "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                        " AND datname = current_database() AND state LIKE 'idle in transaction%'"
                    )
                )
                if held is not None:
                    yield held

    found = await reconcile(gateway.engine, wanted, holdings())
    assert (found.compared, [each.what.value for each in found.differing]) == (1, ["other_bytes"])
    assert open_then == [0, 0]
