"""Who gets which patch: disjoint, complete, deterministic, close to the asked proportions."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbfed_site.contracts import BadInput
from notebook_federator.sitedata import Patch, Plan, SplitSettings, plan_split
from notebook_federator.sitedata.assignment import assign_groups

ANEW = SplitSettings(ignore_institutions=True, ignore_splits=True)


def patients(sizes: list[tuple[int, int]]) -> list[Patch]:
    """One patient for each pair (patches of class 0, patches of class 1)."""
    return [
        Patch(file=f"p{patient}_{label}_{number}.png", label=str(label), patient=f"p{patient}")
        for patient, counts in enumerate(sizes)
        for label, count in enumerate(counts)
        for number in range(count)
    ]


def places_of_groups(plan: Plan) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for place, group in plan.places.items():
        for patch in group:
            found[patch.patient or patch.file].add(place)
    return found


sizes = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(any), min_size=30, max_size=120)


@given(sizes=sizes, seed=st.integers(0, 2**32), sites=st.integers(1, 4))
@settings(max_examples=40)
def test_every_patch_goes_to_one_place_and_every_patient_stays_whole(
    sizes: list[tuple[int, int]], seed: int, sites: int
) -> None:
    patches = patients(sizes)
    plan = plan_split(patches, SplitSettings(seed=seed, sites=sites))
    placed = [patch for group in plan.places.values() for patch in group]
    assert Counter(placed) == Counter(patches)
    assert all(len(places) == 1 for places in places_of_groups(plan).values())
    assert len(plan.sites) == sites


@given(sizes=sizes, seed=st.integers(0, 100), order=st.randoms())
@settings(max_examples=20)
def test_same_seed_same_plan_whatever_the_order_of_the_manifest(
    sizes: list[tuple[int, int]], seed: int, order: object
) -> None:
    patches = patients(sizes)
    shuffled = list(patches)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = (plan_split(group, SplitSettings(seed=seed)) for group in (patches, shuffled))
    assert {place: set(group) for place, group in one.places.items()} == {
        place: set(group) for place, group in two.places.items()
    }


def test_another_seed_gives_another_plan() -> None:
    patches = patients([(number % 7 + 1, number % 5) for number in range(60)])
    plans = [plan_split(patches, SplitSettings(seed=seed)).places for seed in range(5)]
    assert len({tuple(tuple(group) for group in places.values()) for places in plans}) == 5


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=60),
    parts=st.lists(st.integers(1, 20), min_size=1, max_size=9),
    seed=st.integers(0, 100),
)
@settings(max_examples=100)
def test_one_class_exceeds_no_share_by_the_largest_group(
    sizes: list[int], parts: list[int], seed: int
) -> None:
    groups = {f"g{number}": {"x": size} for number, size in enumerate(sizes)}
    shares = {number: {"x": part / sum(parts)} for number, part in enumerate(parts)}
    chosen = assign_groups(groups, shares, seed)
    got = Counter[int]()
    for group, name in chosen.items():
        got[name] += groups[group]["x"]
    for name, share in shares.items():
        assert got[name] - share["x"] * sum(sizes) <= max(sizes) + 1e-9


@given(
    sizes=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(any), min_size=150, max_size=250),
    seed=st.integers(0, 100),
)
@settings(max_examples=20)
def test_many_patients_come_within_three_per_cent_of_a_class(sizes: list[tuple[int, int]], seed: int) -> None:
    patches = patients([*sizes, (1, 1)])
    totals = Counter(patch.label for patch in patches)
    plan = plan_split(patches, SplitSettings(seed=seed))
    for place, group in plan.places.items():
        counts = Counter(patch.label for patch in group)
        for label, wanted in plan.wanted[place].items():
            assert abs(counts[label] - wanted) <= max(0.03 * totals[label], 12)


@given(sizes=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)).filter(any), min_size=9, max_size=14))
@settings(max_examples=40)
def test_as_many_patients_as_sets_are_enough(sizes: list[tuple[int, int]]) -> None:
    plan = plan_split(patients(sizes), SplitSettings(sites=3))
    assert all(plan.places.values())


def test_three_sites_of_two_classes_follow_table_1() -> None:
    patches = patients([(1, 0)] * 1428 + [(0, 1)] * 519)
    plan = plan_split(patches, ANEW)
    got = {
        (site, label): sum(
            patch.label == label for (s, _), group in plan.places.items() if s == site for patch in group
        )
        for site in plan.sites
        for label in "01"
    }
    expected = {"site-1": (561, 155), "site-2": (469, 263), "site-3": (398, 101)}
    for site, (none, tumour) in expected.items():
        assert abs(got[site, "0"] - none) <= 2
        assert abs(got[site, "1"] - tumour) <= 2


def test_given_proportions_and_equal_ones() -> None:
    patches = patients([(1, 1)] * 400)
    two = plan_split(patches, SplitSettings(sites=2, proportions=[3, 1]))
    four = plan_split(patches, SplitSettings(sites=4))
    assert [sum(len(two.places[site, name]) for name in ("train", "val", "test")) for site in two.sites] == [
        600,
        200,
    ]
    assert all(
        abs(sum(len(four.places[site, name]) for name in ("train", "val", "test")) - 200) <= 2
        for site in four.sites
    )


def hospital(institution: str, split: str, number: int, rank: int) -> Patch:
    name = f"{institution}-{split}-{number}"
    return Patch(f"{name}.png", str(number % 2), name, institution, split, rank)  # type: ignore[arg-type]


def hospitals() -> list[Patch]:
    return [
        hospital(institution, split, number, 20 - number // 2)
        for institution in ("10", "9", "Sankt Georg")
        for split in ("train", "test")
        for number in range(40)
    ]


def test_institutions_and_splits_of_the_manifest_are_kept() -> None:
    plan = plan_split(hospitals(), SplitSettings())
    assert plan.sites == ("site-9", "site-10", "sankt-georg")
    for (site, name), group in plan.places.items():
        assert {patch.institution for patch in group} == {
            site.removeprefix("site-").replace("sankt-georg", "Sankt Georg")
        }
        assert {patch.set for patch in group} == {"test" if name == "test" else "train"}
    assert [len(plan.places["site-9", name]) for name in ("train", "val", "test")] == [32, 8, 40]


def test_institutions_and_splits_can_be_left_aside() -> None:
    plan = plan_split(hospitals(), ANEW)
    assert plan.sites == ("site-1", "site-2", "site-3")
    assert any(len({patch.institution for patch in group}) > 1 for group in plan.places.values())


def test_a_limit_keeps_the_lowest_ranks_of_each_class() -> None:
    whole = plan_split(hospitals(), SplitSettings())
    small = plan_split(hospitals(), SplitSettings(limit=3))
    for place, group in small.places.items():
        for label in "01":
            kept = sorted(patch.rank or 0 for patch in group if patch.label == label)
            everything = sorted(patch.rank or 0 for patch in whole.places[place] if patch.label == label)
            assert kept == everything[:3]


def test_a_limit_without_ranks_is_drawn_by_the_seed() -> None:
    patches = patients([(3, 3)] * 60)
    draws = [plan_split(patches, SplitSettings(limit=4, seed=seed)).places for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert all(Counter(p.label for p in group) == {"0": 4, "1": 4} for group in draws[0].values())


def test_notes_say_what_is_unknown_or_absent() -> None:
    no_patients = [Patch(f"{number}.png", "0") for number in range(50)]
    plan = plan_split([*no_patients, Patch("tumour.png", "1", "p")], SplitSettings())
    assert "50 of 51 patches name no patient" in plan.notes[0]
    assert len([note for note in plan.notes if "has no patch of class 1" in note]) == 8


@pytest.mark.parametrize(
    ("patches", "settings", "words"),
    [
        (patients([(5, 5)] * 8), SplitSettings(), "8 patients are too few"),
        (hospitals(), SplitSettings(sites=2), "names 3 institutions, not 2"),
        (hospitals(), SplitSettings(proportions=[1, 1, 1]), "proportions change nothing"),
        (patients([(1, 1)] * 90), SplitSettings(sites=2, proportions=[1, 1, 1]), "there must be 2 numbers"),
        (
            patients([(1, 1)] * 90),
            SplitSettings(proportions={"0": [1, 1, 1]}),
            "proportions of class 1 are []",
        ),
        (patients([(1, 1)] * 90), SplitSettings(sites=0), "0 sites cannot be made"),
        (patients([(1, 1)] * 90), SplitSettings(limit=0), "leaves nothing"),
        (patients([(1, 1)] * 90), SplitSettings(set_shares={"train": 1.0}), "greater than 0"),
        ([*hospitals(), Patch("x.png", "0", "x", "", "train")], SplitSettings(), "1 of 241 lines"),
        ([*hospitals(), Patch("x.png", "0", "9-test-1", "9", "train")], SplitSettings(), "two splits"),
        ([*hospitals(), Patch("x.png", "0", "9-test-1", "10", "test")], SplitSettings(), "two institutions"),
        (
            [hospital("A b", "train", 1, 1), hospital("a-B", "train", 1, 1)],
            SplitSettings(),
            "same folder name",
        ),
        ([hospital("1", "test", 1, 1)], SplitSettings(), "name no 'train'"),
    ],
)
def test_what_cannot_be_split_is_said(patches: list[Patch], settings: SplitSettings, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        plan_split(patches, settings)
    assert words in str(caught.value)
