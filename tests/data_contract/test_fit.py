"""What a site says of data that misses the contract, and what it never says."""

import gzip
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbfed_site.contracts import ArraySpec, DataContract, SiteCard, plain, rebuilt
from nbfed_site.fit import card_misfits, misfits
from nbfed_site.imagesize import image_size
from PIL import Image


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def image(path: Path, width: int, height: int, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path, **options)
    return path


def card(train: dict[str, int] | None = None, **samples: int) -> SiteCard:
    classes = {} if train is None else {"train": train}
    counted = {"train": sum(train.values())} if train else {}
    return SiteCard({**counted, **samples}, classes, {}, (ArraySpec("w", (1,), "float32"),))


def test_an_empty_contract_asks_for_nothing(tmp_path: Path) -> None:
    assert misfits(DataContract(), tmp_path) == []
    assert misfits(DataContract(), None) == []
    assert card_misfits(DataContract(), card({"3": 2})) == ()


def test_each_pattern_must_match_a_file(tmp_path: Path) -> None:
    write(tmp_path, {"train/a/1.png": "", "train/.hidden.csv": "", "empty.png/x.txt": ""})
    contract = DataContract(("train/*/*.png", "test/*/*.png", "labels.csv", "*.png", "**/*.csv"))
    assert misfits(contract, tmp_path) == [
        "No file matches test/*/*.png.",
        "No file matches labels.csv.",
        "No file matches *.png.",
    ]
    assert misfits(contract, None) == misfits(contract, tmp_path / "nowhere") == ["There is no data folder."]


@pytest.mark.parametrize(
    "content",
    [
        "age,sex,target\n63,1,0\n",
        "\ufeffage;sex;target\n63;1;0\n",
        '"age"\t"sex"\t"target"\n',
        'target|"sex"|age',
        '\r\n"age","a ""quoted"", and\nbroken name",sex,target\r\n1,2,3,4\r\n',
        gzip.compress(b"sex,age,target,more\n"),
    ],
)
def test_a_header_is_read_as_tables_are_written(tmp_path: Path, content: str | bytes) -> None:
    name = "a.csv" if isinstance(content, str) else "a.csv.gz"
    write(tmp_path, {name: content})
    assert misfits(DataContract(columns={"a.csv*": ("age", "sex", "target")}), tmp_path) == []
    assert misfits(DataContract(columns={"a.csv*": ("age", "bmi", "Sex")}), tmp_path) == [
        "a.csv*: 1 of 1 tables lack declared columns: bmi, Sex."
    ]


def test_tables_that_lack_columns_or_cannot_be_read_are_counted(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "1.csv": "age,sex\n",
            "2.csv": "age\n",
            "3.csv": "",
            "4.csv.gz": b"no gzip",
            "5.csv.gz": b"\x1f\x8b",
        },
    )
    contract = DataContract(columns={"*.csv*": ("age", "sex"), "none.csv": ("x",)})
    assert misfits(contract, tmp_path) == [
        "No file matches none.csv.",
        "*.csv*: 2 of 5 tables cannot be read.",
        "*.csv*: 2 of 5 tables lack declared columns: age, sex.",
    ]


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "tif", "tiff", "bmp"])
@pytest.mark.parametrize(("width", "height"), [(50, 50), (1, 70_000), (300, 7)])
def test_the_size_of_an_image_is_the_one_that_pillow_reads(
    tmp_path: Path, suffix: str, width: int, height: int
) -> None:
    if suffix.startswith("jp"):
        height = min(height, 65_000)
    assert image_size(image(tmp_path / f"a.{suffix}", width, height)) == (width, height)


def test_images_written_in_other_ways(tmp_path: Path) -> None:
    progressive = image(tmp_path / "a.jpg", 31, 17, progressive=True, comment=b"\xff\xc0" * 900)
    assert image_size(progressive) == (31, 17)
    data = progressive.read_bytes()
    write(tmp_path, {"filled.jpg": data[:2] + b"\xff\xff" + data[2:]})
    assert image_size(tmp_path / "filled.jpg") == (31, 17)
    Image.new("I;16B", (9, 4)).save(tmp_path / "big-endian.tif")
    assert (tmp_path / "big-endian.tif").read_bytes()[:2] == b"MM"
    assert image_size(tmp_path / "big-endian.tif") == (9, 4)
    head = b"BM" + bytes(12)
    write(
        tmp_path,
        {"old.bmp": head + struct.pack("<IHH", 12, 6, 5), "down.bmp": head + struct.pack("<Iii", 40, 6, -5)},
    )
    assert image_size(tmp_path / "old.bmp") == image_size(tmp_path / "down.bmp") == (6, 5)


