"""`nbfed federation` as its users see it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from coordinator import built, data, nbfed, refused
from notebook_federator.federation.federation_folder import FederationFolder

SERVER = ("--server", "https://fed.example.org:9092")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a notebook whose images are built."""
    assert nbfed("new", "study.ipynb", "--example", "breast-cancer", cwd=tmp_path).returncode == 0
    built(tmp_path / "study.ipynb")
    return tmp_path


@pytest.fixture
def study(desk: Path) -> Path:
    """The same, with its federation."""
    data("federation", "init", "study.ipynb", *SERVER, "--quorum", "100%", cwd=desk)
    return desk


def kinds(desk: Path) -> list[str]:
    with FederationFolder(desk / "study-federation").open_ledger() as ledger:
        assert ledger.verify() == ledger.head()[0]
        return [entry.kind for entry in ledger.entries()]


def edit(notebook: Path, old: str, new: str) -> None:
    text = notebook.read_text()
    assert old in text
    notebook.write_text(text.replace(old, new))


def test_init_makes_a_folder_from_notebook_and_options(desk: Path) -> None:
    options = ("--quorum", "60%", "--deadline", "600", "--stragglers", "late", "--min-examples", "20")
    more = (
        "--strategy",
        "fedprox:proximal_mu=0.1",
        "--contact",
        "Dr Who",
        "--retention-days",
        "90",
        "--alone",
    )
    found = data("federation", "init", "study.ipynb", *SERVER, *options, *more, "--alone", cwd=desk)
    assert (found["name"], found["sites"]) == ("study", [])
    settings = FederationFolder(desk / "study-federation").settings()
    assert (settings.host, settings.port) == ("fed.example.org", 9092)
    assert settings.rounds.quorum == "60%"
    assert (settings.rounds.deadline, settings.rounds.stragglers) == (600.0, "late")
    assert (settings.rounds.alone, settings.rounds.rounds) == (True, 3)
    assert (settings.policy.min_examples, settings.policy.allow_messages) == (20, False)
    assert (settings.contact, settings.retention_days) == ("Dr Who", 90)
    assert settings.images.client.endswith("b" * 64)
    assert "sha256:" + "a" * 64 in (desk / "study-federation/compose.yml").read_text()
    assert kinds(desk) == ["created", "settings"]


def test_what_stands_in_the_way_of_init(desk: Path) -> None:
    init = ("federation", "init", "study.ipynb")
    for words, part in (
        (("--server", "http://fed.example.org"), "--server"),
        (("--server", "fed.example.org:9092"), "--server"),
        ((*SERVER, "--quorum", "none"), "--quorum"),
        ((*SERVER, "--quorum", "120%"), "--quorum"),
        ((*SERVER, "--deadline", "soon"), "--deadline"),
        ((*SERVER, "--strategy", "fedmagic"), "fedmagic"),
        ((*SERVER, "--strategy", "fedprox:mu=1"), "mu"),
        ((*SERVER, "--images", "absent.json"), "not built"),
        ((*SERVER, "--retention-days", "0"), "retention_days"),
    ):
        assert part in refused(*init, *words, cwd=desk)["message"], words
    assert not (desk / "study-federation").exists()


def test_a_notebook_that_changed_after_its_build_is_refused(desk: Path) -> None:
    edit(desk / "study.ipynb", "epochs", "epochs ")
    found = refused("federation", "init", "study.ipynb", *SERVER, cwd=desk)
    assert "has changed since its images were built" in found["message"]
    assert "nbfed build study.ipynb" in found["hint"]


def test_a_second_federation_does_not_replace_the_first(study: Path) -> None:
    before = (study / "study-federation/keys/authority.pem").read_bytes()
    found = refused("federation", "init", "study.ipynb", *SERVER, cwd=study)
    assert found["error_code"] == "NE405"
    assert (study / "study-federation/keys/authority.pem").read_bytes() == before


def test_sites_come_and_go_on_the_record(study: Path) -> None:
    data("federation", "add-site", "hospital-b", "hospital-a", cwd=study)
    data("federation", "add-site", "hospital-a", cwd=study)
    data("federation", "remove-site", "hospital-b", "--reason", "left the study", cwd=study)
    data("federation", "remove-site", "hospital-b", "--reason", "again", cwd=study)
    found = data("federation", "list", cwd=study)
    assert [(site["name"], site["state"], site["removed"]) for site in found["sites"]] == [
        ("hospital-a", "added", None),
        ("hospital-b", "removed", "left the study"),
    ]
    assert kinds(study) == ["created", "settings", "site_added", "site_added", "site_removed"]
    text = nbfed("federation", "list", cwd=study).stdout
    assert "hospital-b  removed" in text
    assert "left the study" in text
    assert tomllib.loads((study / "study-federation/federation.toml").read_text())["sites"] == ["hospital-a"]


