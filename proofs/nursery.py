"""The process that the gateway's processes are forked from: it has imported the program, which takes seconds, once.

Each order is a line of JSON, answered by a line with the pid of the new process, which then is ``gateway`` with the
arguments ordered, as if it had been started from a shell. All of them end with this process.
"""

import gc
import importlib
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

import msgspec

_PRELOADED = ("gateway.cli", "asyncpg", "uvloop", "httptools", "uvicorn.protocols.http.httptools_impl", "proofs.broken")


class Order(msgspec.Struct, frozen=True):
    """What to start: arguments of ``gateway``, the whole environment, where its output goes, what is broken in it."""

    arguments: list[str]
    environment: dict[str, str]
    log: str
    broken: str | None = None


def main() -> None:
    """Take orders from standard input until it ends."""
    for module in _PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    started: list[int] = []
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        pid = os.fork()
        if pid == 0:
            _become(order)
        started.append(pid)
        os.write(1, f"{pid}\n".encode())
    for pid in started:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _become(order: Order) -> NoReturn:
    """Be the process that was ordered, to its end."""
    code: object = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for wanted, standard in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
            os.dup2(wanted, standard)
        os.environ.clear()
        os.environ.update(order.environment)
        sys.argv = ["gateway", *order.arguments]
        if order.broken is not None:
            importlib.import_module("proofs.broken").break_on_purpose(order.broken)
        importlib.import_module("gateway.__main__").main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main()
