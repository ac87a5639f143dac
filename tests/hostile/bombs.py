"""Rules that mean no good, compiled and judged in a process with little time and memory; run by a test.

Prints the longest that judging took by the weight that the rule was given, in microseconds, and for which rule.
"""

import random
import resource
import sys
import time
from fractions import Fraction

from gateway.domain.form import Form
from gateway.domain.form_document import FormDocument
from gateway.domain.rule_syntax import RuleError
from gateway.domain.rules import Check, Column, Kind, Scope, Undecided, compile_check

NAMES = [f"a{index}" for index in range(12)]
COLUMNS = {name: Column(index, Kind.number, 10) for index, name in enumerate(NAMES)}
ROWS = 40


def figure(chance: random.Random) -> Fraction:
    """As many digits as a figure may have, and none of them to be cancelled."""
    return Fraction(chance.choice((1, -1)) * (chance.randrange(10**39, 10**40) | 1), 10**10)


def expression(chance: random.Random, depth: int) -> str:
    """Any number, made so that it grows."""
    if depth == 0:
        return chance.choice([*NAMES, "9" * 29 + "." + "7" * 10, "0.0000000001"])
    match chance.randrange(8):
        case 0:
            return f"round({expression(chance, depth - 1)}, 10)"
        case 1:
            return f"{chance.choice(('min', 'max'))}({expression(chance, depth - 1)}, {expression(chance, depth - 1)})"
        case 2:
            return f"if({NAMES[0]} > 0, {expression(chance, depth - 1)}, {expression(chance, depth - 1)})"
        case 3:
            return f"total({chance.choice(NAMES)} {chance.choice('*/')} {chance.choice(NAMES)})"
        case 4:
            return f"(1 / ({expression(chance, depth - 1)} + {chance.choice(NAMES)}))"
    signs = chance.choice(("*", "/", "*/", "+-", "*+", "/-"))
    terms = [expression(chance, max(0, depth - 3)) for _ in range(chance.choice((2, 5, 30, 200)))]
    return "(" + "".join(term if not at else signs[at % len(signs)] + term for at, term in enumerate(terms)) + ")"


def chains() -> list[str]:
    """What was found to explode, once."""
    made = ["".join(("*/"[at % 2] if mixed else sign) + NAMES[at % 12] for at in range(240)) for sign, mixed in (("*", 0), ("/", 0), ("*", 1))]  # fmt: skip  # noqa: E501
    made.append("+" + "+".join(f"{NAMES[at % 12]}/{NAMES[(at * 5 + 1) % 12]}" for at in range(120)))
    made.append("+" + "+".join(NAMES[at % 12] for at in range(240)))
    return [f"a0{each} > 0" for each in made]


def judging(check: Check, scope: Scope, rows: list[tuple[Fraction, ...]]) -> float:
    """Seconds of this process that the rows take."""
    began = time.process_time()
    for row in rows:
        try:
            check.judge(scope.at(row, None))
        except Undecided:
            continue
    return time.process_time() - began


def main(seed: int, count: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    rows = [tuple(figure(chance) for _ in NAMES) for _ in range(ROWS)]
    scope, worst = Scope(None, rows, None, None), (0.0, "")
    texts = chains() + [f"{expression(chance, chance.randrange(1, 12))} > 0" for _ in range(count)]
    judged = 0
    for text in texts:
        try:
            check = compile_check(text, COLUMNS)
        except RuleError:
            continue
        judged += 1
        took = min(judging(check, scope, rows) for _ in range(2))
        worst = max(worst, (took / ROWS / check.weight * 1e6, text))
    began = time.process_time()
    indicators = [
        {"id": name, "title": {"vi": "x", "en": "x"}, "type": "decimal", "scale": 10, "over_agencies": "none",
         "over_time": "none"} for name in NAMES
    ]  # fmt: skip
    title = {"vi": "x", "en": "x"}
    long = "a0" + "+a1" * 240 + " > 0"
    rules = [{"id": f"R{at}", "severity": "error", "check": long, "message": title} for at in range(500)]
    code = {"code": "BOMB", "version": 1, "title": title, "frequencies": ["monthly"]}
    Form(FormDocument.model_validate(code | {"indicators": indicators, "rules": rules}))
    sys.stdout.write(f"{judged} {worst[0]:.4f} {time.process_time() - began:.2f} {worst[1][:200]}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
