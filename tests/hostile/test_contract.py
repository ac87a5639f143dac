"""The OpenAPI document against the server that it describes: schemathesis with all its checks, as each role.

A few cases of each operation here; very many, all phases and every state that leads to another with
``make fuzz``.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from factories import a_report
from gateway.access.scopes import Scope
from gateway.api.deps import Gateway
from gateway_under_test import NewClient, RunningServer, accepted, add_account, bearer

HERE = Path(__file__).parent
EVERYTHING = tuple(scope.value for scope in Scope)
ROLES: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "the country, everything": (None, EVERYTHING),
    "a province, everything": ("H26", EVERYTHING),
    "a sender": ("H26.18", ("reports:write", "reports:read")),
    "a reviewer": ("H26", ("reports:review", "reports:read")),
    "another gateway": ("H26", ("reports:relay",)),
    "whoever pulls": (None, ("aggregates:read",)),
    "an operator": (None, ("operations",)),
    "whoever keeps the catalogue": (None, ("catalog:write",)),
    "whoever manages clients": ("H26", ("clients:write",)),
}
CONFIG = """
seed = 1
[generation]
deterministic = true
database = "none"
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 501, 502]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 406, 409, 422, 429, 501, 502]
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "429", "501"]
"""
IS_LONG = hypothesis_settings().max_examples > 100
SHORT = ("--phases", "examples,fuzzing", "--max-examples", "1")
LONG = ("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "40")


@pytest.fixture
async def _something_there(client_for: NewClient) -> None:
    """Reports to be found, in the period that the document's examples speak of."""
    country = await client_for(*EVERYTHING)
    await accepted(country, a_report(agency="H29.18"))


@pytest.mark.usefixtures("_something_there")
@pytest.mark.parametrize("role", list(ROLES) if IS_LONG else ["the country, everything"])
async def test_the_server_does_what_its_document_says(
    server: RunningServer, gateway: Gateway, tmp_path: Path, role: str
) -> None:
    agency, scopes = ROLES[role]
    account = await add_account(gateway.engine, scopes, agency)
    token = bearer(gateway.tokens, account.id, scopes, agency)["Authorization"]
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    running = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).parent / "st", "--config-file", config, "run", f"{server.url}/openapi.json"),
        *("--header", f"Authorization: {token}", "--checks", "all", "--no-color", "--continue-on-failure"),
        *("--warnings", "off", "--suppress-health-check", "all", *(LONG if IS_LONG else SHORT)),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "contract_hooks"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await running.communicate()
    assert running.returncode == 0, said.decode()[-20_000:]
