"""The gateway's own keys: made, rotated while it serves, kept for what they signed, and refused if unfit."""

import asyncio
import base64
import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from factories import a_report
from forwarding import connect_upstream
from gateway.api.deps import Gateway
from gateway.app import build_gateway
from gateway.cli import cli
from gateway.db.engine import driver
from gateway.evidence.merkle import EMPTY_ROOT
from gateway.evidence.note import InvalidNote, LogSigner, open_checkpoint
from gateway.evidence.receipts import key_set, verify_receipt
from gateway.flow.connect import opened
from gateway.flow.reencrypt import reencrypt
from gateway.key_files import PURPOSES, MissingKeys, key_files, make_key, unfit_keys
from gateway.keys import Secrets, load_keys
from gateway.settings import Settings
from gateway_under_test import accepted, add_account, bearer, in_process

ALL = ("reports:write", "reports:read", "operations")
NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=30)
SECRET = "whsec_" + "A" * 32


@dataclass(frozen=True, slots=True)
class Rotating:
    """A gateway whose keys the test may change, and a client of it."""

    gateway: Gateway
    client: httpx.AsyncClient

    @property
    def directory(self) -> Path:
        return self.gateway.settings.keys


@pytest.fixture
async def rotating(gateway: Gateway, tmp_path: Path) -> Rotating:
    directory = tmp_path / "keys"
    directory.mkdir(mode=0o700)
    for purpose in PURPOSES:
        make_key(directory, purpose, LONG_AGO)
    own = build_gateway(gateway.settings.model_copy(update={"keys_dir": directory}), gateway.engine)
    own = replace(own, catalogues=gateway.catalogues)
    account = await add_account(own.engine, ALL, None)
    return Rotating(own, in_process(own, headers=bearer(own.tokens, account.id, ALL, None)))


async def published(client: httpx.AsyncClient) -> list[str]:
    """The ids of the keys that sign receipts: the log's have a ``vkey``."""
    keys = (await client.get("/.well-known/jwks.json")).json()["keys"]
    return [each["kid"] for each in keys if "vkey" not in each]


async def test_a_new_receipt_key_is_published_before_it_signs_and_the_old_one_stays(rotating: Rotating) -> None:
    old = await accepted(rotating.client, a_report())
    make_key(rotating.directory, "receipt", datetime.now(UTC))

    assert rotating.gateway.keys.look()
    kids = await published(rotating.client)
    meanwhile = await accepted(rotating.client, a_report(period="2098-Q2"))

    assert len(kids) == 2
    assert rotating.gateway.keys.receipts.current.kid == kids[0]
    newest = key_files(rotating.directory, "receipt")[-1]
    newest.path.rename(newest.path.with_name(f"receipt-{NOW - timedelta(minutes=1):%Y%m%dT%H%M%SZ}.pem"))
    assert rotating.gateway.keys.look()
    new = await accepted(rotating.client, a_report(period="2098-Q1"))
    keys = key_set((await rotating.client.get("/.well-known/jwks.json")).json())
    for report in (old, meanwhile, new):
        assert verify_receipt(report["receipt"], keys)["report"] == report["id"]
    assert _kid(old["receipt"]) == _kid(meanwhile["receipt"]) == kids[0]
    assert _kid(new["receipt"]) == kids[1]


def _kid(receipt: str) -> str:
    kid: str = json.loads(base64.urlsafe_b64decode(receipt.split(".")[0] + "=="))["kid"]
    return kid


async def test_checkpoints_are_signed_with_a_new_key_without_a_restart(rotating: Rotating) -> None:
    keys = rotating.gateway.keys
    signer = LogSigner(keys.log, rotating.gateway.settings.issuer)
    make_key(rotating.directory, "log", NOW - timedelta(minutes=1))
    assert keys.look()

    signed = signer.sign(0, EMPTY_ROOT, NOW)

    old, new = signer.verifiers
    assert open_checkpoint(signed, [new]).size == 0
    with pytest.raises(InvalidNote):
        open_checkpoint(signed, [old])


async def test_tokens_by_an_older_key_are_good_until_it_is_taken_away(rotating: Rotating) -> None:
    make_key(rotating.directory, "token", NOW - timedelta(minutes=1))
    assert rotating.gateway.keys.look()
    account = await add_account(rotating.gateway.engine, ALL, None)
    newer = bearer(rotating.gateway.tokens, account.id, ALL, None)

    assert (await rotating.client.get("/v1/reports")).status_code == 200
    key_files(rotating.directory, "token")[0].path.unlink()
    assert rotating.gateway.keys.look()

    assert (await rotating.client.get("/v1/reports")).status_code == 401
    assert (await rotating.client.get("/v1/reports", headers=newer)).status_code == 200


