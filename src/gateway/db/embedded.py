"""The embedded PostgreSQL: a real server in a directory of its own, shared by all processes that use it.

Three file locks (``flock``) keep the books. The kernel drops a lock when its holder dies, however it dies, so
there are no dead pids to mistake for living ones:

- ``users.lock``: every user of the server holds it shared; whoever gets it exclusively is the last user;
- ``server.lock``: held exclusively by a process while it starts, stops or restarts the server;
- ``postgres.lock``: held by PostgreSQL. The postmaster inherits it and hands it on to its children, so it is
  free only when nothing of this server is left: no orphan, and no server in another container either.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import asyncpg
import psutil
import structlog
from sqlalchemy import URL

from gateway.db.programs import (
    MAJOR_VERSION,
    Account,
    EmbeddedServerError,
    find_programs,
    run_program,
    server_account,
)
from gateway.db.roles import TAKEN

log = structlog.get_logger()

START_SECONDS = 120.0
"""How long a server may take to answer, crash recovery included."""
STOP_SECONDS = 60.0
"""How long a clean stop may take before the server is stopped at once, to recover at its next start."""
PAUSE_SECONDS = 2.0
"""For so long after a start that failed nobody in this process tries another: whoever asks is told why at once."""
LOG_BYTES = 16 * 1024 * 1024
"""A process that joins and finds a longer ``postgres.log`` moves its content to ``postgres.log.1``."""

_SOCKET = ".s.PGSQL.5432"
_SOCKET_PATH_BYTES = 103
"""The longest socket path that fits in a ``sockaddr_un`` of macOS; Linux takes 107."""
_ACCEPTING, _SILENT = 0, 2
"""Exit codes of ``pg_isready``; 1 is a server that starts, recovers or stops."""
_ATTEMPTS = 5
"""Somebody may kill one start and the next, but not one after another: then it cannot start."""
_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_directories": "..",  # seen from the data directory, where PostgreSQL works: never too long
    "max_connections": "100",
    "shared_buffers": "128MB",
    "wal_compression": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",  # this and the next keep what reports contain out of the log
    "log_min_error_statement": "panic",
}
_CREATE_DATABASE = r"""
select 'create database gateway' where not exists (select from pg_database where datname = 'gateway') \gexec
"""
_CREATE_ROLE = r"""
select 'create role {0} login' where not exists (select from pg_roles where rolname = '{0}') \gexec
select 'alter role {0} login' from pg_roles where rolname = '{0}' and not rolcanlogin \gexec
"""
"""Processes log in as their roles, so that none can go back to being the superuser."""
_REFUSALS = (
    ConnectionError,
    FileNotFoundError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # 57P01 to 57P03: stopping, crashed, starting
)


class EmbeddedServer:
    """One user's share in the server of a directory that holds nothing else. Acquiring twice counts once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.expanduser().resolve()
        self._data = self.directory / "data"
        self._log = self.directory / "postgres.log"
        self._account: Account | None = None
        self._programs = Path()
        self._membership: TextIO | None = None
        """``users.lock``, held shared."""
        self._failed: tuple[float, EmbeddedServerError] | None = None
        """The last start that failed, and when."""

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def url(self) -> str:
        """Where SQLAlchemy finds the database."""
        query = {"host": str(self._socket_directory()), "port": "5432"}
        url = URL.create("postgresql+asyncpg", username="gateway", database="gateway", query=query)
        return url.render_as_string(hide_password=False)

    def acquire(self) -> str:
        """Join the users, start the server unless it runs, and give the URL of its database."""
        self._claim_directory()
        self._programs = find_programs(self._account)
        with self._locked("server.lock"):
            self._check_version()
            self._cut_log()
            was_member = self._membership is not None
            self._join()
            try:
                self._create_database()
            except BaseException:
                if not was_member:
                    self._leave()
                raise
        return self.url

    def ensure_running(self) -> None:
        """Bring the server back after a refused connection; any number of processes may ask at once.

        Raises ``EmbeddedServerError`` when it cannot be had now, such as while its disk is full.
        """
        with self._locked("server.lock"):
            if self._membership is None:
                raise EmbeddedServerError(
                    vi=f"Tiến trình này không còn dùng PostgreSQL tại {self.directory}.",
                    en=f"This process no longer uses the PostgreSQL in {self.directory}.",
                )
            if self._failed is not None and time.monotonic() - self._failed[0] < PAUSE_SECONDS:
                raise EmbeddedServerError(vi=self._failed[1].message.vi, en=self._failed[1].message.en)
            try:
                self._bring_up()
            except EmbeddedServerError as error:
                self._failed = time.monotonic(), error
                log.error("the embedded PostgreSQL cannot be started", reason=error.message.en)
                raise

    def release(self) -> None:
        """Leave the users; the last one stops the server."""
        if self._membership is None:
            return
        with self._locked("server.lock"):
            try:
                if _try_lock(self._membership, fcntl.LOCK_EX):
                    self._stop()
            finally:
                self._leave()

    async def connect(self, login: str = "gateway", session: Mapping[str, str] | None = None) -> asyncpg.Connection:
        """Open a connection, bringing the server back if it is gone; fits SQLAlchemy's ``async_creator``.

        By default it is the superuser's. ``session`` are settings of PostgreSQL's.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                host = str(self._socket_directory())
                return await asyncpg.connect(
                    host=host, port=5432, user=login, database="gateway", server_settings=session
                )
            except _REFUSALS:
                if time.monotonic() > deadline:
                    raise
            await asyncio.to_thread(self.ensure_running)
            await asyncio.sleep(0.05)

    def _claim_directory(self) -> None:
        """Make the directory, or see that it is empty or already ours."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            names = {path.name for path in self.directory.iterdir()}
            foreign = [name for name in names if name[0] != "." and name != "lost+found"]
            if foreign and "server.lock" not in names:
                raise EmbeddedServerError(
                    vi=f"Thư mục {self.directory} chứa dữ liệu khác, không phải của PostgreSQL này. "
                    "Hãy đặt GATEWAY_DATA_DIR sang một thư mục mới.",
                    en=f"The directory {self.directory} holds something else, not this PostgreSQL's data. "
                    "Set GATEWAY_DATA_DIR to a new directory.",
                )
            self._account = server_account(self.directory)
            self._give_to_server(self.directory)
            self.directory.chmod(0o700)
            self._open("server.lock").close()
        except OSError as error:
            raise EmbeddedServerError(
                vi=f"Không dùng được thư mục dữ liệu {self.directory}: {error.strerror}. "
                "Hãy sửa quyền truy cập hoặc đặt GATEWAY_DATA_DIR sang thư mục khác.",
                en=f"The data directory {self.directory} cannot be used: {error.strerror}. "
                "Correct its permissions, or set GATEWAY_DATA_DIR to another directory.",
            ) from error

    def _check_version(self) -> None:
        if not self._data.exists():
            return
        file = self._data / "PG_VERSION"
        found = file.read_text().strip() if file.exists() else "?"
        if found != str(MAJOR_VERSION):
            raise EmbeddedServerError(
                vi=f"Dữ liệu tại {self._data} thuộc PostgreSQL {found}, không phải {MAJOR_VERSION}. Hãy "
                "kết xuất bằng pg_dump của phiên bản đó rồi nạp lại, hoặc đặt GATEWAY_DATA_DIR khác.",
                en=f"The data in {self._data} belongs to PostgreSQL {found}, not {MAJOR_VERSION}. Export it "
                "with pg_dump of that version and load it again, or set another GATEWAY_DATA_DIR.",
            )

    def _cut_log(self) -> None:
        # Copied and emptied, not renamed: a running server appends to this very file.
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
            shutil.copyfile(self._log, self._log.with_name("postgres.log.1"))
            os.truncate(self._log, 0)

    def _socket_directory(self) -> Path:
        """Where to connect: the directory, or a short link to it if its path is too long for a socket."""
        if _fits(self.directory):
            return self.directory
        digest = sha256(os.fsencode(self.directory)).hexdigest()[:16]
        link = Path(tempfile.gettempdir()) / f"gateway-{os.geteuid()}-{digest}"
        with suppress(FileExistsError):
            link.symlink_to(self.directory)
        # Anybody may have made a file of this name, and whoever owns the link says which server we trust.
        if not _fits(link) or link.lstat().st_uid != os.geteuid() or link.readlink() != self.directory:
            raise EmbeddedServerError(
                vi=f"Đường dẫn {self.directory} quá dài cho một socket, và không dùng được {link} thay thế. "
                "Hãy xóa tệp đó, hoặc đặt GATEWAY_DATA_DIR hay TMPDIR ngắn hơn.",
                en=f"The path {self.directory} is too long for a socket, and {link} cannot stand in for it. "
                "Delete that file, or set a shorter GATEWAY_DATA_DIR or TMPDIR.",
            )
        return link

    def _give_to_server(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, *self._account)

    def _open(self, lock: str) -> TextIO:
        """Open a lock file. Closing it drops its lock; no program that we run inherits it (PEP 446)."""
        file = (self.directory / lock).open("a")
        self._give_to_server(self.directory / lock)
        return file

    @contextmanager
    def _locked(self, lock: str) -> Iterator[TextIO]:
        with self._open(lock) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _join(self) -> None:
        if self._membership is None:
            self._membership = self._open("users.lock")
            fcntl.flock(self._membership, fcntl.LOCK_SH)

    def _leave(self) -> None:
        if self._membership is not None:
            self._membership.close()
            self._membership = None

    def _bring_up(self) -> None:
        """Return once connections are accepted: start, clear orphans away or just wait, as it takes."""
        starts = 0
        pause = 0.02
        deadline = time.monotonic() + START_SECONDS
        while (answer := self._ask()) != _ACCEPTING:
            if not self._is_alive():
                if starts == _ATTEMPTS:
                    raise self._failure(en="ended while starting", vi="đã dừng khi đang khởi động")
                self._start()
                starts += 1
                deadline = time.monotonic() + START_SECONDS
            elif answer == _SILENT and self._postmaster() is None:
                self._kill_all()
            if time.monotonic() > deadline:
                raise self._failure(en="does not answer", vi="không trả lời")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _ask(self) -> int:
        host = str(self._socket_directory())
        arguments = ("-h", host, "-p", "5432", "-U", "gateway", "-d", "postgres")
        return run_program(self._programs / "pg_isready", *arguments).returncode

    def _is_alive(self) -> bool:
        """Whether any process of this server is left."""
        with self._open("postgres.lock") as file:
            return not _try_lock(file, fcntl.LOCK_SH)

    def _start(self) -> None:
        for half_made in self.directory.glob("new-*"):
            shutil.rmtree(half_made, ignore_errors=True)  # an orphan initdb may write on: the next start retries
        if not self._data.exists():
            self._initialise()
        if not self._processes():
            # A killed server leaves these, and PostgreSQL takes any process that got its pid since for it.
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            (self.directory / f"{_SOCKET}.lock").unlink(missing_ok=True)
        with self._locked("postgres.lock") as lock:
            arguments = ("start", "--no-wait", "-D", self._here, "-l", "../postgres.log")
            self._run_as_server("pg_ctl", *arguments, within=self._data, keep=(lock.fileno(),))

    def _initialise(self) -> None:
        """Make the data directory aside and move it into place, so that a kill leaves nothing half made."""
        staging = Path(tempfile.mkdtemp(prefix="new-", dir=self.directory))
        self._give_to_server(staging)
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        access = ("--username=gateway", "--auth-local=trust", "--auth-host=reject")
        settings = [f"--set={name}={value}" for name, value in _SETTINGS.items()]
        arguments = ("-D", self._here, "--data-checksums", *locale, *access, *settings)
        self._run_as_server("initdb", *arguments, within=staging)
        staging.rename(self._data)
        _flush(self.directory)

    def _create_database(self) -> None:
        """Create the database and the roles unless they exist, on a server that somebody may kill at any moment."""
        host = str(self._socket_directory())
        options = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1")
        arguments = (*options, "-h", host, "-p", "5432", "-U", "gateway", "-d", "postgres")
        text = _CREATE_DATABASE + "".join(_CREATE_ROLE.format(role) for role in TAKEN)
        for _ in range(_ATTEMPTS):
            self._bring_up()
            result = run_program(self._programs / "psql", *arguments, text=text)
            if result.returncode == 0:
                return
        raise self._failure(en="has no database", vi="không có cơ sở dữ liệu", reason=result.stderr)

    @property
    def _here(self) -> str:
        """The data directory, as a program that works inside it names it.

        The account that root gives the server may be unable to walk there (a checkout under ``/root``, mode
        0700). Linux's link to the working directory, set before root's rights are dropped, needs no walk.
        """
        return "." if self._account is None else "/proc/self/cwd"

    def _run_as_server(self, program: str, *arguments: str, within: Path, keep: tuple[int, ...] = ()) -> None:
        result = run_program(self._programs / program, *arguments, account=self._account, within=within, keep=keep)
        if result.returncode:
            raise self._failure(en="cannot start", vi="không khởi động được", reason=result.stderr)

    def _stop(self) -> None:
        for order, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 10.0)):
            postmaster = self._postmaster()
            if postmaster is None:
                continue
            with suppress(psutil.NoSuchProcess):
                postmaster.send_signal(order)
            if self._has_ended_within(patience):
                break
        else:
            self._kill_all()
        if (link := self._socket_directory()) != self.directory:
            link.unlink()

    def _kill_all(self) -> None:
        """Kill what a killed postmaster left: a busy backend would work on and bar a new server."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._has_ended_within(10.0)

    def _has_ended_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._is_alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _processes(self) -> list[psutil.Process]:
        """The living processes of this server: each works inside the data directory (and zombies nowhere)."""
        running = psutil.process_iter(["name", "cwd"])
        return [process for process in running if process.info == {"name": "postgres", "cwd": str(self._data)}]

    def _postmaster(self) -> psutil.Process | None:
        try:
            pid = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None
        return next((process for process in self._processes() if process.pid == pid), None)

    def _failure(self, *, en: str, vi: str, reason: str = "") -> EmbeddedServerError:
        """What went wrong, in PostgreSQL's own words: what it just said, or the end of its log."""
        if not reason and self._log.exists():
            reason = "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])
        return EmbeddedServerError(
            vi=f"PostgreSQL tại {self.directory} {vi}. Nguyên nhân (xem thêm {self._log}):\n{reason.strip()}",
            en=f"The PostgreSQL in {self.directory} {en}. Why (more in {self._log}):\n{reason.strip()}",
        )


def _try_lock(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _fits(directory: Path) -> bool:
    return len(os.fsencode(directory / _SOCKET)) <= _SOCKET_PATH_BYTES


def _flush(directory: Path) -> None:
    """Write a directory's entries to the disk, so that a rename outlives a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
