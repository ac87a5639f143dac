"""The documents say what is true of the code: their links lead somewhere, and they leave nothing out."""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway import errors
from gateway.access.scopes import Scope
from gateway.api.gauges import Stored
from gateway.api.metrics import Metrics
from gateway.cli import cli
from gateway.db.engine import open_engine
from gateway.domain import rules
from gateway.domain.agency import Level
from gateway.domain.codelist import CodeList
from gateway.domain.delivery import DeliveryState, Event, OutcomeClass
from gateway.domain.exact import decode
from gateway.domain.form import BUILT_IN_FINDINGS, Form
from gateway.domain.form_document import Combine, FormDocument, Severity, Type
from gateway.domain.obligation import State, Whose
from gateway.domain.period import Frequency
from gateway.domain.regime import Moved, RegimeKind
from gateway.domain.report import Nil, ReportKind, Status
from gateway.errors import GatewayError
from gateway.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "src").rglob("*.md")])

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"[\s`/(]gateway ([a-z]+)(?: ([a-z]+))?")
_NOT_ANCHORED = re.compile(r"[^\w\- ]")


def _anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as repository hosts make them."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", document.read_text(encoding="utf-8")), re.MULTILINE)
    return {_NOT_ANCHORED.sub("", heading.lower()).replace(" ", "-") for heading in headings}


def _broken_links(document: Path) -> Iterator[str]:
    for link in _LINK.findall(_FENCED.sub("", document.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: str(each.relative_to(ROOT)))
def test_every_relative_link_of_a_document_leads_somewhere(document: Path) -> None:
    assert list(_broken_links(document)) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: str(each.relative_to(ROOT)))
def test_every_file_of_ours_that_a_document_names_exists(document: Path) -> None:
    named = re.findall(r"`((?:src|tests)/[\w./-]+)`", document.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: str(each.relative_to(ROOT)))
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    named = re.findall(r"`(tests/[\w./-]+)::(\w+)`", document.read_text(encoding="utf-8"))
    assert [name for file, name in named if not re.search(rf"def {name}\(", (ROOT / file).read_text())] == []


def _commands() -> dict[str, set[str]]:
    """The names of all commands, each with those of its own commands."""
    group: Any = typer.main.get_command(cli)
    return {
        name: set(command.list_commands(None)) if hasattr(command, "list_commands") else set()
        for name, command in group.commands.items()
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: str(each.relative_to(ROOT)))
def test_every_command_a_document_mentions_exists(document: Path) -> None:
    known = _commands()
    code = "".join(_CODE.findall(document.read_text(encoding="utf-8")))
    mentioned = set(_COMMAND.findall(code))
    assert {
        (name, own) for name, own in mentioned if name not in known or (known[name] and own not in known[name])
    } == set()


def test_every_command_is_in_the_operators_page() -> None:
    page = (DOCS / "operating.md").read_text(encoding="utf-8")
    names = {" ".join(filter(None, [first, second])) for first, own in _commands().items() for second in own or {""}}
    assert {name for name in names if f"`gateway {name}`" not in page} == set()


def _refusals(base: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    for each in base.__subclasses__():
        yield each
        yield from _refusals(each)


def test_the_table_of_problems_has_every_problem_with_its_status() -> None:
    page = (DOCS / "problems.md").read_text(encoding="utf-8")
    ours = {each for each in _refusals() if each.__module__ == errors.__name__}
    assert {each.slug for each in ours if f"| `{each.slug}` | {each.status} |" not in page} == set()


def test_the_table_of_findings_has_every_built_in_finding() -> None:
    page = (DOCS / "problems.md").read_text(encoding="utf-8")
    assert {name for name in BUILT_IN_FINDINGS if f"| `{name}` |" not in page} == set()


def test_the_glossary_has_every_word_that_a_user_can_meet() -> None:
    words: list[Iterable[StrEnum]] = [Status, DeliveryState, OutcomeClass, Event, Level, ReportKind, Nil]
    words += [Frequency, Type, Combine, Severity, State, RegimeKind, Moved, Whose]
    page = (DOCS / "glossary.md").read_text(encoding="utf-8")
    assert {word.value for word in chain.from_iterable(words) if f"`{word.value}`" not in page} == set()


def test_the_operators_page_has_every_setting_and_every_scope() -> None:
    page = (DOCS / "operating.md").read_text(encoding="utf-8")
    settings = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in settings | {scope.value for scope in Scope} if f"`{name}`" not in page} == set()


async def test_the_operators_page_has_every_metric_and_its_rules_no_other() -> None:
    page = (DOCS / "operating.md").read_text(encoding="utf-8")
    metrics = Metrics(open_engine(Settings(), "postgresql+asyncpg://127.0.0.1:1/gateway"))
    metrics._stored = Stored([])
    suffixes = {"counter": "_total", "info": "_info"}
    names = {each.name + suffixes.get(each.type, "") for each in metrics.collect()}
    ours = {name for name in names if name.startswith("gateway_")}
    assert {name for name in ours if f"`{name}`" not in page} == set()
    assert set(re.findall(r"\bgateway_[a-z_]+", page)) - ours == set()


def test_the_reference_of_the_rule_language_is_the_one_in_the_code() -> None:
    page = (DOCS / "forms.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- rules:begin -->")[2].partition("<!-- rules:end -->")[0]
    assert shown.strip() == (rules.__doc__ or "").strip()


def test_the_form_that_the_documents_show_is_one_that_loads() -> None:
    page = (DOCS / "forms.md").read_bytes()
    codelist, form = (decode(example) for example in re.findall(rb"```json\n(.*?)```", page, re.DOTALL))
    assert {each.codelist for each in Form(FormDocument.model_validate(form)).breakdowns} == {
        CodeList.model_validate(codelist).id
    }
