"""Everything that goes wrong in the proof."""

from collections.abc import Sequence

from proofs.scenario import Scenario
from proofs.scenarios import database, disk, following, kills, links, moments, names, pauses, poison, power, upstreams

SCENARIOS: Sequence[Scenario] = [
    each
    for part in (kills, moments, pauses, poison, links, database, upstreams, names, following, disk, power)
    for each in part.SCENARIOS
]
