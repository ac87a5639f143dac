"""The serving process: the API under uvicorn, with a worker beside it unless told otherwise."""

import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType

import structlog
import uvicorn
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.api.incoming import Bounds, bounded
from gateway.app import build_app, build_gateway
from gateway.db.engine import Way, ways
from gateway.db.roles import Role, require_role, taking
from gateway.db.schema import require_fit
from gateway.evidence.note import LogSigner
from gateway.evidence.sealer import Sealer
from gateway.flow.wake import Notifier
from gateway.garbage import spare
from gateway.ready import prepare
from gateway.settings import Settings
from gateway.worker import Worker

log = structlog.get_logger()


class Server(uvicorn.Server):
    """Uvicorn that ends like a function: its own kills the process by the signal before anyone can tidy up.

    Each signal goes to the worker, too; the second one ends both at once.
    """

    def __init__(self, config: uvicorn.Config, worker: Worker | None) -> None:
        super().__init__(config)
        self._worker = worker

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit, self.should_exit = self.should_exit, True
        if self._worker is not None:
            self._worker.stop()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def most_connections(settings: Settings) -> int:
    """As many as set, if the process may open so many files; some are kept for the database and for upstreams."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(settings.max_connections, files - files // 4))


async def serve(settings: Settings, with_worker: bool) -> None:
    """Serve until SIGTERM or SIGINT: then finish what is in flight and end."""
    with ways(settings) as way:
        await _prepare(way, settings, [Role.api, Role.sealer, *([Role.worker] if with_worker else [])])
        engine = way(Role.api)
        gateway = build_gateway(settings, engine)
        worker = Worker(settings, way(Role.worker), gateway.catalogues, gateway.keys) if with_worker else None
        server = Server(
            uvicorn.Config(
                build_app(gateway),
                host=settings.host,
                port=settings.port,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # read here, of proxies that are trusted by setting alone
                timeout_keep_alive=65,
                timeout_graceful_shutdown=30,
                http=bounded(Bounds(settings.head_timeout_seconds, connections=most_connections(settings))),
            ),
            worker,
        )
        notifier = Notifier(engine)
        gateway.intake.forward = notifier.wake
        notifying = asyncio.create_task(notifier.run())
        sealer = way(Role.sealer)
        sealing = asyncio.create_task(Sealer(sealer, LogSigner(gateway.keys.log, settings.issuer)).run())
        if worker is not None:
            gateway.intake.forward = _both(worker.wake, notifier.wake)
        sending = asyncio.create_task(worker.run()) if worker else None
        await gateway.catalogues.newest()
        spare()
        log.info("serving", address=f"http://{settings.host}:{settings.port}", worker=with_worker)
        try:
            await server.serve()
        finally:
            if worker is not None and sending is not None:
                if not worker.is_stopping:  # it ends for another reason than a signal
                    worker.stop()
                await sending
                await worker.engine.dispose()
            for task in (notifying, sealing):
                task.cancel()
            await asyncio.wait([notifying, sealing])
            await sealer.dispose()
            await engine.dispose()
            log.info("stopped")


async def _prepare(way: Way, settings: Settings, roles: Sequence[Role]) -> None:
    """Make the database ready: as its owner where it is ours, else by a look at it alone.

    Raises ``UnfitSchema``, and ``UnfitRole`` where a role that is needed cannot be taken, or in production where the
    login that takes it may do more.
    """
    if settings.database_url is None:
        await _by(way(Role.owner), lambda engine: prepare(engine, settings))
    for role in roles:
        with taking(role):
            if settings.database_url is not None:
                await _by(way(role), require_fit)
            if settings.mode == "production":
                await _by(way(role), partial(require_role, role=role))


async def _by(engine: AsyncEngine, work: Callable[[AsyncEngine], Awaitable[None]]) -> None:
    """Do something by an engine that is of no use after that."""
    try:
        await work(engine)
    finally:
        await engine.dispose()


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        first()
        second()

    return call
