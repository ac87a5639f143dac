"""``gateway verify`` and ``gateway log export``: from a running gateway to a verdict without it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from factories import a_report, body
from gateway.api.deps import Gateway
from gateway.cli import cli
from gateway.db.engine import driver
from gateway.domain.exact import encode
from gateway.evidence.export import export as lines
from gateway.evidence.note import LogSigner
from gateway.evidence.public import public_keys
from gateway.evidence.sealer import Sealer
from gateway.settings import Settings
from gateway_under_test import NewClient, accepted, connected


@pytest.fixture(autouse=True)
def _on_the_database(database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", database_url.replace("+asyncpg", ""))
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(settings.data_dir))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


@pytest.fixture
async def held(gateway: Gateway, client_for: NewClient, tmp_path: Path) -> Path:
    """A folder with what somebody keeps: keys, answers, payloads, proofs and checkpoints."""
    client = await client_for("reports:read", "reports:write")
    (tmp_path / "jwks.json").write_text(json.dumps(public_keys(gateway.keys, gateway.settings.issuer)))
    (tmp_path / "held").mkdir()
    for n, year in enumerate(range(2090, 2094)):
        document = a_report(period=f"{year}-Q3")
        (tmp_path / f"payload-{n}.json").write_bytes(body(document))
        head = await accepted(client, body(document))
        async with driver(gateway.engine) as connection:
            await Sealer(gateway.engine, LogSigner(gateway.keys.log, gateway.settings.issuer)).seal(connection)
        (tmp_path / "held" / f"answer-{n}.json").write_text(json.dumps(head))
        (tmp_path / "held" / f"proof-{n}.json").write_text((await client.get(f"/v1/reports/{head['id']}/proof")).text)
        (tmp_path / "held" / f"checkpoint-{n}.txt").write_text((await client.get("/v1/log/checkpoint")).text)
    return tmp_path


def export(folder: Path) -> Path:
    done = run("log", "export")
    assert done.exit_code == 0, done.output
    (folder / "log.ndjson").write_text(done.stdout)
    return folder / "log.ndjson"


def test_a_receipt_and_its_proof_are_verified_offline(held: Path) -> None:
    receipt, proof = held / "held" / "answer-1.json", held / "held" / "proof-1.json"
    done = run("verify", receipt, "--keys", held / "jwks.json", "--payload", held / "payload-1.json", "--proof", proof)
    assert done.exit_code == 0, done.output
    assert "the receipt is genuine" in done.output
    assert "it is entry 1 of 127.0.0.1:8000/log, signed over 2 entries" in done.output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda proof: proof | {"index": 0}, "proves nothing"),
        (lambda proof: proof | {"entry": proof["entry"] | {"late": not proof["entry"]["late"]}}, "proves nothing"),
        (lambda proof: proof | {"checkpoint": proof["checkpoint"].replace("\n2\n", "\n3\n")}, "is wrong"),
        (lambda proof: {"index": 1}, "not a proof"),
    ],
)
def test_a_proof_that_was_changed_is_refused(
    held: Path, change: Callable[[dict[str, object]], dict[str, object]], words: str
) -> None:
    proof = held / "held" / "proof-1.json"
    proof.write_text(json.dumps(change(json.loads(proof.read_text()))))
    done = run("verify", held / "held" / "answer-1.json", "--keys", held / "jwks.json", "--proof", proof)
    assert done.exit_code == 1
    assert words in done.output


def test_a_proof_of_another_report_is_refused(held: Path) -> None:
    answer, proof = held / "held" / "answer-1.json", held / "held" / "proof-2.json"
    done = run("verify", answer, "--keys", held / "jwks.json", "--proof", proof)
    assert done.exit_code == 1
    assert "not what the receipt says: report" in done.output


def test_a_whole_log_is_verified_from_its_export_and_what_is_held(held: Path) -> None:
    done = run("verify", "--keys", held / "jwks.json", "--log", export(held), "--held", held / "held")
    assert done.exit_code == 0, done.output
    assert "nothing was changed: 4 entries, 4 of them signed" in done.output
    given = (held / "log.ndjson").read_bytes()
    piped = CliRunner().invoke(cli, ["verify", "--keys", str(held / "jwks.json"), "--log", "-"], input=given)
    assert piped.exit_code == 0, piped.output


async def test_an_entry_that_was_changed_in_the_database_is_named(held: Path, gateway: Gateway) -> None:
    async with connected(gateway.engine) as connection:
        await connection.execute(
            "UPDATE log_entries SET entry = replace(convert_from(entry, 'UTF8'), 'H26.18', 'H26.19')::bytea"
            " WHERE index = 2"
        )
        exported = await _exported(connection)
    (held / "log.ndjson").write_bytes(exported)
    done = run("verify", "--keys", held / "jwks.json", "--log", held / "log.ndjson", "--held", held / "held")
    assert done.exit_code == 1
    assert "the log was changed, first at entry 2: edited" in done.output


async def _exported(connection: object) -> bytes:
    return b"".join([encode(line) + b"\n" async for line in lines(connection)])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give a receipt, --proof or --log"),
        (["--log", "/nowhere"], "/nowhere"),
        (["x.y.z"], "not genuine"),
    ],
)
def test_what_cannot_be_verified_is_said(held: Path, arguments: list[str], words: str) -> None:
    done = run("verify", *arguments, "--keys", held / "jwks.json")
    assert done.exit_code == 1
    assert words in done.output


def test_what_is_held_and_proves_nothing_is_said(held: Path) -> None:
    (held / "held" / "checkpoint-0.txt").write_text("something else")
    done = run("verify", "--keys", held / "jwks.json", "--log", export(held), "--held", held / "held")
    assert done.exit_code == 1
    assert "held, but not genuine" in done.output


async def test_the_tables_are_held_against_the_log_by_a_command(held: Path, gateway: Gateway) -> None:
    given = ("log", "confront", "--keys", held / "jwks.json", "--held", held / "held")
    done = await asyncio.to_thread(run, *given)
    assert done.exit_code == 0, done.output
    assert "the tables say what the log says: 4 reports (0 of them older than the log)" in done.output
    async with connected(gateway.engine) as connection:
        await connection.execute("UPDATE report_rows SET figures[1] = figures[1] + 1")
        await connection.execute("DELETE FROM log_entries WHERE index = 2")
    done = await asyncio.to_thread(run, *given)
    assert done.exit_code == 1
    assert "received_total of row 0 is not what its bytes say" in done.stderr
    assert "the log itself was changed: entry 2: missing" in done.stderr


@pytest.mark.parametrize(
    ("kept", "held_too", "code", "words"),
    [
        (0, False, 1, "there is nothing in it, neither entries nor a checkpoint, so nothing was verified"),
        (0, True, 1, "the log was changed, first at entry 0: cut off"),
        (1, False, 0, "the log is empty, as its checkpoint says"),
    ],
)
async def test_an_empty_export_is_said_to_be_empty(
    gateway: Gateway, held: Path, kept: int, held_too: bool, code: int, words: str
) -> None:
    async with connected(gateway.engine) as connection:
        await connection.execute("DELETE FROM log_entries")
        await connection.execute("DELETE FROM log_checkpoints WHERE size > 0")
        exported = await _exported(connection)
    assert exported.count(b"\n") == 1
    (held / "log.ndjson").write_bytes(exported if kept else b"")
    more = ["--held", held / "held"] if held_too else []
    done = await asyncio.to_thread(run, "verify", "--keys", held / "jwks.json", "--log", held / "log.ndjson", *more)
    assert (done.exit_code, words in done.output) == (code, True), done.output
