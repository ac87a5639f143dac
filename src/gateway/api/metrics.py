"""Metrics for Prometheus: what this process counted, and what is stored of connectors."""

import asyncio
from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from gateway.api.gauges import Stored
from gateway.api.traffic import Traffic
from gateway.db.engine import driver, tell_failure
from gateway.db.log import find_length
from gateway.db.queues import find_queues
from gateway.db.subtree import EVERYTHING, seeing
from gateway.db.tallies import find_tallies

_PATIENCE = 5.0
"""Seconds that reading what is stored may take: less than what Prometheus waits for an answer (10)."""
_FRESH, _SPARE = 1.0, 20.0
"""For how long what was read is told again: seconds at least, and so many times as long as reading it took."""


class Metrics(Collector):
    """The metrics of one process. However many ask for them, the database is asked seldom, and by one at a time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.traffic = Traffic()
        self._engine, self._lock = engine, asyncio.Lock()
        self._stored: Stored | None = None
        self._fresh_until = float("-inf")

    async def text(self) -> bytes:
        """All of them, in Prometheus' text format; while the database is away, those of this process."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if (started := loop.time()) >= self._fresh_until:
                self._stored = await self._read()
                spare = _SPARE * (loop.time() - started) if self._stored else 0.0
                self._fresh_until = loop.time() + max(_FRESH, spare)
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Of this process, then of what was read last. Called by the library."""
        yield from self.traffic.registry.collect()
        yield from self._connections()
        is_up = self._stored is not None
        yield GaugeMetricFamily("gateway_database_up", "1 if what is stored could be read just now.", is_up)
        if self._stored is not None:
            yield from self._stored.families()

    def _connections(self) -> Iterator[Metric]:
        pool = self._engine.sync_engine.pool
        if isinstance(pool, QueuePool):
            used, most = pool.checkedout(), pool.size()
            yield GaugeMetricFamily("gateway_database_connections_used", "Connections in use by this process.", used)
            yield GaugeMetricFamily("gateway_database_connections_max", "The most that this process may use.", most)

    async def _read(self) -> Stored | None:
        """What is stored; None, and no error, when it cannot be read: the other metrics are wanted then most."""
        try:
            with seeing(EVERYTHING):  # sums of all, whoever asks
                async with asyncio.timeout(_PATIENCE + 1), driver(self._engine, _PATIENCE) as connection:
                    return Stored.of(
                        await find_queues(connection), await find_tallies(connection), await find_length(connection)
                    )
        except Exception as error:
            tell_failure(error, "metrics could not be read")
            return None
