"""Production refuses to start unsafely: it says everything that is wrong, each in a sentence, and starts nothing."""

from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli import cli
from gateway.key_files import PURPOSES, make_key
from gateway.safety import UnsafeConfiguration, require_safe
from gateway.settings import Settings
from signing import authority, trust


@pytest.fixture
def safe(tmp_path: Path) -> dict[str, Any]:
    """Settings that production takes."""
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    for purpose in PURPOSES:
        make_key(keys, purpose, datetime.now(UTC))
    return {
        "mode": "production",
        "issuer": "https://gateway.example",
        "database_url": "postgresql://gateway@db.example/gateway",
        "keys_dir": keys,
        "host": "0.0.0.0",  # noqa: S104 - behind a proxy
        "trusted_proxies": (ip_network("10.0.0.1/32"),),
    }


def reasons(settings: dict[str, Any], serves: bool = True, forwards: bool = True) -> list[str]:
    try:
        require_safe(Settings(**settings), serves=serves, forwards=forwards)
    except UnsafeConfiguration as unsafe:
        return unsafe.reasons
    return []


def test_a_safe_configuration_is_taken(safe: dict[str, Any]) -> None:
    assert reasons(safe) == []


UNSAFE: dict[str, tuple[dict[str, Any], str]] = {
    "an issuer without TLS": ({"issuer": "http://gateway.example"}, "not https"),
    "the default issuer": ({"issuer": "https://127.0.0.1:8000"}, "this machine's own address"),
    "the embedded database": ({"database_url": None}, "GATEWAY_DATABASE_URL is not set"),
    "keys beside the data": ({"keys_dir": None}, "GATEWAY_KEYS_DIR is not set"),
    "keys that are not there": ({"keys_dir": Path("/nowhere")}, "does not exist"),
    "a public address and no proxy": ({"trusted_proxies": ()}, "names nobody"),
    "everybody as a proxy": ({"trusted_proxies": (ip_network("0.0.0.0/0"),)}, "anybody could say"),
    "a certificate header of nobody": (
        {"trusted_proxies": (), "host": "127.0.0.1", "client_certificate_header": "Client-Cert"},
        "it would be ignored",
    ),
    "private addresses for key sets": ({"jwks_allow_private_addresses": True}, "inside the network"),
    "too small a pool": ({"database_pool": 5}, "leaves pushes waiting"),
    "bodies larger than memory": ({"max_body_bytes": 1 << 30}, "held in memory whole"),
    "batches smaller than reports": ({"max_batch_bytes": 1024}, "a batch of one report"),
    "senders who may take for ever": ({"body_timeout_seconds": 3600}, "slow senders"),
    "a log of everything": ({"log_level": "debug"}, "GATEWAY_LOG_LEVEL is debug"),
    "trust anchors that are not there": ({"trust_anchors_dir": Path("/nowhere")}, "/nowhere"),
}


@pytest.mark.parametrize("what", UNSAFE)
def test_what_is_unsafe_is_refused_with_the_reason(safe: dict[str, Any], what: str) -> None:
    changes, words = UNSAFE[what]
    [reason] = reasons(safe | changes)
    assert words in reason
    assert reason.endswith((".", ").")), reason
    assert reasons(safe | changes | {"mode": "development"}) == []


def test_trust_anchors_must_be_there_and_nobody_else_s_to_change(safe: dict[str, Any], tmp_path: Path) -> None:
    directory = tmp_path / "anchors"
    directory.mkdir(mode=0o755)
    with_anchors = safe | {"trust_anchors_dir": directory}
    assert "holds no trust anchor" in reasons(with_anchors)[0]
    trust(directory, ca=authority("Root CA"))
    assert reasons(with_anchors) == []
    directory.chmod(0o777)
    assert "can be written by others" in reasons(with_anchors)[0]


def test_a_worker_is_not_asked_for_what_only_the_api_needs(safe: dict[str, Any]) -> None:
    assert reasons(safe | {"trusted_proxies": (), "max_body_bytes": 1 << 30}, serves=False) == []
    assert len(reasons(safe | {"issuer": "http://127.0.0.1:8000"}, serves=False)) == 2


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_everything_is_said_at_once_and_the_command_ends_with_2(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_MODE", "production")
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GATEWAY_LOG_LEVEL", "debug")

    done = CliRunner().invoke(cli, [command])

    assert done.exit_code == 2
    for words in ("not https", "own address", "DATABASE_URL is not set", "KEYS_DIR is not set", "LOG_LEVEL is debug"):
        assert words in done.output
    assert "nothing was started" in done.output
    assert not (tmp_path / "data").exists()


def test_keys_are_made_by_command_and_production_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_MODE", "production")
    monkeypatch.setenv("GATEWAY_KEYS_DIR", str(tmp_path / "keys"))

    made = CliRunner().invoke(cli, ["keys", "rotate", *PURPOSES])
    listed = CliRunner().invoke(cli, ["keys", "list", "--json"])

    assert made.exit_code == 0, made.output
    assert listed.output.count('"state": "in use"') == len(PURPOSES)
    assert CliRunner().invoke(cli, ["keys", "rotate", "dreams"]).exit_code == 1
    settings = {"mode": "production", "keys_dir": tmp_path / "keys"}
    assert [each for each in reasons(settings) if "key" in each] == []
