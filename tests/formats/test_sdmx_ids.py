"""Ids in SDMX: codes of ours as its grammar takes them, no two of them the same; and XML that is well-formed."""

from xml.etree import ElementTree

from factories import a_breakdown, a_code, compiled
from gateway.domain.codelist import CodeList
from gateway.formats.sdmx_codes import agency_code, agency_id, breakdown_id, code_ids, dimension_ids
from gateway.formats.xml import element, escaped


def ids(*codes: str) -> dict[str, str]:
    title = {"vi": "Danh mục", "en": "List"}
    document = {"id": "TEST_CODES", "title": title, "codes": [a_code(each) for each in codes]}
    return dict(code_ids(CodeList.model_validate(document)))


def test_dots_of_agency_codes_are_dashes_and_come_back() -> None:
    assert agency_id("H26.18.01") == "H26-18-01"
    assert agency_code(agency_id("H26.18.01")) == "H26.18.01"


def test_codes_with_dots_are_written_with_dashes_and_never_become_one() -> None:
    assert ids("A", "1.2") == {"A": "A", "1.2": "1-2"}
    assert ids("1.2", "1-2") == {"1.2": "1@2", "1-2": "1-2"}
    assert ids("1.2-3", "1-2.3") == {"1.2-3": "1@2-3", "1-2.3": "1-2@3"}


def test_a_breakdown_that_is_called_like_a_dimension_of_ours_has_another_name() -> None:
    form = compiled(breakdowns=[a_breakdown(), a_breakdown(id="indicator")])
    assert dimension_ids(form) == ["FREQ", "AGENCY", "INDICATOR", "SECTOR", "INDICATOR-B"]
    assert breakdown_id(form.breakdowns[1]) == "INDICATOR-B"


def test_whatever_a_title_holds_the_xml_is_well_formed() -> None:
    title = 'Đất & "nhà" <ở>\x0b\ud800\n\U0001f3e0'
    text = element("a", {"b": title, "c": None}, escaped(title))
    found = ElementTree.fromstring(text)  # noqa: S314 - our own
    assert found.text == found.get("b") == 'Đất & "nhà" <ở>\ufffd\ufffd\n\U0001f3e0'
    assert found.get("c") is None
