"""Overlap: two regimes never have an agency report one form twice, nor its figures added twice."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import agencies, an_agency
from gateway.catalog import DocumentKind, bundled_documents
from gateway.domain.overlap import frequencies_of, overlaps
from gateway.domain.period import Frequency
from gateway.domain.regime import Regime, RegimeDocument, in_order


def the(code: str, level: str, **changes: object) -> dict[str, Any]:
    """An agency that has always been there, under the one whose code it extends."""
    parent = code.rpartition(".")[0] or None
    return an_agency(**{"code": code, "level": level, "parent": parent, "valid_from": None, **changes})


COUNTRY = [
    the("G10", "ministry"),
    the("H26", "province"),
    the("H26.18", "department"),
    the("H26.18.01", "unit"),
    the("H26.00004", "commune", valid_from="2025-07-01"),
    the("H29", "province"),
    the("H29.18", "department"),
]


def regime(code: str, *who: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A regime of a monthly form."""
    return {
        "code": code,
        "legal_basis": "Chế độ thử",
        "forms": ["TEST_01"],
        "frequency": "monthly",
        "who": [*who] or [{}],
        **changes,
    }


def those(*codes: str, kind: str = "own") -> dict[str, Any]:
    """The duty of a few agencies."""
    return {"agencies": [*codes], "report_kind": kind}


def found(
    *regimes: dict[str, Any], changed: Iterable[str] | None = None, among: Sequence[dict[str, Any]] = COUNTRY
) -> list[str]:
    """What stands against regimes together, as said in English."""
    versions: dict[str, list[Regime]] = {}
    for each in regimes:
        versions.setdefault(each["code"], []).append(Regime(RegimeDocument.model_validate(each)))
    looked_at = [regimes[-1]["code"]] if changed is None else changed
    return [text.en for text in overlaps(in_order(versions), agencies(*among), looked_at)]


def test_a_form_is_asked_of_an_agency_by_one_regime() -> None:
    both = found(regime("ONE", those("H26", "H29")), regime("TWO", those("H29", "G10")))
    assert both == ["TWO and ONE both have H29 report TEST_01 (monthly) on 0001-01-01."]


def test_an_overlap_is_said_in_both_languages() -> None:
    versions = {
        code: [Regime(RegimeDocument.model_validate(regime(code, those(agency))))]
        for code, agency in (("ONE", "H26"), ("TWO", "H26"), ("THREE", "H26.18"))
    }
    texts = [*overlaps(versions, agencies(*COUNTRY), ["ONE"])]
    assert len(texts) == 2
    assert texts[0].vi.startswith("ONE và TWO cùng giao TEST_01 (monthly) cho H26")
    assert texts[1].vi.startswith("Số liệu TEST_01 (monthly) sẽ bị cộng hai lần: H26.18 nằm trong H26")


def test_it_does_not_matter_which_of_two_regimes_is_the_new_one() -> None:
    pair = [regime("ONE", those("H26")), regime("TWO", those("H26"))]
    assert len(found(*pair, changed=["ONE"])) == len(found(*pair, changed=["TWO"])) == 1
    assert found(*pair, changed=[]) == []


def test_regimes_that_were_there_before_are_not_looked_at_again() -> None:
    assert found(regime("ONE", those("H26")), regime("TWO", those("H26")), regime("THREE", those("H29"))) == []


def test_every_regime_in_the_way_is_named() -> None:
    said = found(regime("ONE", those("H26")), regime("TWO", those("H29")), regime("THREE", those("H26", "H29")))
    assert [text.partition(" on ")[0] for text in said] == [
        "THREE and ONE both have H26 report TEST_01 (monthly)",
        "THREE and TWO both have H29 report TEST_01 (monthly)",
    ]


def test_a_long_list_of_agencies_is_cut() -> None:
    provinces = [the(f"H{number}", "province") for number in range(10, 20)]
    (said,) = found(regime("ONE"), regime("TWO"), among=provinces)
    assert "both have H10, H11, H12, H13, H14 … (10) report" in said


