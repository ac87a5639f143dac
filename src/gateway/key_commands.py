"""``gateway keys``: the gateway's own keys, by whoever runs it."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from joserfc.jwk import OKPKey
from rich.table import Table

from gateway.command import fail, out, read_settings, run, show
from gateway.db.engine import database
from gateway.flow.reencrypt import reencrypt
from gateway.key_files import PURPOSES, TAKEN_UP, KeyFile, key_files, make_key
from gateway.keys import MissingKeys, load_keys
from gateway.ready import prepare
from gateway.settings import Settings

keys = typer.Typer()


@keys.command("list")
def key_list(as_json: Annotated[bool, typer.Option("--json", help="Print only JSON.")] = False) -> None:
    """Show every key file: which is in use, and which only verify or decrypt what is older."""
    settings = read_settings()
    found = [shown for purpose in PURPOSES for shown in _shown(key_files(settings.keys, purpose))]
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    table = Table("purpose", "file", "state", "kid")
    for each in found:
        table.add_row(each["purpose"], each["file"], each["state"], each["kid"] or "")
    show(table)


def _shown(files: list[KeyFile]) -> list[dict[str, str | None]]:
    now = datetime.now(UTC).timestamp()
    used = [each for each in files if each.used_from <= now][-1:] or files[:1]
    return [
        {
            "purpose": each.purpose,
            "file": each.path.name,
            "made_at": None if each.made_at is None else f"{each.made_at:%Y-%m-%dT%H:%M:%SZ}",
            "state": "in use" if each in used else "older" if each.path < used[0].path else "next",
            "kid": OKPKey.import_key(each.path.read_bytes()).thumbprint() if PURPOSES[each.purpose].signs else None,
        }
        for each in files
    ]


@keys.command("rotate")
def key_rotate(
    purposes: Annotated[list[str], typer.Argument(help=f"Of {', '.join(PURPOSES)}: one or more.")],
    wait: Annotated[
        float, typer.Option(help="Seconds to let running processes read a new encryption key before it is used.")
    ] = TAKEN_UP.total_seconds(),
) -> None:
    """Make a new key, or the first; older ones stay.

    Running processes read it within seconds, and sign with it after half a minute. For `encryption`, the credentials of
    connectors are then encrypted anew, after which older files may go.
    """
    if unknown := [each for each in purposes if each not in PURPOSES]:
        raise fail(f"there are no keys for {', '.join(unknown)}: there are {', '.join(PURPOSES)}")
    settings = read_settings()
    directory = settings.keys
    for purpose in dict.fromkeys(purposes):
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            was_first = not key_files(directory, purpose)
            made = make_key(directory, purpose, datetime.now(UTC), in_development=settings.mode == "development")
        except (MissingKeys, OSError) as error:
            raise fail(str(error)) from None
        out.print(f"[green]✓[/] {made.path}", soft_wrap=True)
        if purpose == "encryption" and not was_first:
            _encrypt_anew(settings, wait)


def _encrypt_anew(settings: Settings, wait: float) -> None:
    async def work() -> tuple[int, list[str]]:
        await asyncio.sleep(wait)
        secrets = load_keys(settings).secrets
        with database(settings) as engine:
            await prepare(engine, settings)
            try:
                return await reencrypt(engine, secrets)
            finally:
                await engine.dispose()

    out.print(f"waiting {wait:g} s for running processes to read it")
    done, lost = run(work())
    out.print(f"[green]✓[/] credentials of {done} connector{'s'[: done != 1]} are encrypted anew")
    if lost:
        raise fail(f"no key here opens the credentials of {', '.join(lost)}: give them again")
