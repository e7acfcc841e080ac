"""Who belongs to a federation after a sequence of entries, and who may join."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from nbfed_site.contracts import JoinRefused, canonical_json
from notebook_federator.federation.authority import Identity, requested_key
from notebook_federator.federation.joining import Admission, JoinRequest, Refusal, decide_join, read_request
from notebook_federator.federation.membership import Membership, fold, orders
from notebook_federator.ledger import Ledger

MakeKey = Callable[[], tuple[ec.EllipticCurvePrivateKey, bytes]]
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
SLICE = "sha256:" + "c" * 64
EXPIRES = "2030-02-01T00:00:00Z"


class Story:
    """A ledger that is told, and the membership that follows from it."""

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path / "ledger.sqlite", lambda: "")
        self.tell("created", name="study", server="https://x", key="", authority="")

    def tell(self, kind: str, /, **body: Any) -> Membership:
        self.ledger.append(kind, **body)
        return self.membership

    @property
    def membership(self) -> Membership:
        return fold(self.ledger.entries())

    def kit(self, site: str, serial: int) -> None:
        facts = {"serial": serial, "kit": f"kit-{serial}", "token": f"{serial:016x}", "expires": EXPIRES}
        self.tell("kit_issued", site=site, **facts)

    def join(self, site: str, serial: int, key: bytes) -> None:
        facts = {"kit": f"kit-{serial}", "token": f"{serial:016x}", "certificate": "1", "expires": EXPIRES}
        self.tell("site_joined", site=site, key=key.decode(), **facts)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    told = Story(tmp_path)
    for site in ("hospital-b", "hospital-a"):
        told.tell("site_added", site=site)
    told.kit("hospital-a", 1)
    return told


def identity(serial: int = 1, site: str = "hospital-a") -> Identity:
    return Identity("join", site, f"{serial:016x}", b"", "1")


def request(key: bytes = b"key-1", serial: int = 1, slice_digest: str = SLICE) -> JoinRequest:
    return JoinRequest(b"", key, f"kit-{serial}", slice_digest)


def decided(story: Story, who: Identity, asked: JoinRequest, now: datetime = NOW) -> Admission | Refusal:
    return decide_join(story.membership, who, asked, SLICE, now)


def refused(story: Story, who: Identity, asked: JoinRequest, now: datetime = NOW) -> tuple[int, str]:
    found = decided(story, who, asked, now)
    assert isinstance(found, Refusal)
    assert found.hint
    return found.status, found.what


def test_members_are_those_added_and_not_removed(story: Story) -> None:
    assert orders(story.membership).sites == ("hospital-a", "hospital-b")
    story.tell("site_removed", site="hospital-b", reason="left")
    assert orders(story.membership).sites == ("hospital-a",)
    assert story.membership.sites["hospital-b"].removed == "left"
    assert orders(story.tell("site_added", site="hospital-b")).sites == ("hospital-a", "hospital-b")


def test_a_fold_can_go_on_where_it_was(story: Story) -> None:
    before = story.membership
    story.join("hospital-a", 1, b"key-1")
    after = fold(story.ledger.entries(start=before.entries), before)
    assert after == story.membership
    assert after.entries == story.ledger.head()[0]


def test_waivers_and_orders(story: Story) -> None:
    story.tell("waived", site="hospital-a", reason="few scanners")
    assert orders(story.membership).waived == {"hospital-a": "few scanners"}
    paused = story.tell("ordered", order="pause")
    assert (orders(paused).paused, orders(paused).stopped) == (True, False)
    stopped = story.tell("ordered", order="stop")
    assert (stopped.paused, stopped.stopped) == (True, True)
    assert not story.tell("run_started", run=2).stopped
    resumed = story.tell("ordered", order="resume")
    assert (resumed.paused, resumed.stopped) == (False, False)
    assert story.tell("run_finished", run=2, entries=7, head="sha256:x").runs[2].entries == 7


def test_an_entry_about_a_stranger_makes_no_member(story: Story) -> None:
    story.tell("waived", site="hospital-z", reason="x")
    story.join("hospital-z", 1, b"key")
    assert "hospital-z" not in story.membership.sites


def test_adding_a_member_again_forgets_nothing(story: Story) -> None:
    story.join("hospital-a", 1, b"key-1")
    before = story.membership.sites
    assert story.tell("site_added", site="hospital-a").sites == before


def test_settings_that_kits_hold_make_kits_out_of_date(story: Story) -> None:
    story.tell("settings", digest="1", changed={"rounds.quorum": "2"})
    assert not story.membership.sites["hospital-a"].outdated
    found = story.tell("settings", digest="2", changed={"images.client": "x@sha256:y"})
    assert found.sites["hospital-a"].outdated
    assert not found.sites["hospital-b"].outdated  # it has no kit yet
    assert found.settings == {"rounds.quorum": "2", "images.client": "x@sha256:y"}
    story.kit("hospital-a", 2)
    assert not story.membership.sites["hospital-a"].outdated
    assert story.tell("settings", digest="3", changed={"rounds.quorum": None}).settings.keys() == {
        "images.client"
    }


def test_a_site_joins_with_the_newest_kit(story: Story) -> None:
    assert decided(story, identity(), request()) == Admission("hospital-a", b"key-1", "kit-1", f"{1:016x}")


def test_a_token_works_once_and_again_for_the_same_key(story: Story) -> None:
    story.join("hospital-a", 1, b"key-1")
    assert isinstance(decided(story, identity(), request()), Admission)
    status, what = refused(story, identity(), request(b"a thief's key"))
    assert status == 409
    assert "used before, with another key" in what


def test_the_thief_who_comes_first_is_noticed_when_the_site_comes(story: Story) -> None:
    story.join("hospital-a", 1, b"a thief's key")
    assert "somebody may have a copy" in refused(story, identity(), request())[1]
    story.kit("hospital-a", 2)
    assert "stale" in refused(story, identity(1), request(b"a thief's key"))[1]
    assert isinstance(decided(story, identity(2), request(serial=2)), Admission)


def test_a_stale_or_edited_kit_is_refused(story: Story) -> None:
    story.kit("hospital-a", 2)
    assert refused(story, identity(1), request(serial=1))[0] == 409
    assert "stale" in refused(story, identity(1), request(serial=1))[1]
    assert "not as it was made" in refused(story, identity(2), request(serial=1))[1]


def test_other_code_is_refused(story: Story) -> None:
    status, what = refused(story, identity(), request(slice_digest="sha256:other"))
    assert status == 426
    assert "other code" in what


def test_an_expired_token_is_refused_unless_it_was_used_before(story: Story) -> None:
    late = NOW + timedelta(days=31)
    assert f"expired at {EXPIRES}" in refused(story, identity(), request(), late)[1]
    story.join("hospital-a", 1, b"key-1")
    assert isinstance(decided(story, identity(), request(), late), Admission)


def test_removed_and_unknown_sites_are_refused(story: Story) -> None:
    assert "not a site" in refused(story, identity(site="hospital-z"), request())[1]
    story.tell("site_removed", site="hospital-a", reason="no ethics vote")
    assert "no ethics vote" in refused(story, identity(), request())[1]
    story.tell("site_added", site="hospital-a")
    assert "stale" in refused(story, identity(), request())[1]  # its old kit does not come back


def test_two_sites_do_not_share_a_key(story: Story) -> None:
    story.join("hospital-a", 1, b"key-1")
    story.kit("hospital-b", 1)
    what = refused(story, identity(site="hospital-b"), request())[1]
    assert "hospital-a already" in what


def test_a_join_request_as_it_comes_in(site_key: MakeKey) -> None:
    _, csr = site_key()
    whole = {"csr": csr.decode(), "kit": "k", "slice": "s", "versions": {}}
    found = read_request(canonical_json(whole))
    assert replace(found, csr=b"") == JoinRequest(b"", requested_key(csr), "k", "s")
    wrongs: list[bytes] = [b"", b"[]", b"{", b"[" * 100_000, canonical_json({**whole, "csr": "x"})]
    for wrong in [*wrongs, canonical_json({"csr": csr.decode()})]:
        with pytest.raises(JoinRefused):
            read_request(wrong)
