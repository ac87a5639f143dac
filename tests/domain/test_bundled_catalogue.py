"""The bundled catalogue: its counts, its references, and that its forms and regimes say what their law says."""

import re
import unicodedata
from importlib.resources import files
from typing import cast

import pytest

from gateway.catalog import AgencyDocument, DocumentKind, bundled_agencies, bundled_documents
from gateway.domain.regime import RegimeDocument

OTHER_REPORTS = {"previous", "within", "first_within", "last_within", "in_form"}
RULE_WORDS = {"and", "or", "not", "if", "abs", "min", "max", "round", "total", "true", "false"} | OTHER_REPORTS
RESERVED = RULE_WORDS | {"agency", "period", "level", "own", "attachments", "narrative"}
VALID_ROW = (2400, 2280, 105, 15, 2375, 1750, 625, 0, 25, 25, 0)
OFF_BY_ONE = (10361, 10362, 0, 0)

Objects = list[dict[str, object]]


def documents(kind: DocumentKind, key: str) -> dict[str, dict[str, object]]:
    return {str(found.document[key]): found.document for found in bundled_documents() if found.kind is kind}


def form(code: str) -> dict[str, object]:
    return documents(DocumentKind.FORM, "code")[code]


def regime(code: str) -> dict[str, object]:
    return documents(DocumentKind.REGIME, "code")[code]


def parts(document: dict[str, object], key: str) -> Objects:
    return cast(Objects, document[key])


def agencies() -> dict[str, AgencyDocument]:
    return {agency["code"]: agency for agency in bundled_agencies()}


def titles_of(document: dict[str, object]) -> list[object]:
    """Everything a document says in two languages."""
    lists = [parts(document, key) for key in ("breakdowns", "indicators", "codes") if key in document]
    own = [document[key] for key in ("title", "note") if key in document]
    rules = [rule["message"] for rule in parts(document, "rules")] if "rules" in document else []
    days = [day["name"] for day in parts(document, "days_off")] if "days_off" in document else []
    return [*own, *(part["title"] for found in lists for part in found), *rules, *days]


def left_and_sum(check: str, row: dict[str, int]) -> tuple[int, int]:
    """Both sides of a check of the shape `a == b + c`."""
    left, right = check.split(" == ")
    return row[left], sum(row[name] for name in right.split(" + "))


def words_of(rule: str) -> set[str]:
    return set(re.findall(r"[a-z_]+", rule))


def arithmetic_rules() -> Objects:
    """The rules about the report alone."""
    return [rule for rule in parts(form("TTHC_06A"), "rules") if not words_of(str(rule["check"])) & OTHER_REPORTS]


def tthc_row(values: tuple[int, ...]) -> dict[str, int]:
    names = [str(indicator["id"]) for indicator in parts(form("TTHC_06A"), "indicators")]
    return dict(zip(names, values, strict=False))


def test_agencies_are_as_many_as_the_country_has() -> None:
    found = list(bundled_agencies())
    current = [agency for agency in found if agency["level"] == "province" and agency["valid_to"] is None]
    assert len(current) == 34
    assert sum(agency["level"] == "province" for agency in found) == 63
    assert sum(agency["level"] == "ministry" for agency in found) == 32
    assert sum(agency["level"] == "commune" for agency in found) == 3321
    assert sum(agency["level"] == "department" for agency in found) == 34 * 12


def test_agency_codes_are_unique_and_follow_the_decision() -> None:
    codes = [agency["code"] for agency in bundled_agencies()]
    assert len(codes) == len(set(codes))
    assert [c for c in codes if len(c) > 35 or not re.fullmatch(r"[A-Z][0-9]{2}(\.[0-9A-Z]+)*", c)] == []


def test_an_alias_names_one_agency_and_is_no_code() -> None:
    aliases = [alias for agency in bundled_agencies() for alias in agency["aliases"]]
    assert len(aliases) == len(set(aliases)) == 3321 + 34
    assert set(aliases).isdisjoint(agencies())


def test_a_parent_and_a_successor_come_before_those_that_name_them() -> None:
    seen: set[str] = set()
    for agency in bundled_agencies():
        assert {agency["parent"], agency["successor"]} - {None} <= seen, agency["code"]
        seen.add(agency["code"])


def test_parents_are_current_provinces_and_give_their_code_to_what_is_below() -> None:
    by_code = agencies()
    for agency in by_code.values():
        if agency["parent"] is not None:
            parent = by_code[agency["parent"]]
            assert (parent["level"], parent["valid_to"]) == ("province", None)
            assert agency["code"].startswith(f"{parent['code']}.")


def test_only_codes_made_by_this_product_are_marked_derived() -> None:
    for agency in bundled_agencies():
        assert agency["derived"] == (agency["level"] in {"commune", "department"})


