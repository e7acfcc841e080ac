"""What is kept of a run, until when, and what is left after that."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from coordinator import data, nbfed
from notebook_federator.auditing import audit
from notebook_federator.federating import add_sites, expire, order
from notebook_federator.federation.current_run import Wish, pick_run
from notebook_federator.federation.federation_folder import FederationFolder
from notebook_federator.ledger import Ledger

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=366)
NOTHING = ("No run's time is over.",)


def run(folder: FederationFolder, number: int, finished: bool = True) -> Path:
    """A run with a model, a log and a ledger of its own; its folder."""
    made = folder.run(number)
    made.models.mkdir(parents=True)
    (made.models / "last.safetensors").write_bytes(b"model")
    made.events.write_bytes(b"{}")
    with folder.open_ledger() as above:
        above.append("run_started", run=number)
        entries, head = above.head()
        with Ledger(made.ledger, lambda: "", signer=folder.signer()) as ledger:
            facts = {"federation": "study", "key": folder.public_key.read_text()}
            ledger.append("opened", run=number, entries=entries, head=head, **facts)
            count, last = ledger.head()
        if finished:
            above.append("run_finished", run=number, entries=count, head=last)
    return made.path


@pytest.fixture
def study(federation: FederationFolder) -> FederationFolder:
    """A federation with one site and a finished run."""
    add_sites(federation, ["hospital-a"], NOW)
    run(federation, 1)
    return federation


def test_a_run_is_kept_until_its_time_is_over(study: FederationFolder) -> None:
    assert expire(study, NOW + timedelta(days=364)).done == NOTHING
    assert study.run(1).ledger.exists()
    (said,) = expire(study, LATER).done
    assert said.startswith("Run 1, which ended on ")
    assert not study.run(1).path.exists()
    assert expire(study, LATER).done == NOTHING
    with study.open_ledger() as ledger:
        assert [entry.body for entry in ledger.entries("run_expired")] == [{"run": 1}]


def test_the_records_fit_together_after_that(study: FederationFolder) -> None:
    expire(study, LATER)
    run(study, 2)
    found = audit(study.path)
    assert (len(found.checked), found.findings) == (2, ())
    study.run(1).path.mkdir(parents=True)
    assert "Run 1 was erased, says the federation's ledger" in audit(study.path).findings[0]


def test_what_goes_on_is_not_erased(study: FederationFolder) -> None:
    going_on = run(study, 2, finished=False)
    assert len(expire(study, LATER).done) == 1  # run 1
    order(study, "stop", NOW)
    order(study, "resume", NOW)
    assert expire(study, LATER).done == NOTHING
    assert going_on.exists()
    order(study, "stop", NOW)
    expire(study, LATER)
    assert not going_on.exists()


def test_a_run_that_was_erased_is_not_begun_again(study: FederationFolder) -> None:
    run(study, 2, finished=False)
    order(study, "stop", NOW)
    expire(study, LATER)
    order(study, "resume", NOW)
    assert pick_run(study.membership(), Wish()) is None
    assert pick_run(study.membership(), Wish(new=True)) == 3


def test_a_folder_that_somebody_removed_is_erased_on_the_record(study: FederationFolder) -> None:
    shutil.rmtree(study.run(1).path)
    assert "is missing" in audit(study.path).findings[0]
    expire(study, LATER)
    assert audit(study.path).findings == ()


def test_the_command_and_what_it_goes_by(study: FederationFolder) -> None:
    text = nbfed("federation", "list", cwd=study.path).stdout
    assert f"run 1 ended {NOW:%Y-%m-%d}; kept until {NOW + timedelta(days=365):%Y-%m-%d}" in text
    toml = study.settings_file
    toml.write_text(toml.read_text().replace("retention_days = 365", "retention_days = 1"))
    found: dict[str, Any] = data("federation", "expire", cwd=study.path)
    assert found["done"] == list(NOTHING)
    assert [item["expired"] for item in found["runs"]] == [False]