@settings(max_examples=300)
@given(st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM", b"II*\0", b"MM\0*"]), st.binary())
def test_no_bytes_harm_the_reader(tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.png"
    path.write_bytes(head + rest)
    assert image_size(path) is None or len(image_size(path) or ()) == 2


def test_images_of_another_size_are_counted(tmp_path: Path) -> None:
    for number in range(3):
        image(tmp_path / f"patches/{number}.png", 50, 50)
    image(tmp_path / "patches/odd.JPG", 50, 49)
    image(tmp_path / "thumbnails/0.png", 8, 8)
    write(tmp_path, {"patches/broken.png": "no image", "patches/readme.txt": ""})
    size = (50, 50)
    assert misfits(DataContract(("patches/*",), image_size=size), tmp_path) == [
        "1 of 5 images are not 50 × 50 pixels."
    ]
    assert misfits(DataContract(("patches/?.png",), image_size=size), tmp_path) == []
    assert misfits(DataContract((), image_size=size), tmp_path) == ["2 of 6 images are not 50 × 50 pixels."]
    assert misfits(DataContract(("patches/broken.png",), image_size=size), tmp_path) == [
        "Of 1 images (PNG, JPEG, TIFF, BMP) none can be measured, and all must be 50 × 50 pixels."
    ]


def test_of_very_many_files_some_are_opened_from_first_to_last(tmp_path: Path) -> None:
    first = image(tmp_path / "0000.png", 10, 10).read_bytes()
    other = image(tmp_path / "4999.png", 9, 10).read_bytes()
    write(tmp_path, {f"{number:04}.png": first if number < 4000 else other for number in range(5000)})
    assert misfits(DataContract(image_size=(10, 10)), tmp_path) == [
        "400 of 2,000 images looked at (there are 5,000) are not 10 × 10 pixels."
    ]


def test_minimum_counts_and_labels() -> None:
    contract = DataContract(labels=("0", "1", "2"), minimum={"train": 10, "test": 5}, minimum_per_class=2)
    assert card_misfits(contract, card({"0": 4, "1": 4, "2": 4}, test=5)) == ()
    assert card_misfits(contract, card({"0": 3, "1": 1, "7": 5, "secret": 4}, test=4)) == (
        "test: 4 samples, at least 5 needed.",
        "train: 9 of 13 samples have a label that is not declared.",
        "train, class 1: 1 samples, at least 2 needed.",
        "train, class 2: 0 samples, at least 2 needed.",
    )
    assert card_misfits(contract, card(train=None)) == (
        "train: 0 samples, at least 10 needed.",
        "test: 0 samples, at least 5 needed.",
        "train: samples cannot be counted by class, and 3 classes are declared.",
    )


def test_one_class_is_unfit_only_where_classes_are_asked_for() -> None:
    one = card({"1": 30})
    assert card_misfits(DataContract(labels=("0", "1")), one) == ()
    assert card_misfits(DataContract(labels=("1",), minimum_per_class=1), one) == ()
    assert card_misfits(DataContract(minimum_per_class=1), one) == ("train: all samples are of one class.",)
    assert card_misfits(DataContract(minimum_per_class=3), card({"4": 2, "5": 9, "6": 1})) == (
        "train: 2 of 3 classes have fewer than 3 samples.",
    )


@pytest.mark.parametrize("pattern", ["", "/etc/passwd", "../x", "a/../../x", "**.csv", "."])
def test_a_pattern_cannot_leave_the_data_folder(pattern: str) -> None:
    with pytest.raises(ValueError, match="no pattern of files below"):
        DataContract((pattern,))
    with pytest.raises(ValueError, match="no pattern of files below"):
        rebuilt(DataContract, plain(DataContract()) | {"columns": {pattern: []}})


MARK = "q7z"  # in every name and value of the site's, in none of the contract's
names = st.text("abc", min_size=1, max_size=4).map(lambda text: MARK + text)
cells = st.text('ab ,;"\t\n', max_size=8).map(lambda text: text + MARK)


@settings(max_examples=150)
@given(
    tables=st.dictionaries(names, st.lists(st.lists(cells, max_size=4), max_size=4), max_size=4),
    images=st.dictionaries(names, st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=3),
    labels=st.dictionaries(names, st.integers(0, 20), max_size=4),
    declared=st.lists(st.sampled_from("0123"), unique=True).map(tuple),
    fewest=st.integers(0, 30),
)
def test_no_sentence_holds_a_file_name_a_value_or_a_strange_label(
    tmp_path_factory: pytest.TempPathFactory, tables, images, labels, declared, fewest
) -> None:
    folder = tmp_path_factory.mktemp("site")
    sign = random.Random(len(tables)).choice(",;\t")
    for name, rows in tables.items():
        text = "\n".join(sign.join(f'"{cell}"' for cell in row) for row in rows)
        write(folder, {f"{name}.csv": text, f"{name}.csv.gz": text})
    for name, (width, height) in images.items():
        image(folder / f"{name}.png", width, height)
    contract = DataContract(
        ("*.png", "*/x", "*.csv"), {"*.csv": ("age", "sex")}, declared, (3, 3), {"train": fewest}, fewest
    )
    said = [*misfits(contract, folder), *card_misfits(contract, card(labels, test=3))]
    assert MARK not in " ".join(said)
    assert "No file matches */x." in said