def test_a_merged_province_is_closed_and_names_its_successor() -> None:
    nam_dinh = agencies()["H40"]
    assert (nam_dinh["valid_from"], nam_dinh["valid_to"], nam_dinh["successor"]) == (
        None,
        "2025-06-30",
        "H42",
    )
    assert nam_dinh["aliases"] == []


def test_every_successor_is_itself_open() -> None:
    by_code = agencies()
    successors = {agency["successor"] for agency in by_code.values()} - {None}
    assert [code for code in successors if code is None or by_code[code]["valid_to"]] == []


def test_the_agencies_of_hanoi_have_their_full_names() -> None:
    by_code = agencies()
    assert by_code["H26"]["aliases"] == ["GSO:01"]
    assert by_code["H26.18"]["name"] == "Sở Nông nghiệp và Môi trường thành phố Hà Nội"
    assert by_code["H26.10"]["name"] == "Văn phòng Ủy ban nhân dân thành phố Hà Nội"
    ba_dinh = by_code["H26.00004"]
    assert ba_dinh["name"] == "Ủy ban nhân dân phường Ba Đình"
    assert (ba_dinh["parent"], ba_dinh["valid_from"], ba_dinh["aliases"]) == (
        "H26",
        "2025-07-01",
        ["GSO:00004"],
    )


@pytest.mark.parametrize(
    ("code", "name"),
    [("H17.20333", "Ủy ban nhân dân đặc khu Hoàng Sa"), ("H32.22736", "Ủy ban nhân dân đặc khu Trường Sa")],
)
def test_the_island_zones_are_there(code: str, name: str) -> None:
    assert agencies()[code]["name"] == name


def test_every_commune_is_a_ward_a_commune_or_a_special_zone() -> None:
    communes = [agency["name"] for agency in bundled_agencies() if agency["level"] == "commune"]
    kind = re.compile(r"Ủy ban nhân dân (phường|xã|đặc khu) [^\s].*")
    assert [name for name in communes if not kind.fullmatch(name)] == []


def test_names_are_composed_unicode_without_stray_spaces() -> None:
    names = [agency["name"] for agency in bundled_agencies()]
    assert [n for n in names if not unicodedata.is_normalized("NFC", n) or n != " ".join(n.split())] == []


def test_the_files_themselves_are_composed_unicode() -> None:
    root = files("gateway.catalog")
    folders = ("forms", "codelists", "agencies", "calendars", "regimes")
    texts = [file.read_text("utf-8") for folder in folders for file in (root / folder).iterdir()]
    assert len(texts) == 7 + 9 + 2
    assert all(unicodedata.is_normalized("NFC", text) for text in texts)


def test_documents_come_in_the_order_they_can_be_loaded() -> None:
    order = list(dict.fromkeys(found.kind for found in bundled_documents()))
    assert order == [
        DocumentKind.CODELIST,
        DocumentKind.FORM,
        DocumentKind.AGENCY,
        DocumentKind.CALENDAR,
        DocumentKind.REGIME,
    ]


def test_sectors_are_thirty_and_include_land() -> None:
    codes = [str(code["code"]) for code in parts(documents(DocumentKind.CODELIST, "id")["TTHC_SECTOR"], "codes")]
    assert len(codes) == len(set(codes)) == 30
    assert "LAND" in codes
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", code) for code in codes)


def test_the_stages_are_plan_estimate_and_actual() -> None:
    stages = parts(documents(DocumentKind.CODELIST, "id")["PLAN_STAGE"], "codes")
    assert [code["code"] for code in stages] == ["PLAN", "ESTIMATE", "ACTUAL"]


def test_every_title_and_message_is_in_vietnamese_and_english() -> None:
    for found in bundled_documents():
        if found.kind is not DocumentKind.AGENCY:
            titles = titles_of(found.document)
            assert titles
            for title in titles:
                both = cast(dict[str, str], title)
                assert list(both) == ["vi", "en"]
                assert all(both.values())


@pytest.mark.parametrize("code", ["TTHC_06A", "KTXH_01"])
def test_the_columns_of_a_form_have_ids_of_their_own(code: str) -> None:
    columns = parts(form(code), "breakdowns") + parts(form(code), "indicators")
    ids = [str(column["id"]) for column in columns]
    assert len(ids) == len(set(ids))
    assert set(ids).isdisjoint(RESERVED)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,48}", found) for found in ids)


@pytest.mark.parametrize("code", ["TTHC_06A", "KTXH_01"])
def test_the_breakdowns_of_a_form_name_bundled_code_lists(code: str) -> None:
    named = {breakdown["codelist"] for breakdown in parts(form(code), "breakdowns")}
    assert named <= documents(DocumentKind.CODELIST, "id").keys()