async def test_a_key_that_cannot_be_read_changes_nothing(rotating: Rotating) -> None:
    (rotating.directory / "receipt-29990101T000000Z.pem").write_text("no key")
    assert not rotating.gateway.keys.look()
    assert (await accepted(rotating.client, a_report()))["receipt"]


async def test_credentials_are_encrypted_anew_and_the_old_key_may_go(rotating: Rotating) -> None:
    await connect_upstream(rotating.gateway, "https://up.example/", kind="webhook", credentials={"secret": SECRET})
    make_key(rotating.directory, "encryption", NOW - timedelta(minutes=1))
    assert rotating.gateway.keys.look()
    older, newer = load_keys(rotating.gateway.settings).secrets._keys

    assert await reencrypt(rotating.gateway.engine, rotating.gateway.keys.secrets) == (1, [])

    async with driver(rotating.gateway.engine) as connection:
        kept = await connection.fetchval("SELECT credentials FROM connectors")
    assert opened(Secrets([newer]), kept) == {"secret": SECRET}
    assert await reencrypt(rotating.gateway.engine, Secrets([older])) == (0, ["national"])


def test_secrets_are_encrypted_by_a_new_key_only_when_every_process_has_had_time_to_read_it(tmp_path: Path) -> None:
    make_key(tmp_path, "encryption", LONG_AGO)
    make_key(tmp_path, "encryption", datetime.now(UTC))
    settings = Settings(keys_dir=tmp_path)
    older, newer = load_keys(settings).secrets._keys
    assert older.decrypt(load_keys(settings).secrets.encrypt(b"x")) == b"x"
    assert load_keys(settings).secrets.decrypt(newer.encrypt(b"x")) == b"x"


def test_a_new_key_that_would_never_be_used_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "receipt-zzz.pem").write_bytes(b"")
    with pytest.raises(MissingKeys, match="would never be used"):
        make_key(tmp_path, "receipt", NOW)


def test_production_takes_keys_that_were_made_for_it(tmp_path: Path) -> None:
    for purpose in PURPOSES:
        made = make_key(tmp_path, purpose, NOW).path
        assert made.stat().st_mode & 0o777 == 0o600
    tmp_path.chmod(0o700)
    assert list(unfit_keys(tmp_path)) == []
    assert load_keys(Settings(mode="production", keys_dir=tmp_path)).receipts.current


def test_production_refuses_keys_that_are_missing_open_to_others_or_of_development(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    make_key(tmp_path, "token", NOW, in_development=True)
    os.chmod(make_key(tmp_path, "receipt", NOW).path, 0o644)

    found = list(unfit_keys(tmp_path))

    for words in (
        "can be written by others",
        "holds no encryption key: gateway keys rotate encryption",
        "was made in development",
        "can be read by everybody",
    ):
        assert [words in each for each in found].count(True) == 1, words
    with pytest.raises(MissingKeys, match="can be read by everybody"):
        load_keys(Settings(mode="production", keys_dir=tmp_path))
    assert "does not exist" in next(iter(unfit_keys(tmp_path / "nowhere")))


async def test_keys_of_development_are_marked_as_such(tmp_path: Path) -> None:
    load_keys(Settings(data_dir=tmp_path))
    assert all(key_files(tmp_path / "keys", purpose)[0].is_of_development for purpose in PURPOSES)


async def test_a_running_gateway_takes_up_a_new_key_by_itself(
    rotating: Rotating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.keys._LOOK_SECONDS", 0.01)
    following = asyncio.create_task(rotating.gateway.keys.follow())
    try:
        make_key(rotating.directory, "receipt", datetime.now(UTC))
        for _ in range(500):
            if len(await published(rotating.client)) == 2:
                break
            await asyncio.sleep(0.01)
        assert len(await published(rotating.client)) == 2
    finally:
        following.cancel()


def test_the_command_rotates_encryption_and_says_what_no_key_opens(
    rotating: Rotating, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", database_url.replace("+asyncpg", ""))
    monkeypatch.setenv("GATEWAY_KEYS_DIR", str(rotating.directory))

    done = CliRunner().invoke(cli, ["keys", "rotate", "encryption", "token", "--wait", "0"])

    assert done.exit_code == 0, done.output
    assert "credentials of 0 connectors are encrypted anew" in done.output
    listed = json.loads(CliRunner().invoke(cli, ["keys", "list", "--json"]).stdout)
    states = [each["state"] for each in listed if each["purpose"] == "token"]
    assert states == ["in use", "next"]
