"""federation.toml: read whole, and each mistake told with its key and line."""

from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w
from nbfed_site.contracts import DataContract, FederationUnreadable, ReleasePolicy
from notebook_federator.federation import settings_editing
from notebook_federator.federation.federation_settings import RoundWishes, plain
from notebook_federator.federation.federation_toml import parse_settings, read_settings
from small_study import SETTINGS

FULL = replace(
    SETTINGS,
    sites=("hospital-a", "hospital-b"),
    rounds=RoundWishes(5, 2, "60%", 90.0, 3600.0, "late", "fedprox:proximal_mu=0.1", 7, "bf16", True),
    policy=ReleasePolicy(20, ("loss",), 1_000_000, True),
    data=DataContract(("train/*.png",), {"a.csv": ("x",)}, ("0", "1"), (50, 40), {"train": 10}, 2),
    parameters={"lr": 0.1, "name": "x", "deep": True},
    retention_days=90,
    contact="Dr Who",
)
TEXT = tomli_w.dumps(plain(FULL))


@pytest.mark.parametrize("settings", [SETTINGS, FULL])
def test_what_is_written_is_read_again(settings: object) -> None:
    text = settings_editing.text_of(settings)  # type: ignore[arg-type]
    assert parse_settings(text, Path("federation.toml")) == settings


@pytest.mark.parametrize(
    ("old", "new", "said", "hint"),
    [
        ('name = "study"', 'name = ""', "name is ''", "1 to 64"),
        ('name = "study"\n', "", "name is missing", "1 to 64"),
        ("https://localhost:9092", "http://localhost:9092", "server is 'http", "https://HOST:PORT"),
        ("https://localhost:9092", "https://u:p@localhost:9092", "server is", "https://HOST:PORT"),
        ("https://localhost:9092", "https://localhost:99999", "server is", "https://HOST:PORT"),
        ('"hospital-b"', '"Hospital B"', "sites is", "hospital-a"),
        ('"hospital-b"', '"hospital-a"', "sites is", "each once"),
        ("retention_days = 90", "retention_days = 0", "retention_days is 0", "days"),
        ("retention_days = 90", "retention = 90", "retention has no meaning", "retention_days"),
        ("@sha256:" + "b" * 64, ":latest", "images.client is", "sha256"),
        ('quorum = "60%"', 'quorum = "0%"', "rounds.quorum is '0%'", "60%"),
        ('quorum = "60%"', "quorum = true", "rounds.quorum is True", "60%"),
        ("deadline = 90.0", "deadline = -1", "rounds.deadline is -1", "auto"),
        ("deadline = 90.0", "deadline = nan", "rounds.deadline is nan", "auto"),
        ('stragglers = "late"', 'stragglers = "shoot"', "rounds.stragglers is 'shoot'", "drop"),
        ("seed = 7", 'seed = "7"', "rounds.seed is '7'", "whole number"),
        ("seed = 7", "sead = 7", "rounds.sead has no meaning", "Did you mean seed?"),
        ("alone = true", "alone = 1", "rounds.alone is 1", "true or false"),
        ("min_examples = 20", "min_examples = 0", "policy.min_examples is 0", "1 or more"),
        ("allow_messages = true", 'allow_messages = "no"', "policy.allow_messages", "true or false"),
        ("minimum_per_class = 2", "minimum_per_class = -2", "data.minimum_per_class is -2", "number"),
        ("lr = 0.1", "lr = [1]", "parameters is", "NAME = VALUE"),
        ("[rounds]", "[round]", "round has no meaning", "Did you mean rounds?"),
    ],
)
def test_a_mistake_is_told_with_key_line_and_what_to_write(
    old: str, new: str, said: str, hint: str, tmp_path: Path
) -> None:
    assert old in TEXT
    path = tmp_path / "federation.toml"
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(FederationUnreadable) as caught:
        read_settings(path)
    assert caught.value.what.startswith(said)
    assert hint in caught.value.hint
    if new and said.split(maxsplit=1)[0] not in ("sites", "parameters"):
        line = path.read_text()[: path.read_text().index(new)].count("\n") + 1
        assert caught.value.where == f"{path}, line {line}"


def test_a_file_that_is_no_toml_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "federation.toml"
    for content, said in ((b"name = \n", "line 1"), (b"\xff\xfe", "cannot be read")):
        path.write_bytes(content)
        with pytest.raises(FederationUnreadable, match=said):
            read_settings(path)
    path.unlink()
    with pytest.raises(FederationUnreadable, match="No such file"):
        read_settings(path)


@pytest.mark.parametrize(
    ("server", "host", "port"),
    [
        ("https://fed.example.org", "fed.example.org", 443),
        ("https://10.0.0.1:9092", "10.0.0.1", 9092),
        ("https://[2001:db8::1]:9092", "2001:db8::1", 9092),
    ],
)
def test_addresses(server: str, host: str, port: int) -> None:
    found = parse_settings(TEXT.replace("https://localhost:9092", server), Path("federation.toml"))
    assert (found.server, found.host, found.port) == (server, host, port)