@pytest.mark.parametrize("code", ["TTHC_06A", "KTXH_01"])
def test_rules_and_formulas_speak_only_of_columns_the_form_has(code: str) -> None:
    indicators = parts(form(code), "indicators")
    written = [str(rule["check"]) for rule in parts(form(code), "rules")]
    written += [str(indicator["formula"]) for indicator in indicators if "formula" in indicator]
    words = set().union(*map(words_of, written))
    assert words <= {str(indicator["id"]) for indicator in indicators} | RULE_WORDS


@pytest.mark.parametrize("code", ["TTHC_06A", "KTXH_01"])
def test_a_formula_is_given_exactly_where_one_is_used(code: str) -> None:
    for indicator in parts(form(code), "indicators"):
        uses_formula = "formula" in (indicator["over_agencies"], indicator["over_time"])
        assert ("formula" in indicator) == uses_formula


@pytest.mark.parametrize("code", ["TTHC_06A", "KTXH_01"])
def test_columns_are_numbered_from_three_on(code: str) -> None:
    indicators = parts(form(code), "indicators")
    assert [found["column"] for found in indicators] == [f"({n})" for n in range(3, 3 + len(indicators))]


def test_a_valid_row_of_the_dossier_form_satisfies_its_arithmetic() -> None:
    sides = [left_and_sum(str(rule["check"]), tthc_row(VALID_ROW)) for rule in arithmetic_rules()]
    assert sides == [(2400, 2400), (2375, 2375), (25, 25), (2400, 2400)]


def test_a_row_wrong_by_one_breaks_the_first_rule() -> None:
    first = arithmetic_rules()[0]
    assert first["id"] == "R1"
    assert left_and_sum(str(first["check"]), tthc_row(OFF_BY_ONE)) == (10361, 10362)


def test_only_rules_about_other_reports_may_be_explained() -> None:
    severities = {rule["id"]: rule["severity"] for rule in parts(form("TTHC_06A"), "rules")}
    assert severities == dict.fromkeys(("R1", "R2", "R3", "R4"), "error") | dict.fromkeys(
        ("R6", "R9A", "R9B", "R9C"), "explain"
    )


def test_the_year_is_compared_with_its_quarters_where_flows_add_and_where_the_stock_begins() -> None:
    """No fourth quarter is reported, so that a year has more than its quarters, and ends with other stocks."""
    rules = {str(rule["id"]): str(rule["check"]) for rule in parts(form("TTHC_06A"), "rules")}
    over_time = {str(each["id"]): each["over_time"] for each in parts(form("TTHC_06A"), "indicators")}
    compared = set(re.findall(r"(\w+) >= within\(\1\)", rules["R9A"] + rules["R9C"]))
    in_parts = {name for name, way in over_time.items() if way == "sum"} - {"resolved_total"}  # which R2 adds up
    assert compared == in_parts
    assert rules["R9B"] == "carried_over == first_within(carried_over)"


def test_over_time_flows_add_and_stocks_do_not() -> None:
    over_time = [indicator["over_time"] for indicator in parts(form("TTHC_06A"), "indicators")]
    assert over_time == ["formula", "sum", "sum", "first", *["sum"] * 4, *["last"] * 3]


def test_two_quarters_of_the_dossier_form_combine_to_a_row_that_satisfies_its_rules() -> None:
    quarters = [tthc_row(VALID_ROW), tthc_row((125, 90, 10, 25, 100, 60, 30, 10, 25, 20, 5))]
    combined: dict[str, int] = {}
    for indicator in parts(form("TTHC_06A"), "indicators"):
        values = [quarter[str(indicator["id"])] for quarter in quarters]
        over_time = {"sum": sum(values), "first": values[0], "last": values[-1]}
        combined[str(indicator["id"])] = over_time.get(str(indicator["over_time"]), 0)
    combined["received_total"] = left_and_sum(str(arithmetic_rules()[0]["check"]), combined)[1]
    assert combined["received_total"] == 2280 + 105 + 15 + 90 + 10
    for rule in arithmetic_rules():
        left, right = left_and_sum(str(rule["check"]), combined)
        assert left == right, rule["id"]


def test_the_second_form_shows_every_type_and_says_it_is_not_official() -> None:
    document = form("KTXH_01")
    types = {indicator["type"] for indicator in parts(document, "indicators")}
    assert types == {"integer", "decimal", "percent", "text", "boolean"}
    assert str(document["legal_basis"]).startswith("Biểu minh họa")
    assert "not an official one" in str(document["legal_basis"])


