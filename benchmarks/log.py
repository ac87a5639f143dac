"""A log's export, verified offline: entries in a second of processor time, over a bare SHA-256 of the same lines.

Both are done in a process of its own, so that its memory is its own: ``python -m benchmarks.log EXPORT VKEY``.
"""

import asyncio
import base64
import hashlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.outcome import Comparison
from joserfc.jwk import OKPKey

from gateway.domain.entry import new_entry
from gateway.domain.exact import encode
from gateway.evidence.audit import audit
from gateway.evidence.held import Held
from gateway.evidence.merkle import Frontier, leaf_hash
from gateway.evidence.note import LogSigner, read_vkey
from gateway.keys import SigningKeys

ENTRIES = 1_000_000
_SEALED = 500
"""Entries between two checkpoints."""
_BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def _entries(count: int) -> Iterator[bytes]:
    """Entries as pushes make them."""
    same = {"agency": "H26.18", "form": "TTHC_06A", "form_version": 1, "period": "2026-Q3", "kind": "own"}
    for number in range(count):
        about = {**same, "revision": 1, "corrects": None, "late": False, "sha256": f"{number:064x}"}
        about |= {"receipt": f"{number:064x}", "report": f"01998a3e-5f10-7c4e-9b1a-{number:012x}"}
        yield new_entry("accepted", _BEGUN + timedelta(milliseconds=50 * number), None, about).entry


def _write(file: Path, count: int) -> str:
    """An export of so many entries; the vkey that verifies it."""
    key = OKPKey.generate_key("Ed25519", auto_kid=True)
    signer = LogSigner(SigningKeys((key,)), "https://gateway.example")
    tree = Frontier()
    with file.open("wb") as lines:
        for entry in _entries(count):
            leaf = leaf_hash(entry)
            tree.add(leaf)
            shown = base64.b64encode(leaf)
            lines.write(b'{"index":%d,"leaf":"%s","entry":%s}\n' % (tree.size - 1, shown, entry))
            if tree.size % _SEALED == 0 or tree.size == count:
                at = _BEGUN + timedelta(seconds=tree.size)
                lines.write(encode({"checkpoint": signer.sign(tree.size, tree.root, at)}) + b"\n")
    return signer.verifiers[0].vkey


async def verified(rounds: int, count: int = ENTRIES) -> list[Comparison]:
    """Rounds of both, in turns, over one export."""
    found, peaks, walls = [], [], []
    with tempfile.TemporaryDirectory(prefix="gateway-bench-log-") as directory:
        file = Path(directory) / "log.ndjson"
        vkey = await asyncio.to_thread(_write, file, count)
        for _ in range(rounds):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.log", str(file), vkey, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await process.communicate()
            done = json.loads(output)
            if (done["size"], done["faults"]) != (count, 0):
                raise RuntimeError(f"the log was not found good: {done}")
            found.append((count / done["bare"], count / done["ours"]))
            peaks.append(done["peak_mib"])
            walls.append(done["wall"])
        size = file.stat().st_size
    notes = {"peak MiB": max(peaks), "export MiB": size / 2**20, "checkpoints": count / _SEALED, "wall s": min(walls)}
    return [Comparison(f"{count:,} entries verified", "entries/s", found, "", notes)]


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb", buffering=1024 * 1024) as lines:
        yield from lines


def _measure(file: Path, vkey: str) -> dict[str, float]:
    started = time.process_time()
    for line in _lines(file):
        hashlib.sha256(line).digest()
    hashed, since = time.process_time(), time.perf_counter()
    audited = audit(lambda: _lines(file), [read_vkey(vkey)], Held())
    return {
        "bare": hashed - started,
        "ours": time.process_time() - hashed,
        "wall": time.perf_counter() - since,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "faults": len(audited.faults),
        "size": audited.size,
    }


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), sys.argv[2])))