@pytest.mark.parametrize(
    "other",
    [
        regime("TWO", forms=["TEST_02"]),
        regime("TWO", frequency="quarterly"),
        regime("TWO", periods=["Q1", "Q2", "Y"]),
        regime("TWO", frequency="quarterly", periods=["9M", "2026-S1", "W53"]),
        regime("TWO", kind="ad_hoc", frequency="ad_hoc"),
        regime("TWO", kind="thematic", frequency="ad_hoc", periods=["2026-07-20/P14D"]),
        regime("TWO", valid_to="2024-12-31"),
        regime("TWO", valid_from="2027-01-01"),
    ],
)
def test_other_forms_frequencies_and_times_are_free(other: dict[str, Any]) -> None:
    lasting = regime("ONE", valid_from="2025-01-01", valid_to="2026-12-31")
    assert found(lasting, other) == found(other, lasting) == []


@pytest.mark.parametrize(
    "other",
    [
        regime("TWO", forms=["TEST_02", "TEST_01"]),
        regime("TWO", frequency="quarterly", periods=["Q1", "07"]),
        regime("TWO", kind="thematic", frequency="ad_hoc", periods=["2026-07", "2026-07-20/P14D"]),
        regime("TWO", cutoff={"day": 31}),
        regime("TWO", valid_to="2025-01-01"),
        regime("TWO", valid_from="2026-12-31"),
    ],
)
def test_a_form_or_a_frequency_or_a_day_in_common_is_enough(other: dict[str, Any]) -> None:
    lasting = regime("ONE", valid_from="2025-01-01", valid_to="2026-12-31")
    assert len(found(lasting, other)) == len(found(other, lasting)) == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {Frequency.monthly}),
        ({"frequency": "ad_hoc", "kind": "ad_hoc"}, {Frequency.ad_hoc}),
        ({"periods": ["Q1", "Q2", "Q3", "Y"]}, {Frequency.quarterly, Frequency.annual}),
        ({"periods": ["9M", "S1", "W53", "07"]}, {"nine_months", "half_yearly", "weekly", "monthly"}),
        ({"periods": ["2026", "2026-W53", "2026-07-20/P14D"]}, {"annual", "weekly", "ad_hoc"}),
    ],
)
def test_a_regime_has_the_frequencies_of_the_periods_it_names(changes: dict[str, Any], expected: set[str]) -> None:
    assert frequencies_of(Regime(RegimeDocument.model_validate(regime("ONE", **changes)))) == expected


def test_two_regimes_may_share_a_form_between_agencies_that_do_not_contain_each_other() -> None:
    assert found(regime("ONE", those("H26.18")), regime("TWO", those("H29", "G10", "H26.00004"))) == []


@pytest.mark.parametrize(
    ("below", "above"), [("H26.18", "H26"), ("H26.18.01", "H26"), ("H26.18.01", "H26.18"), ("H29.18", "H29")]
)
def test_figures_of_an_agency_are_not_asked_for_again_within_those_of_one_above(below: str, above: str) -> None:
    lower, upper = regime("LOW", those(below)), regime("HIGH", those(above))
    for said in (found(lower, upper), found(upper, lower)):
        assert len(said) == 1
        assert f"{below} lies under {above}" in said[0]
        assert f"let {above} owe a 'consolidation'" in said[0]


def test_one_above_may_consolidate_what_those_below_report() -> None:
    lower = regime("LOW", {"levels": ["department", "commune", "unit"]})
    upper = regime("HIGH", {"levels": ["province"], "report_kind": "consolidation"})
    assert found(lower, upper) == found(upper, lower) == []


@pytest.mark.parametrize("kind", ["own", "consolidation"])
@pytest.mark.parametrize("other_kind", ["own", "consolidation"])
def test_one_regime_covers_an_agency_whatever_the_kinds_of_report(kind: str, other_kind: str) -> None:
    (said,) = found(regime("ONE", those("H26", kind=kind)), regime("TWO", those("H26", kind=other_kind)))
    assert said.startswith("TWO and ONE both have H26 report TEST_01 (monthly)")


def test_one_regime_may_ask_an_agency_for_both_kinds() -> None:
    assert found(regime("ONE", those("H26"), those("H26", kind="consolidation"))) == []


@pytest.mark.parametrize(("below", "above"), [("own", "consolidation"), ("consolidation", "own")])
def test_between_two_levels_only_own_figures_within_own_figures_clash(below: str, above: str) -> None:
    pair = regime("LOW", those("H26.18", kind=below)), regime("HIGH", those("H26", kind=above))
    assert found(*pair) == found(*reversed(pair)) == []