def test_a_decimal_has_a_scale_and_nothing_else_has() -> None:
    for indicator in parts(form("KTXH_01"), "indicators"):
        assert ("scale" in indicator) == (indicator["type"] == "decimal")


def test_flows_add_and_stocks_rates_and_indices_do_not() -> None:
    choices = {
        str(indicator["id"]): (indicator["over_agencies"], indicator["over_time"])
        for indicator in parts(form("KTXH_01"), "indicators")
    }
    assert choices["industrial_production_index"] == ("none", "none")
    assert choices["remark"] == choices["is_preliminary"] == ("none", "none")
    assert choices["disbursement_rate"] == ("formula", "formula")
    assert choices["public_investment_plan"] == ("sum", "last")
    assert choices["public_investment_disbursed"] == ("sum", "sum")


@pytest.mark.parametrize("code", ["TTHC_06A", "KTXH_01"])
def test_nothing_that_a_consolidation_leaves_blank_is_required(code: str) -> None:
    for indicator in parts(form(code), "indicators"):
        assert not (indicator["required"] and indicator["over_agencies"] == "none"), indicator["id"]


def test_there_is_a_calendar_for_every_year_since_the_decree_until_the_next() -> None:
    """Decree 09/2019 holds from 2019 on; regimes of 2026 fall due in 2027."""
    assert list(documents(DocumentKind.CALENDAR, "year")) == [str(year) for year in range(2019, 2028)]


def test_the_calendars_of_the_years_of_the_boundary_tables_name_their_announcements() -> None:
    for year in ("2025", "2026"):
        assert "VPCP-KGVX" in str(documents(DocumentKind.CALENDAR, "year")[year]["legal_basis"])


def test_two_regimes_are_bundled() -> None:
    assert list(documents(DocumentKind.REGIME, "code")) == ["KSTT", "KTXH"]


@pytest.mark.parametrize("code", ["KSTT", "KTXH"])
def test_a_regime_is_read_as_it_was_written(code: str) -> None:
    document = RegimeDocument.model_validate(regime(code))
    assert document.model_dump(mode="json", exclude_unset=True) == regime(code)


@pytest.mark.parametrize("code", ["KSTT", "KTXH"])
def test_a_regime_names_bundled_forms_that_are_in_force_with_it_and_bundled_agencies(code: str) -> None:
    document = RegimeDocument.model_validate(regime(code))
    assert {document.owner, document.receiver} <= agencies().keys()
    for named in document.forms:
        assert str(form(named)["valid_from"]) <= str(document.valid_from)
        assert form(named)["valid_to"] is None


@pytest.mark.parametrize("code", ["KSTT", "KTXH"])
def test_a_regime_follows_the_decree_in_its_cut_off_and_its_deadline_to_the_government(code: str) -> None:
    document = regime(code)
    deadlines = cast(dict[str, dict[str, int]], document["deadlines"])
    assert document["cutoff"] == {"day": 14}
    assert all(deadlines[level] == {"day": 25} for level in deadlines.keys() & {"ministry", "province"})
    assert all(14 < rule["day"] <= 25 for rule in deadlines.values())
    assert "NĐ 09/2019/NĐ-CP" in str(document["legal_basis"])


def test_administrative_procedures_are_reported_for_three_quarters_and_the_year_by_everybody_and_never_lock() -> None:
    document = regime("KSTT")
    assert (document["forms"], document["periods"]) == (["TTHC_06A"], ["Q1", "Q2", "Q3", "Y"])
    assert document["who"] == [{"levels": None, "under": None, "agencies": None, "report_kind": "own"}]
    assert document["lock_after_days"] is None
    assert document["valid_from"] == form("TTHC_06A")["valid_from"]
    named = set(cast(list[str], form("TTHC_06A")["frequencies"]))
    assert named == {"quarterly", "annual"}


def test_each_level_reports_administrative_procedures_before_the_one_above() -> None:
    deadlines = cast(dict[str, dict[str, int]], regime("KSTT")["deadlines"])
    assert {level: rule["day"] for level, rule in deadlines.items()} == {
        "ministry": 25,
        "province": 25,
        "district": 20,
        "department": 20,
        "commune": 18,
        "unit": 18,
    }


def test_the_monthly_regime_is_of_provinces_locks_after_ten_days_and_says_it_is_not_official() -> None:
    document = regime("KTXH")
    assert (document["forms"], document["frequency"], document["periods"]) == (["KTXH_01"], "monthly", None)
    assert "monthly" in cast(list[str], form("KTXH_01")["frequencies"])
    assert [duty["levels"] for duty in parts(document, "who")] == [["province"]]
    assert document["lock_after_days"] == 10
    assert "minh họa" in str(document["legal_basis"])
    assert "không phải chế độ chính thức" in str(document["legal_basis"])
