"""Site folders on disk: from folders and archives, copied or linked, or refused without a trace."""

import csv
import io
import json
import tarfile
from pathlib import Path

import pytest
from nbfed_site.contracts import BadInput
from notebook_federator.sitedata import split

PATIENTS = 45


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """45 patients with one patch of each class, under images/."""
    path = tmp_path / "manifest.csv"
    lines = [f"images/p{n}_{label}.png,{label},p{n}" for n in range(PATIENTS) for label in (0, 1)]
    path.write_text("file,label,patient\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture
def images(tmp_path: Path, manifest: Path) -> Path:
    folder = tmp_path / "collection"
    (folder / "images").mkdir(parents=True)
    with manifest.open(newline="") as file:
        for row in csv.DictReader(file):
            (folder / row["file"]).write_bytes(row["file"].encode())
    return folder


def archive_of(folder: Path, mode: str = "w") -> Path:
    path = folder.with_suffix(".tar")
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(folder / "images", "./images")
    return path


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_site_folder_holds_its_own_patches(manifest: Path, images: Path, tmp_path: Path) -> None:
    summary = split(manifest, images, tmp_path / "sites", seed=3)
    assert list(summary.sites) == ["site-1", "site-2", "site-3"]
    everywhere = []
    for folder in summary.sites.values():
        named = [
            row for name in ("train_client", "val_client", "test") for row in rows(folder / f"{name}.csv")
        ]
        assert {row["images"] for row in named} == {path.name for path in (folder / "patches").iterdir()}
        assert all(
            (folder / "patches" / row["images"]).read_text() == f"images/{row['images']}" for row in named
        )
        assert all(row["images"].endswith(f"_{row['GT']}.png") for row in named)
        everywhere += [row["images"] for row in named]
    assert len(everywhere) == len(set(everywhere)) == 2 * PATIENTS


def test_the_summary_counts_what_is_on_disk(manifest: Path, images: Path, tmp_path: Path) -> None:
    summary = split(manifest, images, tmp_path / "sites")
    record = json.loads((tmp_path / "sites" / "split.json").read_text())
    assert record["sites"] == summary.to_json()["sites"]
    assert str(tmp_path) not in json.dumps(record)
    names = {"train": "train_client.csv", "val": "val_client.csv", "test": "test.csv"}
    for row in summary.rows:
        on_disk = rows(summary.sites[row.site] / names[row.set])
        assert {label: sum(line["GT"] == label for line in on_disk) for label in "01"} == row.counts
        assert row.patients == len({line["images"].split("_")[0] for line in on_disk})
    assert summary.text().splitlines()[1].split() == ["site", "set", "class", "0", "class", "1", "patients"]
    assert len(summary.text().splitlines()) == 11


def test_folder_archive_and_links_give_the_same(manifest: Path, images: Path, tmp_path: Path) -> None:
    split(manifest, images, tmp_path / "a")
    split(manifest, archive_of(images), tmp_path / "b")
    split(manifest, archive_of(images, "w:gz"), tmp_path / "c")
    linked = split(manifest, images, tmp_path / "d", links=True)
    assert (
        listing(tmp_path / "a")
        == listing(tmp_path / "b")
        == listing(tmp_path / "c")
        == listing(tmp_path / "d")
    )
    patch = next((linked.sites["site-1"] / "patches").iterdir())
    assert patch.samefile(images / "images" / patch.name)


def test_equal_names_in_different_folders_stay_apart(tmp_path: Path) -> None:
    lines = [f"p{n}/patch.png,{n % 2},p{n}" for n in range(30)]
    (tmp_path / "manifest.csv").write_text("file,label,patient\n" + "\n".join(lines))
    for number in range(30):
        (tmp_path / f"p{number}").mkdir()
        (tmp_path / f"p{number}" / "patch.png").write_text(str(number))
    summary = split(tmp_path / "manifest.csv", tmp_path, tmp_path / "sites", sites=1)
    patches = summary.sites["site-1"] / "patches"
    assert {path.name: path.read_text() for path in patches.iterdir()} == {
        f"p{n}_patch.png": str(n) for n in range(30)
    }


def test_a_destination_in_use_is_left_alone(manifest: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not empty"):
        split(manifest, images, images)
    assert not (images / "split.json").exists()


def test_a_destination_that_cannot_be_made_is_said(manifest: Path, images: Path) -> None:
    with pytest.raises(BadInput, match="cannot be made: Not a directory"):
        split(manifest, images, manifest / "sites")


def test_a_missing_image_leaves_nothing_behind(manifest: Path, images: Path, tmp_path: Path) -> None:
    (images / "images" / "p7_1.png").unlink()
    for source in (images, archive_of(images)):
        with pytest.raises(BadInput, match="1 images of the manifest are missing") as caught:
            split(manifest, source, tmp_path / "sites")
        assert "p7_1.png" in caught.value.where
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.csv", "collection", "collection.tar"}


def test_files_outside_the_images_are_never_read(images: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_text("secret")
    (images / "link.png").symlink_to(tmp_path / "secret.png")
    for stray in ("../secret.png", str(tmp_path / "secret.png"), "link.png"):
        lines = [f"images/p{n}_0.png,0,p{n}" for n in range(12)]
        (tmp_path / "stray.csv").write_text("\n".join(["file,label,patient", *lines, f"{stray},1,p99"]))
        with pytest.raises(BadInput, match="outside the folder"):
            split(tmp_path / "stray.csv", images, tmp_path / "sites", sites=1)


def test_archive_members_never_choose_where_they_are_written(
    manifest: Path, images: Path, tmp_path: Path
) -> None:
    path = archive_of(images)
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("../escaped.png")
        member.size = 2
        archive.addfile(member, io.BytesIO(b"no"))
    split(manifest, path, tmp_path / "deep" / "sites")
    assert not list(tmp_path.rglob("escaped.png"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column 'file' and no column 'label'"),
        ("image,label\na.png,1\n", "no column 'file'"),
        ("file,label\n", "lists no patches"),
        ("file,label\na.png,\n", "has no label"),
        ("file,label\na.png,1\na.png,0\n", "stands in the manifest twice"),
        ("file,label,split\na.png,1,holdout\n", "'holdout' is not a split"),
        ("file,label,rank\na.png,1,first\n", "'first' is not a number"),
        ("file,label\n\x00\xff", "cannot be read as CSV"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_explained(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput) as caught:
        split(path, tmp_path, tmp_path / "sites")
    assert words in str(caught.value)


def test_missing_sources_are_named(manifest: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such manifest"):
        split(tmp_path / "absent.csv", images, tmp_path / "sites")
    with pytest.raises(BadInput, match="no images here"):
        split(manifest, tmp_path / "absent", tmp_path / "sites")
    with pytest.raises(BadInput, match="neither a folder nor a tar"):
        split(manifest, manifest, tmp_path / "sites")
    with pytest.raises(BadInput, match="Links need a folder"):
        split(manifest, archive_of(images), tmp_path / "sites", links=True)


def test_spreadsheet_exports_are_read(tmp_path: Path, images: Path) -> None:
    lines = [f" images/p{n}_{n % 2}.png , {n % 2} ,p{n},kept" for n in range(12)]
    text = "\ufefffile, label ,patient,remark\r\n" + "\r\n".join(lines) + "\r\n"
    (tmp_path / "export.csv").write_text(text, encoding="utf-8")
    summary = split(tmp_path / "export.csv", images, tmp_path / "sites", sites=1)
    assert sum(sum(row.counts.values()) for row in summary.rows) == 12


def test_real_patches_keep_their_institutions(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "idc"
    summary = split(source / "manifest.csv", source / "patches.tar", tmp_path / "sites", limit=12)
    assert all(row.counts == {"0": 12, "1": 12} for row in summary.rows)
    patients = {
        (row.site, row.set): {line["images"].split("_")[0] for line in rows(summary.sites[row.site] / name)}
        for row in summary.rows
        for name in ({"train": "train_client.csv", "val": "val_client.csv", "test": "test.csv"}[row.set],)
    }
    assert len(set().union(*patients.values())) == sum(len(group) for group in patients.values())


def test_real_patients_come_close_to_table_1(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "idc"
    summary = split(
        source / "manifest.csv",
        source / "patches.tar",
        tmp_path / "sites",
        ignore_institutions=True,
        ignore_splits=True,
    )
    for row in summary.rows:
        for label, wanted in row.wanted.items():
            assert abs(row.counts[label] - wanted) <= 12