def test_within_one_regime_everybody_may_owe_figures_of_its_own() -> None:
    assert found(regime("ONE")) == []
    assert found(regime("ONE"), regime("ONE", valid_from="2026-01-01")) == []


def test_an_agency_that_begins_later_is_in_the_way_from_then_on() -> None:
    """The commune is there from 1 July 2025."""
    lower, upper = regime("LOW", {"levels": ["commune"]}), regime("HIGH", {"levels": ["province"]})
    (said,) = found(lower, upper)
    assert "H26.00004 lies under H26" in said
    ends_before = {**upper, "valid_to": "2025-06-30"}
    assert found(lower, ends_before) == found(ends_before, lower) == []


def test_an_agency_that_moves_under_another_is_in_the_way_from_then_on() -> None:
    moving = [*COUNTRY, the("H29.18", "department", parent="H26", valid_from="2026-01-01")]
    lower, upper = regime("LOW", those("H29.18")), regime("HIGH", those("H26"))
    assert found(lower, upper, among=COUNTRY) == []
    (said,) = found(lower, upper, among=moving)
    assert "H29.18 lies under H26" in said
    ended = {**upper, "valid_to": "2025-12-31"}
    assert found(lower, ended, among=moving) == []


def test_an_agency_that_has_been_closed_is_not_in_the_way() -> None:
    closed = [*COUNTRY, the("H40", "province", valid_to="2025-06-30")]
    pair = regime("ONE", those("H40"), valid_from="2025-07-01"), regime("TWO", those("H40"), valid_from="2025-07-01")
    assert found(*pair, among=closed) == []


def test_a_version_counts_only_until_the_next_replaces_it() -> None:
    """ONE first asks provinces, from 2026 only ministries; TWO takes the provinces over."""
    first = regime("ONE", {"levels": ["province"]})
    second = regime("ONE", {"levels": ["ministry"]}, valid_from="2026-01-01")
    other = regime("TWO", {"levels": ["province"]}, valid_from="2026-01-01")
    assert found(first, second, other) == []
    assert found(other, first, second) == []
    too_early = {**other, "valid_from": "2025-12-31"}
    assert len(found(first, second, too_early)) == 1


def test_every_version_of_a_changed_regime_is_looked_at() -> None:
    one = regime("ONE", those("H26"), valid_from="2026-01-01")
    later = regime("TWO", those("H26"), valid_from="2027-01-01")
    assert found(one, regime("TWO", those("H29")), changed=["TWO"]) == []
    assert len(found(one, regime("TWO", those("H29")), later, changed=["TWO"])) == 1


def test_the_bundled_regimes_are_in_nobodys_way() -> None:
    documents = [each.document for each in bundled_documents() if each.kind is DocumentKind.REGIME]
    bundled = [each.document for each in bundled_documents() if each.kind is DocumentKind.AGENCY]
    codes = [str(each["code"]) for each in documents]
    assert found(*documents, changed=codes, among=bundled) == []


CODES = ["H26", "H26.18", "H26.18.01", "H29", "H29.18"]
keys = st.sets(st.tuples(st.sampled_from(CODES), st.sampled_from(["own", "consolidation"])), min_size=1)


def asked(code: str, owed: set[tuple[str, str]]) -> dict[str, Any]:
    """A regime that asks agencies for reports of a kind."""
    return regime(code, *(those(agency, kind=kind) for agency, kind in sorted(owed)))


@given(keys, keys)
def test_regimes_clash_exactly_where_both_cover_an_agency_or_own_figures_lie_in_own_figures(
    one: set[tuple[str, str]], other: set[tuple[str, str]]
) -> None:
    pairs = [(a, b) for a, kind_a in one for b, kind_b in other if kind_a == kind_b == "own"]
    is_covered_twice = not {code for code, _ in one}.isdisjoint(code for code, _ in other)
    is_added_twice = any(a.startswith(f"{b}.") or b.startswith(f"{a}.") for a, b in pairs)
    assert bool(found(asked("ONE", one), asked("TWO", other))) is (is_covered_twice or is_added_twice)
