"""Everything that goes wrong in the proof."""

from collections.abc import Sequence

from proofs.scenario import Scenario
from proofs.scenarios import database, disk, kills

SCENARIOS: Sequence[Scenario] = [*kills.SCENARIOS, *database.SCENARIOS, *disk.SCENARIOS]
