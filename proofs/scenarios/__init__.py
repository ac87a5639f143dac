"""Everything that goes wrong in the proof."""

from collections.abc import Sequence

from proofs.scenario import Scenario
from proofs.scenarios import hostile, kills, links, moments

SCENARIOS: Sequence[Scenario] = [
    *kills.SCENARIOS,
    *moments.SCENARIOS,
    *links.SCENARIOS,
    *hostile.SCENARIOS,
]