def test_orders_are_recorded_once(study: Path) -> None:
    data("federation", "add-site", "hospital-a", cwd=study)
    for words in (("pause",), ("pause",), ("resume",), ("resume",), ("stop",), ("stop",)):
        data("federation", *words, cwd=study)
    waive = ("waive", "hospital-a", "--reason", "few scanners here")
    data("federation", *waive, cwd=study)
    found = data("federation", *waive, cwd=study)
    assert found["sites"][0]["waived"] == "few scanners here"
    assert (found["paused"], found["stopped"]) == (False, True)
    assert kinds(study)[3:] == ["ordered", "ordered", "ordered", "waived"]


def test_names_that_are_no_sites(study: Path) -> None:
    assert "'Hospital A'" in refused("federation", "add-site", "Hospital A", cwd=study)["message"]
    for words in (("waive", "x", "--reason", "y"), ("remove-site", "x", "--reason", "y")):
        assert "x is not a site" in refused("federation", *words, cwd=study)["message"]
    assert nbfed("federation", "remove-site", "x", cwd=study).returncode == 4  # without a reason


def test_edits_by_hand_are_recorded_and_comments_stay(study: Path) -> None:
    path = study / "study-federation/federation.toml"
    edit(path, "sites = []", 'sites = ["hospital-c"]')
    edit(path, 'quorum = "100%"', 'quorum = "50%"  # agreed by telephone')
    found = data("federation", "add-site", "hospital-d", cwd=study)
    assert found["recorded"] == ["rounds.quorum", "hospital-c"]
    assert "# agreed by telephone" in path.read_text()
    with FederationFolder(path.parent).open_ledger() as ledger:
        changed = [entry.body["changed"] for entry in ledger.entries("settings")][1:]
        added = [entry.body["site"] for entry in ledger.entries("site_added")]
    assert changed == [{"rounds.quorum": "50%"}]
    assert added == ["hospital-c", "hospital-d"]
    edit(path, '"hospital-c",', "")
    edit(path, 'quorum = "50%"', 'quorum = "60%"')
    text = nbfed("federation", "list", cwd=study).stdout
    assert text.startswith("Recorded what was edited in federation.toml: rounds.quorum, hospital-c.\n")
    found = data("federation", "list", cwd=study)
    assert found["recorded"] == []
    assert "federation.toml" in next(
        site["removed"] for site in found["sites"] if site["name"] == "hospital-c"
    )


def test_a_mistake_in_the_file_is_told_with_its_line(study: Path) -> None:
    path = study / "study-federation/federation.toml"
    edit(path, 'quorum = "100%"', "quorum = 0")
    line = path.read_text().splitlines().index("quorum = 0") + 1
    found = refused("federation", "list", cwd=study)
    assert f"line {line}" in found["message"]
    assert found["message"].startswith("rounds.quorum is 0.")


def test_renew_takes_the_images_of_the_changed_notebook(study: Path) -> None:
    data("federation", "add-site", "hospital-a", cwd=study)
    renew = ("federation", "renew", "study.ipynb")
    assert data(*renew, cwd=study)["done"] == ["The federation uses these images already."]
    edit(study / "study.ipynb", "epochs", "epochs ")
    assert "has changed" in refused(*renew, cwd=study)["message"]
    built(study / "study.ipynb", "e", "cu128")
    data(*renew, cwd=study)
    settings = FederationFolder(study / "study-federation").settings()
    assert settings.images.client.endswith("e" * 64)
    assert settings.images.gpu
    assert settings.sites == ("hospital-a",)
    manifest = FederationFolder(study / "study-federation").manifest()
    assert manifest.slice_digest == settings.images.slice_digest
    assert kinds(study)[-1] == "settings"


def test_another_address_gives_the_server_another_certificate(study: Path) -> None:
    certificate = study / "study-federation/keys/server.pem"
    before = certificate.read_bytes()
    data("federation", "list", cwd=study)
    assert certificate.read_bytes() == before
    edit(study / "study-federation/federation.toml", "fed.example.org", "10.0.0.7")
    data("federation", "list", cwd=study)
    assert certificate.read_bytes() != before


def test_where_the_federation_is_looked_for(study: Path) -> None:
    assert data("federation", "list", cwd=study / "study-federation")["federation"] == "."
    data("federation", "init", "study.ipynb", *SERVER, "--out", "other", "--name", "other", cwd=study)
    found = refused("federation", "list", cwd=study)
    assert "several federations" in found["message"]
    assert "other, study-federation" in found["hint"]
    assert data("federation", "list", "--folder", "other", cwd=study)["name"] == "other"
    (study / "empty").mkdir()
    assert "no federation here" in refused("federation", "list", cwd=study / "empty")["message"]


def test_the_folder_works_after_it_was_moved(study: Path, tmp_path: Path) -> None:
    data("federation", "add-site", "hospital-a", cwd=study)
    (study / "study-federation").rename(study / "on-the-server")
    assert data("federation", "list", cwd=study)["sites"][0]["name"] == "hospital-a"


def test_what_the_server_runs_needs_no_package_of_authors() -> None:
    code = (
        "import sys\n"
        "for name in ('tomli_w', 'click', 'nbformat', 'urllib3', 'rich'): sys.modules[name] = None\n"
        "import notebook_federator.federation.edits, notebook_federator.federation.joining\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
