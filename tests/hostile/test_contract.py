"""The OpenAPI document against the server that it describes: schemathesis with all its checks, as each role.

A case of each operation as each role here, some as the first; very many, all phases and every state that leads to
another with ``make fuzz``.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from factories import a_report
from gateway.access.scopes import Scope
from gateway.access.tokens import Tokens
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
IS_LONG = hypothesis_settings().max_examples > 100
LONG: dict[str, object] = {"phases": ["examples", "coverage", "fuzzing", "stateful"], "examples": 20}
SHORT: dict[str, object] = {"phases": ["fuzzing"], "examples": 1, "examples_of_first": 3}
LONGEST_RUN = 12 * 3600
"""Seconds that tokens are good for here."""


@pytest.fixture
async def _something_there(client_for: NewClient) -> None:
    """Reports to be found, in the period that the document's examples speak of."""
    country = await client_for(*EVERYTHING)
    await accepted(country, a_report(agency="H29.18"))


async def run_as(names: list[str], url: str, gateway: Gateway) -> tuple[int | None, str]:
    """How a run ended, and what it said."""
    tokens = Tokens(gateway.keys.tokens, gateway.settings.issuer, LONGEST_RUN)
    roles = {}
    for name in names:
        agency, scopes = ROLES[name]
        account = await add_account(gateway.engine, scopes, agency)
        roles[name] = str(account.id), bearer(tokens, account.id, scopes, agency)["Authorization"]
    plan = {"url": url, "roles": roles} | (LONG if IS_LONG else SHORT)
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, HERE / "contract_run.py"),
        env={"PATH": os.environ["PATH"]},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await running.communicate(json.dumps(plan).encode())
    return running.returncode, said.decode()


@pytest.mark.usefixtures("_something_there")
@pytest.mark.parametrize("names", [[each] for each in ROLES] if IS_LONG else [list(ROLES)], ids=" ".join)
async def test_the_server_does_what_its_document_says(
    own_server: RunningServer, gateway: Gateway, names: list[str]
) -> None:
    status, said = await run_as(names, own_server.url, gateway)
    sys.stdout.write(said)
    assert status == 0, said[-20_000:]
