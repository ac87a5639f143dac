"""`gateway submit` and `gateway validate` with files of every notation, as somebody types them."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from factories import a_report, a_row, body
from files import a_csv, a_group, an_adx
from gateway.cli import cli
from gateway.settings import Settings
from gateway_under_test import RunningServer, add_account
from workbooks import a_workbook

SAID = ("-p", "form=TTHC_06A", "-p", "agency=H26.18", "-p", "period=2098-Q3")
ADX_SAID = {"dataSet": "TTHC_06A", "orgUnit": "H26.17", "period": "2098-Q3"}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of one report in every notation that one computer may have lying about."""
    contents = {
        "report.json": body(a_report(agency="H26.19")),
        "report.csv": a_csv([a_row()], ";", bom=True),
        "report.xlsx": a_workbook([a_row()]),
        "report.xml": an_adx(a_group([a_row()], **ADX_SAID)),
        "wrong.csv": a_csv([a_row(received_total="2.400,5")], ";"),
        "both.csv": a_csv([{"agency": each, "period": "2098-Q3", **a_row()} for each in ("H26.15", "H26.16")]),
        "sdmx.csv": b"DATAFLOW,FREQ,AGENCY,INDICATOR,SECTOR,TIME_PERIOD,OBS_VALUE\n"
        b"VNGOV:TTHC_06A(1.0.0),Q,H26-18,received_total,LAND,2098-Q3,5\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def said(*arguments: str) -> tuple[int, str]:
    done = CliRunner(env={"COLUMNS": "300"}).invoke(cli, arguments)
    return done.exit_code, " ".join(done.output.split())


def test_files_are_checked_offline_by_their_suffix(files: Path) -> None:
    for name in ("report.csv", "report.xlsx"):
        assert said("validate", str(files / name), *SAID)[0] == 0, name
    for name in ("report.json", "report.xml"):
        assert said("validate", str(files / name))[0] == 0, name
    code, words = said("validate", str(files / "wrong.csv"), *SAID)
    assert (code, "dòng 2, cột 2" in words, "dấu chấm" in words) == (1, True, True)
    code, words = said("validate", str(files / "both.csv"), "-p", "form=TTHC_06A")
    assert (code, "both.csv #2" in words) == (0, True)
    code, words = said("validate", str(files / "sdmx.csv"))
    assert (code, "dòng 2, cột 7" in words) == (1, True)
    code, words = said("validate", str(files / "report.csv"))
    assert (code, "form: Thiếu trường bắt buộc." in words) == (1, True)
    code, words = said("validate", str(files / "report.csv"), "-p", "colour=red")
    assert (code, "no such parameter: colour" in words) == (1, True)


async def test_files_are_pushed_by_their_suffix_and_may_be_pushed_again(
    files: Path, server: RunningServer, engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await add_account(engine, ("reports:write",), "H26")
    monkeypatch.setenv("GATEWAY_CLIENT_ID", str(account.id))
    monkeypatch.setenv("GATEWAY_CLIENT_SECRET", account.secret)
    for _ in range(2):
        for names, parameters in ((("report.json", "report.csv"), SAID), (("report.xml",), ())):
            paths = [str(files / name) for name in names]
            code, words = await asyncio.to_thread(said, "submit", *paths, "--url", server.url, *parameters)
            assert (code, words.count("revision 1")) == (0, len(names)), words
    code, words = await asyncio.to_thread(
        said, "submit", str(files / "both.csv"), "--url", server.url, "-p", "form=TTHC_06A"
    )
    assert (code, "#2: revision 1" in words) == (0, True), words
    code, words = await asyncio.to_thread(said, "submit", str(files / "wrong.csv"), "--url", server.url, *SAID)
    assert (code, "409" in words) == (1, True), words
