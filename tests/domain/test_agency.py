"""Agencies: codes and their aliases, versions in time, and the trees they form."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from factories import agencies, an_agency
from gateway.catalog import bundled_agencies
from gateway.domain.agency import Agencies, Agency, normalise_code, suggest_code
from gateway.domain.agency_faults import agency_faults


@pytest.fixture(scope="module")
def bundled() -> Agencies:
    """The agencies shipped with the gateway."""
    return agencies(*({**each} for each in bundled_agencies()))


@pytest.mark.parametrize("code", ["H26", "G01", "H26.18", "H26.00004", "H26.18.A1.Z", "A00." + "1" * 31])
def test_a_code_follows_decision_20_2020(code: str) -> None:
    assert Agency.model_validate(an_agency(code=code, parent=None)).code == code


@pytest.mark.parametrize(
    "code",
    ["h26", "26", "H2", "H266", "H26.", ".H26", "H26..1", "H26.a", "H26 ", "H26\n", "Ｈ26", "A00." + "1" * 32, ""],
)
def test_any_other_code_is_refused(code: str) -> None:
    for place in ("code", "parent", "successor"):
        with pytest.raises(ValidationError):
            Agency.model_validate(an_agency(**{place: code}))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("000-00-24-H40", "000.00.24.H40"),
        ("H26_18", "H26.18"),
        ("H26/18", "H26.18"),
        ("H26 18", "H26.18"),
        ("  H26.18 ", "H26.18"),
    ],
)
def test_separators_are_normalised(text: str, code: str) -> None:
    assert normalise_code(text) == code


@pytest.mark.parametrize(
    ("legacy", "code"),
    [
        ("000-00-24-H40", "H40.24"),
        ("000.00.00.H40", "H40"),
        ("001.02.24.H40", "H40.24.02.001"),
        ("000.05.24.H40", "H40.24.05"),
        ("H40.24", None),
        ("00.00.24.H40", None),
        ("000.00.24.40", None),
        ("000.00.24.H40.1", None),
        ("", None),
    ],
)
def test_a_legacy_code_suggests_the_code_it_may_have_become(legacy: str, code: str | None) -> None:
    assert suggest_code(legacy) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("H26", "H26"),
        ("H26-18", "H26.18"),
        ("000.00.00.H38", "H38"),
        ("000-00-00-H38", "H38"),
        ("GSO:01", "H26"),
        ("GSO:15", "H38"),
        (" GSO:01 ", "H26"),
        ("GSO:00004", "H26.00004"),
        ("000.00.00.G13", "G13"),
        ("000.00.18.H26", None),
        ("000.00.00.H99", None),
        ("gso:01", None),
        ("h26", None),
        ("H26.99", None),
        ("", None),
    ],
)
def test_a_name_resolves_to_one_agency_or_none(bundled: Agencies, text: str, code: str | None) -> None:
    assert bundled.resolve(text) == code


def test_an_alias_is_found_whichever_way_its_separators_are_written() -> None:
    known = agencies(an_agency(parent=None, aliases=["000-00-24-H40", "HN 01"]))
    for text in ("000-00-24-H40", "000.00.24.H40", "000_00_24_H40", "HN 01", "HN-01"):
        assert known.resolve(text) == "H26.18.01", text


def test_a_closed_province_stands_until_its_last_day(bundled: Agencies) -> None:
    assert bundled.at("H40", date(2024, 12, 14)) is not None
    assert bundled.at("H40", date(2025, 6, 30)) is not None
    assert bundled.at("H40", date(2025, 7, 1)) is None
    closed = bundled.closed_before("H40", date(2026, 9, 14))
    assert closed is not None
    assert closed.successor == "H42"
    assert bundled.closed_before("H42", date(2026, 9, 14)) is None


def test_a_closed_ministry_names_its_successor(bundled: Agencies) -> None:
    closed = bundled.closed_before("G13", date(2026, 1, 1))
    assert closed is not None
    assert closed.successor == "G10"


FIRST = an_agency(parent="H26.18", valid_from="2025-01-01")
MOVED = an_agency(parent="H29.18", valid_from="2026-07-01")
TREE = (
    an_agency(code="H26", parent=None, valid_from=None),
    an_agency(code="H29", parent=None, valid_from=None),
    an_agency(code="H26.18", parent="H26", valid_from=None),
    an_agency(code="H29.18", parent="H29", valid_from=None),
)


@pytest.mark.parametrize(
    ("day", "parent"),
    [
        (date(2024, 12, 31), None),
        (date(2025, 1, 1), "H26.18"),
        (date(2026, 6, 30), "H26.18"),
        (date(2026, 7, 1), "H29.18"),
        (date(2099, 1, 1), "H29.18"),
    ],
)
def test_the_version_of_a_day_is_the_last_begun_by_then(day: date, parent: str | None) -> None:
    found = agencies(*TREE, MOVED, FIRST).at("H26.18.01", day)
    assert (found.parent if found else None) == parent


def test_a_version_that_ended_does_not_bring_back_the_one_before_it() -> None:
    known = agencies(an_agency(parent=None, valid_from=None), an_agency(parent=None, valid_to="2026-06-30"))
    assert known.at("H26.18.01", date(2026, 6, 30)) is not None
    assert known.at("H26.18.01", date(2026, 7, 1)) is None


def test_a_subtree_follows_parents_and_not_the_text_of_codes() -> None:
    known = agencies(*TREE, FIRST, MOVED)
    before, after = known.on(date(2026, 6, 30)), known.on(date(2026, 7, 1))
    assert sorted(before.subtree("H26")) == ["H26", "H26.18", "H26.18.01"]
    assert sorted(after.subtree("H26")) == ["H26", "H26.18"]
    assert sorted(after.subtree("H29")) == ["H26.18.01", "H29", "H29.18"]
    assert before.covers("H26", "H26.18.01")
    assert not after.covers("H26", "H26.18.01")
    assert after.covers("H26.18.01", "H26.18.01")
    assert not after.covers("H26.18.01", "H29")


def test_a_branch_is_the_child_an_agency_stands_in() -> None:
    tree = agencies(*TREE, FIRST).on(date(2026, 1, 1))
    assert tree.branch_of("H26.18.01", "H26") == "H26.18"
    assert tree.branch_of("H26.18.01", None) == "H26"
    assert tree.branch_of("H26.18", "H26") == "H26.18"


TODAY = date(2026, 7, 1)


def closed(code: str, successor: str | None, **changes: object) -> dict[str, object]:
    """A province closed at the end of June 2025."""
    return an_agency(
        code=code, parent=None, valid_from=None, valid_to="2025-06-30", successor=successor, level="province", **changes
    )


def open_(code: str, parent: str | None = None, **changes: object) -> dict[str, object]:
    """An agency that has always been there."""
    return an_agency(code=code, parent=parent, valid_from=None, **changes)


def parents(known: Agencies, day: date = TODAY) -> dict[str, str | None]:
    """The tree of the reorganised view."""
    return dict(known.reorganised(day).tree.parents)


def branches(known: Agencies, under: str | None, day: date = TODAY) -> dict[str, str]:
    """Where everyone counts in the reorganised view."""
    return dict(known.branches(known.reorganised(day), under))


def test_merged_provinces_count_as_their_successor_from_the_day_after_they_closed(bundled: Agencies) -> None:
    before, after = bundled.reorganised(date(2025, 6, 30)), bundled.reorganised(date(2025, 7, 1))
    assert [before.counts_as(code) for code in ("H25", "H40", "H42")] == ["H25", "H40", "H42"]
    assert [after.counts_as(code) for code in ("H25", "H40", "H42")] == ["H42", "H42", "H42"]
    for organisation, count in ((before, 63), (after, 34)):
        roots = {code for code, parent in organisation.tree.parents.items() if parent is None}
        assert len([code for code in roots if code.startswith("H")]) == count


def test_as_reported_everyone_counts_as_itself_under_its_parent_of_the_day(bundled: Agencies) -> None:
    organisation = bundled.as_reported(TODAY)
    assert organisation.counts_as("H40") == "H40"
    assert bundled.branches(organisation, None)["H40"] == "H40"
    assert set(bundled.branches(organisation, "H42")) == set(bundled.placed(TODAY).subtree("H42"))


def test_a_chain_of_successors_is_followed_to_its_end() -> None:
    known = agencies(
        closed("H01", "H02"),
        an_agency(code="H02", parent=None, valid_from=None, valid_to="2025-12-31", successor="H03"),
        open_("H03"),
    )
    assert known.counts_as("H01", date(2025, 6, 30)) == "H01"
    assert known.counts_as("H01", date(2025, 7, 1)) == "H02"
    assert known.counts_as("H01", date(2026, 1, 1)) == "H03"
    assert branches(known, None) == {"H01": "H03", "H02": "H03", "H03": "H03"}
    assert branches(known, None, date(2025, 7, 1)) == {"H01": "H02", "H02": "H02", "H03": "H03"}


def test_an_agency_that_was_closed_without_a_successor_stays_itself(bundled: Agencies) -> None:
    assert bundled.counts_as("G34", TODAY) == "G34"
    assert bundled.branches(bundled.reorganised(TODAY), None)["G34"] == "G34"


def test_a_code_in_force_is_itself_whatever_its_old_versions_name() -> None:
    reopened = an_agency(code="H01", parent=None, valid_from="2026-01-01")
    known = agencies(closed("H01", "H02"), reopened, open_("H02"))
    assert known.counts_as("H01", date(2025, 12, 31)) == "H02"
    assert known.counts_as("H01", date(2026, 1, 1)) == "H01"


def test_a_successor_counts_only_once_the_agency_is_closed() -> None:
    known = agencies(open_("H01", successor="H02"), open_("H02"), an_agency(code="H03", parent=None, successor="H02"))
    assert [known.counts_as(code, date(2025, 1, 1)) for code in ("H01", "H03")] == ["H01", "H03"]


def test_successors_that_lead_round_lead_nowhere() -> None:
    known = agencies(closed("H01", "H02"), closed("H02", "H03"), closed("H03", "H02"), closed("H04", "H04"))
    assert [known.counts_as(code, TODAY) for code in ("H01", "H02", "H03", "H04")] == ["H01", "H02", "H03", "H04"]


def test_what_a_closed_parent_held_stands_under_its_successor() -> None:
    known = agencies(
        closed("H40", "H42"), open_("H42"), open_("H40.05", "H40"), open_("H40.05.1", "H40.05"), open_("H42.05", "H42")
    )
    assert parents(known) == {"H42": None, "H40.05": "H42", "H40.05.1": "H40.05", "H42.05": "H42"}
    assert branches(known, "H42") == {
        "H40": "H42",
        "H42": "H42",
        "H40.05": "H40.05",
        "H40.05.1": "H40.05",
        "H42.05": "H42.05",
    }


def test_the_organisation_is_the_same_since_its_last_change(bundled: Agencies) -> None:
    assert [bundled.last_change(day) for day in (date(2025, 6, 30), date(2025, 7, 1), TODAY)] == [
        date(2025, 4, 14),
        date(2025, 7, 1),
        date(2025, 7, 1),
    ]
    assert agencies(open_("H01", valid_to="9999-12-31")).last_change(TODAY) == date.min
    now, since = bundled.reorganised(TODAY), bundled.reorganised(date(2025, 7, 1))
    assert (now.tree, now.successors) == (since.tree, since.successors)


def test_an_agency_that_was_moved_stands_under_its_present_parent() -> None:
    known = agencies(*TREE, FIRST, MOVED)
    assert branches(known, "H29") == {"H29": "H29", "H29.18": "H29.18", "H26.18.01": "H29.18"}
    assert "H26.18.01" not in branches(known, "H26")
    assert branches(known, "H26", date(2026, 6, 30))["H26.18.01"] == "H26.18"


def test_a_parent_merged_into_what_it_held_leaves_it_under_the_next_above() -> None:
    merged = {"valid_to": "2025-06-30"}
    known = agencies(
        open_("H26"),
        open_("H26.18", "H26", successor="H26.18.01", **merged),
        open_("H26.18.01", "H26.18.02"),
        open_("H26.18.02", "H26.18"),
        open_("H26.18.03", "H26.18"),
    )
    assert parents(known) == {"H26": None, "H26.18.01": "H26.18.02", "H26.18.02": "H26", "H26.18.03": "H26.18.01"}
    both = agencies(closed("H01", "H02.1"), closed("H02", "H01.1"), open_("H01.1", "H01"), open_("H02.1", "H02"))
    assert parents(both) == {"H01.1": "H02.1", "H02.1": None}


CODES = [f"H{number:02}" for number in range(1, 7)]
MERGED_AT_ANY_TIME = st.tuples(
    *(
        st.fixed_dictionaries(
            {
                "code": st.just(code),
                "parent": st.sampled_from([None, *CODES[:place]]),
                "valid_to": st.sampled_from([None, "2025-06-30", "2025-12-31"]),
                "successor": st.sampled_from([None, *CODES]),
            }
        )
        for place, code in enumerate(CODES)
    )
)


@given(documents=MERGED_AT_ANY_TIME, day=st.sampled_from([date(2025, 6, 30), date(2025, 7, 1), date(2026, 1, 1)]))
def test_whatever_is_merged_everyone_counts_once_and_in_one_place(
    documents: tuple[dict[str, object], ...], day: date
) -> None:
    known = agencies(*(an_agency(**{"valid_from": None, **each}) for each in documents))
    organisation = known.reorganised(day)
    tree = organisation.tree
    assert set(tree.parents) == {organisation.counts_as(code) for code in CODES}
    country = branches(known, None, day)
    assert set(country) == set(CODES)
    assert all(tree.parents[root] is None for root in country.values())
    for under in tree.parents:
        found = branches(known, under, day)
        below = {code for code in CODES if tree.covers(under, organisation.counts_as(code))}
        assert set(found) == below
        assert all(branch == under or tree.parents[branch] == under for branch in found.values())
        assert {code for code, branch in found.items() if branch == under} == {
            code for code in CODES if organisation.counts_as(code) == under
        }


@given(documents=MERGED_AT_ANY_TIME, day=st.sampled_from([date(2025, 6, 30), date(2025, 7, 1), date(2026, 1, 1)]))
def test_an_agency_reaches_whoever_may_be_counted_under_it(documents: tuple[dict[str, object], ...], day: date) -> None:
    known = agencies(*(an_agency(**{"valid_from": None, **each}) for each in documents))
    for root in CODES:
        reached = {known.codes[number] for number in known.reach(root)}
        assert reached.issuperset(known.placed(day).subtree(root))
        for organisation in (known.reorganised(day), known.as_reported(day)):
            assert reached.issuperset(known.branches(organisation, root) if root in organisation.tree.parents else ())


def test_a_province_reaches_what_was_ever_below_it_and_nothing_of_a_neighbour() -> None:
    known = agencies(
        open_("H26"),
        open_("H29"),
        open_("H26.18", "H26", valid_to="2025-06-30"),
        an_agency(code="H26.18", parent="H29", valid_from="2025-07-01"),
        open_("H26.19", "H26"),
        open_("H29.19", "H29"),
    )
    reached = {root: {known.codes[number] for number in known.reach(root)} for root in ("H26", "H29", "H26.19")}
    assert reached == {
        "H26": {"H26", "H26.18", "H26.19"},
        "H29": {"H29", "H26.18", "H29.19"},
        "H26.19": {"H26.19"},
    }


def faults(*documents: dict[str, object]) -> list[str]:
    """The codes of agencies that are faulty when taken together."""
    return [code for code, _ in agency_faults(agencies(*documents).versions)]


def test_the_bundled_agencies_fit_together(bundled: Agencies) -> None:
    assert agency_faults(bundled.versions) == []


def test_parents_successors_and_aliases_are_checked_all_at_once() -> None:
    assert sorted(
        faults(
            *TREE,
            an_agency(code="H26.18.01", parent="H26.99"),
            an_agency(code="H26.18.02", successor="H26.98"),
            an_agency(code="H26.18.03", aliases=["X"]),
            an_agency(code="H26.18.04", aliases=["X"]),
            an_agency(code="H26.18.05", aliases=["H29"]),
        )
    ) == ["H26.18.01", "H26.18.02", "H26.18.04", "H26.18.05"]


def test_an_alias_may_stay_through_the_versions_of_one_agency() -> None:
    assert faults(*TREE, {**FIRST, "aliases": ["X"]}, {**MOVED, "aliases": ["X"]}) == []


@pytest.mark.parametrize(
    "ring",
    [
        [("H26.18.01", "H26.18.01", None, None)],
        [("H26.18.01", "H26.18.02", None, None), ("H26.18.02", "H26.18.01", None, None)],
        [
            ("H26.18.01", "H26.18.02", None, None),
            ("H26.18.02", "H26.18", None, None),
            ("H26.18.02", "H26.18.01", "2030-01-01", None),
        ],
        [
            ("H26.18.01", "H26.18.02", None, "2026-06-30"),
            ("H26.18.02", "H26.18", None, None),
            ("H26.18.02", "H26.18.01", "2026-07-01", None),
        ],
        [
            ("H26.18.01", "H26.18.02", "2030-01-01", None),
            ("H26.18.02", "H26.18.01", None, "2029-12-31"),
        ],
    ],
    ids=["itself", "two", "from a later day", "through a closed agency", "through one that has not begun"],
)
def test_a_cycle_is_a_fault_on_whatever_day_it_closes(
    ring: list[tuple[str, str, str | None, str | None]],
) -> None:
    documents = [
        an_agency(code=code, parent=parent, valid_from=begin, valid_to=end) for code, parent, begin, end in ring
    ]
    assert len(faults(*TREE, *documents)) == 1


@pytest.mark.parametrize(
    "ring",
    [
        [("H01", "H01", "2025-06-30")],
        [("H01", "H02", "2025-06-30"), ("H02", "H01", "2025-06-30")],
        [("H01", "H02", "2025-06-30"), ("H02", "H03", "2026-06-30"), ("H03", "H01", "2025-12-31")],
    ],
    ids=["itself", "two", "once the last is closed"],
)
def test_agencies_that_were_merged_into_each_other_are_a_fault(ring: list[tuple[str, str, str]]) -> None:
    documents = [open_(code, successor=successor, valid_to=end) for code, successor, end in ring]
    assert len(faults(*documents)) == 1


def test_agencies_that_take_each_others_place_in_turn_are_no_cycle() -> None:
    assert (
        faults(
            open_("H01", successor="H02", valid_to="2024-12-31"),
            an_agency(code="H01", parent=None, valid_from="2026-01-01"),
            open_("H02", successor="H01", valid_to="2025-12-31"),
            open_("H03", successor="H01", valid_to="9999-12-31"),
        )
        == []
    )


def test_a_tree_that_turns_round_on_one_day_is_no_cycle() -> None:
    assert (
        faults(
            *TREE,
            an_agency(code="H26.18.01", parent="H26.18", valid_from=None),
            an_agency(code="H26.18.02", parent="H26.18.01", valid_from=None),
            an_agency(code="H26.18.01", parent="H26.18.02", valid_from="2026-07-01"),
            an_agency(code="H26.18.02", parent="H26.18", valid_from="2026-07-01"),
        )
        == []
    )
