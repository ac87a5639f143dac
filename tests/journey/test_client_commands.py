"""Clients by command: made, seen, limited, rotated and revoked, as over the API."""

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey
from typer.testing import CliRunner

from gateway.access.scopes import Scope
from gateway.cli import cli
from gateway.settings import Settings

MAKE = ("create", "của tỉnh", "--agency", "H26", "--scope", "reports:read", "--json")


@pytest.fixture(autouse=True)
def _on_the_database(database_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", database_url.replace("+asyncpg", ""))
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(settings.data_dir))


def client(*arguments: str) -> str:
    done = CliRunner().invoke(cli, ["client", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def found(identity: str) -> dict[str, Any]:
    [shown] = [each for each in json.loads(client("list", "--json")) if each["id"] == identity]
    return dict(shown)


def test_a_client_is_made_limited_rotated_and_revoked() -> None:
    made = json.loads(client(*MAKE, "--certificate-bound", "--expires", "2099-01-01"))
    identity = made["client_id"]
    rotated = json.loads(client("rotate", identity, "--overlap", "60", "--json"))
    assert rotated["client_secret"] != made["client_secret"]
    client("limit", identity, "--requests-per-second", "2.5", "--reports-per-day", "10")
    shown = found(identity)
    assert (shown["agency"], shown["certificate_bound"], len(shown["credentials"])) == ("H26", True, 2)
    assert shown["limits"] == {"requests_per_second": 2.5, "burst": None, "reports_per_day": 10}
    assert shown["credentials"][0]["expires_at"] < "2099"
    client("revoke", identity)
    assert found(identity)["revoked_at"] is not None
    assert identity in client("list")


def test_the_list_shows_whole_values_however_narrow_the_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "Hệ thống báo cáo của Sở Nông nghiệp và Môi trường thành phố Hà Nội, bản thử thứ hai"
    scopes = sorted(Scope)
    options = [option for scope in scopes for option in ("--scope", scope)]
    identity = json.loads(client("create", name, "--agency", "H26", *options, "--json"))["client_id"]
    monkeypatch.setenv("COLUMNS", "40")
    [line] = [line for line in client("list").splitlines() if identity in line]
    assert [cell.strip() for cell in line.split("│")[1:4]] == [identity, name, "H26"]
    assert sorted(line.split("│")[4].split()) == scopes


def test_a_client_with_keys_of_its_own_has_no_secret(tmp_path: Path) -> None:
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps({"keys": [OKPKey.generate_key("Ed25519").as_dict(private=False)]}))
    made = json.loads(client(*MAKE, "--jwks", str(keys)))
    assert set(made) == {"client_id"}
    assert found(made["client_id"])["credentials"][0]["keys"][0]["alg"] == "Ed25519"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "x", "--scope", "reports:read", "--agency", "Z99"), "no agency Z99"),
        (("create", "x", "--scope", "reports:read", "--jwks", "/nowhere"), "/nowhere"),
        (("create", "x", "--scope", "reports:read", "--jwks-uri", "http://127.0.0.1/"), "/jwks_uri"),
        (("rotate", "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e20"), "no such client"),
        (("revoke", "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e20"), "no such client"),
        (("rotate", "01998a3e-5f10-7c4e-9b1a-3d5f7a9c1e20", "--overlap", "-1"), "/overlap_seconds"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], words: str) -> None:
    done = CliRunner().invoke(cli, ["client", *arguments])
    assert done.exit_code == 1
    assert words in done.output
