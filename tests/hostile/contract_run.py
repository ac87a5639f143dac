"""A run of schemathesis, with all its checks, against a gateway as each of some clients in turn.

A program of its own, so that what takes long (the strategies of every operation) is made once for all of them. It reads
what to do as JSON, says what it found, and ends with 1 if that is anything.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Any

import contract_hooks  # type: ignore[import-not-found]  # it lies beside this program
import schemathesis
from schemathesis.config import HealthCheck, SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder

RIGHT = ["2xx", "3xx", "403", "404", "406", "409", "422", "429", "501", "502"]
"""What a right request may be answered: it may not be allowed, find nothing, or be against the rules."""
WRONG = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "429", "501"]
CHECKS = {
    "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "501", "502"]},
    "positive_data_acceptance": {"expected-statuses": RIGHT},
    "negative_data_rejection": {"expected-statuses": WRONG},
}
_MOST_SHOWN = 20
_PATIENCE = 60
"""Seconds for an answer: how long one takes is the machine's business."""


@dataclass(frozen=True)
class Plan:
    """Whom to be, by name: a client's id and its token; and how much to try, as the first of them perhaps more."""

    url: str
    roles: dict[str, tuple[str, str]]
    phases: list[str]
    examples: int
    examples_of_first: int | None = None


def run(plan: Plan) -> int:
    """How much was found, as all roles together."""
    config = SchemathesisConfig.from_dict({"generation": {"database": "none"}, "checks": CHECKS})
    schema: Any = schemathesis.openapi.from_url(f"{plan.url}/openapi.json", config=config, timeout=_PATIENCE)
    schema.config.checks.update(included_check_names=["all"])
    schema.config.phases.update(phases=plan.phases)
    found = 0
    for seed, (role, (client, token)) in zip(count(1), plan.roles.items(), strict=False):
        contract_hooks.own = client
        most = plan.examples_of_first if seed == 1 else None
        schema.config.generation.update(max_examples=most or plan.examples)
        schema.config.seed = seed
        schema.config.update(
            headers={"Authorization": token},
            continue_on_failure=True,
            request_timeout=_PATIENCE,
            suppress_health_check=[HealthCheck.all],
        )
        found += _run_as(role, schema)
    return found


def _run_as(role: str, schema: Any) -> int:
    statuses: Counter[int] = Counter()
    found: dict[str, str] = {}
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            found[repr(event)] = repr(event)
        if isinstance(event, events.ScenarioFinished):
            answers = [each.response for each in event.recorder.interactions.values()]
            statuses.update(each.status_code for each in answers if each is not None)
            found |= _failures(event.recorder)
    sys.stdout.write(f"{role}: {len(found)} found in {sum(statuses.values())} cases {dict(sorted(statuses.items()))}\n")
    sys.stdout.writelines(f"\n{each}\n" for each in list(found.values())[:_MOST_SHOWN])
    sys.stdout.flush()
    return len(found)


def _failures(recorder: ScenarioRecorder) -> dict[str, str]:
    """What was found, each kind of mistake of an operation once."""
    found = {}
    for case, checks in recorder.checks.items():
        answer = recorder.interactions[case].response if case in recorder.interactions else None
        said = "" if answer is None else f"{answer.status_code} {answer.content[:500].decode(errors='replace')}"
        for check in checks:
            if check.status is not Status.SUCCESS:
                known = check.failure_info
                words = check.name if known is None else f"{known.failure}\n{known.code_sample}"
                found[f"{recorder.label} {check.name} {said[:3]}"] = f"{recorder.label}\n{words}\n{said}"
    return found


if __name__ == "__main__":
    sys.exit(1 if run(Plan(**json.load(sys.stdin))) else 0)
