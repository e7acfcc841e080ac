"""Where wheels come from: flags, then `uv`'s variables, then pip's configuration."""

import sys
from pathlib import Path

import pytest
from nbfed_site.contracts import SettingsInvalid
from notebook_federator.locking import Sources
from notebook_federator.locking.sources import settings_of

INDEX, EXTRA, OWN = "https://localhost/default", "https://localhost/extra", "https://localhost/own"


@pytest.fixture(params=["pip", "no pip"])
def with_or_without_pip(request: pytest.FixtureRequest, unconfigured: pytest.MonkeyPatch) -> None:
    """pip's variables count whether pip is installed or not."""
    if request.param == "no pip":
        request.getfixturevalue("without_pip")


@pytest.mark.usefixtures("with_or_without_pip")
def test_pips_variables_are_read(tmp_path: Path) -> None:
    environ = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": INDEX,
        "PIP_EXTRA_INDEX_URL": f"{EXTRA} {OWN}",
        "PIP_FIND_LINKS": f"{tmp_path} /no/such/folder https://localhost/page.html",
        "PIP_CERT": "/authority.pem",
        "PIP_TRUSTED_HOST": "localhost",
    }
    found = settings_of(Sources(), environ)
    assert (found.default_index, found.indexes) == (INDEX, (EXTRA, OWN))
    assert (found.folders, found.pages) == ((tmp_path,), ("https://localhost/page.html",))
    assert found.environment == {"SSL_CERT_FILE": "/authority.pem"}
    assert found.trusted == ("localhost",)
    assert found.strategy == "unsafe-best-match"  # as pip itself would


def test_pips_own_file_is_read(tmp_path: Path) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        f"[global]\nindex-url = {INDEX}\nfind-links =\n    {tmp_path}\n    https://localhost/page\n"
        f"no-index = false\n[install]\nextra-index-url = {EXTRA}\n[freeze]\nindex-url = {OWN}\n"
    )
    found = settings_of(Sources(), {"PIP_CONFIG_FILE": str(configuration)})
    assert (found.default_index, found.indexes, found.no_index) == (INDEX, (EXTRA,), False)
    assert (found.folders, found.pages) == ((tmp_path,), ("https://localhost/page",))


def test_variables_of_pip_win_over_its_file(tmp_path: Path) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(f"[global]\nindex-url = {INDEX}\n")
    environ = {"PIP_CONFIG_FILE": str(configuration), "PIP_INDEX_URL": OWN}
    assert settings_of(Sources(), environ).default_index == OWN


@pytest.mark.usefixtures("with_or_without_pip")
def test_uvs_own_variables_win_over_pips(tmp_path: Path) -> None:
    environ = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": INDEX,
        "PIP_EXTRA_INDEX_URL": EXTRA,
        "PIP_FIND_LINKS": str(tmp_path),
        "SSL_CERT_FILE": "/mine.pem",
        "PIP_CERT": "/authority.pem",
    }
    indexes = settings_of(Sources(), environ | {"UV_DEFAULT_INDEX": OWN})
    assert (indexes.default_index, indexes.indexes, indexes.strategy) == (None, (), "")
    assert indexes.folders == (tmp_path,)
    assert indexes.beyond_pypi
    assert indexes.environment == {}
    folders = settings_of(Sources(), environ | {"UV_FIND_LINKS": "/elsewhere"})
    assert (folders.folders, folders.default_index) == ((), INDEX)


def test_flags_win(tmp_path: Path, unconfigured: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    unconfigured.chdir(tmp_path)
    environ = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": INDEX,
        "PIP_EXTRA_INDEX_URL": EXTRA,
        "PIP_FIND_LINKS": str(tmp_path),
        "PIP_NO_INDEX": "1",
    }
    found = settings_of(Sources(wheels=("mine",), indexes=(OWN,), default_index=OWN), environ)
    assert (found.default_index, found.indexes, found.no_index) == (OWN, (OWN, EXTRA), False)
    assert found.folders == (tmp_path / "mine", tmp_path)
    assert found.strategy == "unsafe-first-match"
    assert settings_of(Sources(), environ).no_index


def test_a_folder_that_is_not_there_is_said() -> None:
    with pytest.raises(SettingsInvalid, match="no such folder") as caught:
        settings_of(Sources(wheels=("/no/such/folder",)), {"PIP_CONFIG_FILE": "/dev/null"})
    assert caught.value.where == "/no/such/folder"


@pytest.mark.skipif(sys.platform == "win32", reason="paths are written in another way there")
def test_folders_may_be_given_as_urls(tmp_path: Path) -> None:
    folder = tmp_path / "with blank"
    folder.mkdir()
    found = settings_of(Sources(wheels=(folder.as_uri(),)), {"PIP_CONFIG_FILE": "/dev/null"})
    assert (found.folders, found.pages) == ((folder,), ())
