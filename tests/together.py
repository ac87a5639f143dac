"""Which tests are run by one worker: those of a file that share a server, or something else that takes long to make."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = (
    "api/test_as_of.py",
    "api/test_certificate_bound.py",
    "api/test_commit.py",
    "api/test_parquet.py",
    "api/test_sdmx_clients.py",
    "domain/test_agency.py",
    "hostile/test_sockets.py",
    "journey/test_federation.py",
    "journey/test_proof.py",
    "journey/test_submit.py",
    # Begun early, since they take long.
    "api/test_exact.py",
    "api/test_limits.py",
    "db/test_embedded.py",
    "faults/test_silence.py",
    "formats/test_hostile.py",
    "journey/test_demo.py",
    "journey/test_serve.py",
    "journey/test_worker.py",
)


class Together(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each worker the next test, or all of such a file; those first."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.endswith(TOGETHER) else nodeid


def scheduler(config: pytest.Config, log: Any) -> Together:
    """What gives tests to workers."""
    return Together(config, log)
