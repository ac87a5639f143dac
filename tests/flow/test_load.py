"""Loading the catalogue: documents are checked together, and taken together or not at all."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from factories import a_breakdown, a_codelist, a_form, a_rule, an_agency, an_indicator
from gateway.catalog import bundled_documents
from gateway.errors import CatalogueConflict, InvalidCatalogue
from gateway.flow.amend import amend
from gateway.flow.load import Catalogues
from gateway_under_test import connected, load

Document = tuple[str, dict[str, Any]]


async def revisions(engine: AsyncEngine) -> int:
    async with connected(engine) as connection:
        number: int = await connection.fetchval("SELECT count(*) FROM catalog_revisions")
    return number


async def places(engine: AsyncEngine, *documents: Document) -> list[str]:
    """The places of the faults that documents are refused for; nothing may have been loaded."""
    before = await revisions(engine)
    with pytest.raises(InvalidCatalogue) as refusal:
        await load(engine, *documents)
    assert await revisions(engine) == before
    return [place.pointer for place in refusal.value.errors]


async def test_the_bundled_catalogue_is_whole(engine: AsyncEngine) -> None:
    catalogue = await Catalogues(engine).newest()
    assert sorted(catalogue.forms) == ["KTXH_01", "TTHC_06A"]
    assert sorted(catalogue.codelists) == ["PLAN_STAGE", "TTHC_SECTOR"]
    assert len(catalogue.agencies.versions) == len(catalogue.agencies.ids) == 95 + 34 * 12 + 3321


async def test_loading_the_same_again_changes_nothing(engine: AsyncEngine) -> None:
    assert await load(engine, *((each.kind.value, each.document) for each in bundled_documents())) == 0
    assert await revisions(engine) == 1


async def test_documents_that_need_each_other_are_taken_together_in_any_order(engine: AsyncEngine) -> None:
    child, parent = an_agency(code="H26.18.01.01", parent="H26.18.01"), an_agency()
    form = a_form(breakdowns=[a_breakdown(codelist="TEST_CODES")])
    loaded = await load(engine, ("agency", child), ("form", form), ("codelist", a_codelist()), ("agency", parent))
    assert (loaded, await revisions(engine)) == (4, 2)
    catalogue = await Catalogues(engine).newest()
    assert catalogue.agencies.resolve("H26.18.01.01") == "H26.18.01.01"


async def test_one_wrong_document_keeps_the_others_out_and_every_fault_is_told(engine: AsyncEngine) -> None:
    found = await places(
        engine,
        ("agency", an_agency()),
        ("codelist", a_codelist("A", "A")),
        ("form", a_form(rules=[a_rule(check="amount +"), a_rule(check="nothing == 1")])),
        ("agency", an_agency(code="H26.18.02", parent="H26.99")),
        ("form", a_form(code="TEST_02", breakdowns=[a_breakdown(codelist="NOWHERE")])),
    )
    assert len(found) == 6
    assert {"/rules/0/check", "/rules/1/check", "/rules/1/id", "/breakdowns/0/codelist"} < set(found)
    assert "H26.18.01" not in (await Catalogues(engine).newest()).agencies


async def test_a_code_may_be_closed_or_added_but_not_left_out(engine: AsyncEngine) -> None:
    await load(engine, ("codelist", a_codelist("A", "B")))
    assert await places(engine, ("codelist", a_codelist("A", "C"))) == ["/codes"]
    await load(engine, ("codelist", a_codelist("A", "B", "C")))
    assert set((await Catalogues(engine).newest()).codelists["TEST_CODES"].by_code) == {"A", "B", "C"}


async def test_a_cycle_is_found_through_documents_loaded_together(engine: AsyncEngine) -> None:
    ring = [
        an_agency(code="H26.18.01", parent="H26.18.02"),
        an_agency(code="H26.18.02", parent="H26.18.03"),
        an_agency(code="H26.18.03", parent="H26.18.01"),
    ]
    assert len(await places(engine, *(("agency", each) for each in ring))) == 1


async def test_a_cycle_that_begins_on_a_later_day_is_found(engine: AsyncEngine) -> None:
    await load(engine, ("agency", an_agency()), ("agency", an_agency(code="H26.18.02", parent="H26.18.01")))
    assert await places(engine, ("agency", an_agency(parent="H26.18.02", valid_from="2030-01-01")))


async def test_a_cycle_through_an_agency_that_was_closed_is_found(engine: AsyncEngine) -> None:
    """Rights follow the last parent of a closed agency, so it still has its place in the tree."""
    closed = an_agency(code="H26.18.02", parent="H26.18.01", valid_to="2026-06-30")
    await load(engine, ("agency", an_agency()), ("agency", closed))
    assert await places(engine, ("agency", an_agency(parent="H26.18.02", valid_from="2026-07-01")))


async def test_two_versions_of_a_form_agree_also_when_they_come_together(engine: AsyncEngine) -> None:
    first = a_form(valid_to="2029-12-31")
    second = a_form(version=2, valid_from="2030-01-01", indicators=[an_indicator(unit="vnd")])
    with pytest.raises(CatalogueConflict):
        await load(engine, ("form", first), ("form", second))
    assert await revisions(engine) == 1


async def test_the_same_document_given_twice_is_taken_once_and_two_different_ones_are_not(
    engine: AsyncEngine,
) -> None:
    await load(engine, ("agency", an_agency()), ("agency", an_agency()))
    assert await places(engine, ("codelist", a_codelist("A")), ("codelist", a_codelist("B")))


async def test_faults_carry_the_file_they_are_in(engine: AsyncEngine) -> None:
    current = await Catalogues(engine).newest()
    with pytest.raises(InvalidCatalogue) as refusal:
        async with engine.begin() as connection:
            await amend(connection, current, [("forms/a.json", "form", a_form(code="x"))], None)
    assert [place.pointer for place in refusal.value.errors] == ["forms/a.json/code"]


async def test_a_picture_of_the_catalogue_does_not_change_when_a_newer_one_is_read(engine: AsyncEngine) -> None:
    catalogues = Catalogues(engine)
    before = await catalogues.newest()
    await load(engine, ("form", a_form()))
    after = await catalogues.newest()
    assert ("TEST_01" in before.forms, "TEST_01" in after.forms) == (False, True)
    assert after.revision > before.revision
    assert await catalogues.newest() is after


async def test_a_reader_that_follows_sees_what_a_fresh_one_sees(engine: AsyncEngine) -> None:
    following = Catalogues(engine)
    await following.newest()
    for documents in (
        (("form", a_form()), ("agency", an_agency())),
        (("form", a_form(number="2")), ("agency", an_agency(name="Tên mới"))),
    ):
        await load(engine, *documents)
        followed, fresh = await following.newest(), await Catalogues(engine).newest()
        assert followed.revision == fresh.revision
        assert followed.agencies.versions == fresh.agencies.versions
        assert followed.agencies.ids == fresh.agencies.ids
        assert [form.document for form in followed.forms["TEST_01"]] == [
            form.document for form in fresh.forms["TEST_01"]
        ]
