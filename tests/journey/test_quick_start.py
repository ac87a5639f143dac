"""Commands import what they need, so that those that need little answer at once."""

import subprocess
import sys

import pytest

HEAVY = ("alembic", "asyncpg", "fastapi", "httpx", "pyarrow", "pydantic", "sqlalchemy", "uvicorn", "xlsxwriter")


@pytest.mark.parametrize(
    ("needed", "heavy"),
    [
        pytest.param("gateway.cli", HEAVY, id="help"),
        pytest.param("gateway.cli, gateway.verify", HEAVY, id="verify"),
        pytest.param("gateway.cli, gateway.serve", ("duckdb", "lxml", "openpyxl", "pandas", "pyarrow"), id="serve"),
    ],
)
def test_a_command_does_not_wait_for_what_it_does_not_need(needed: str, heavy: tuple[str, ...]) -> None:
    program = f"import sys, {needed}; print(*sorted(set(sys.modules) & {set(heavy)}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
