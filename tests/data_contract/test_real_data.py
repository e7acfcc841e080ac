"""The drafted contract of real notebooks against real data: four hospitals, three institutions."""

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from nbfed_site.contracts import DataContract, SiteCard
from nbfed_site.fit import card_misfits, misfits
from nbfed_site.program import Program
from notebook_federator import check
from notebook_federator.drafting import Draft
from notebook_federator.sitedata import split
from notebook_federator.slicing import write
from notebook_federator.templates import write as write_example
from PIL import Image

Study = tuple[Draft, Callable[[Path], SiteCard]]


def study(notebook: Path, slice_folder: Path, **parameters: int) -> Study:
    """The notebook's draft, and what its own code finds in a folder."""
    checked = check(notebook)
    write(checked.slice, slice_folder)

    def card(folder: Path) -> SiteCard:
        given = {"data_path": str(folder), **parameters}
        return Program(slice_folder, given, None, lambda progress: None).prepare(0)

    return checked.draft, card


@pytest.fixture
def histology(tmp_path: Path) -> Study:
    return study(write_example(tmp_path / "histology.ipynb", "histology"), tmp_path / "slice")


@pytest.fixture
def institutions(tmp_path: Path, shared_data: Path) -> list[Path]:
    """30 patches of each class in each set of the three institutions."""
    idc = shared_data / "idc"
    made = split(idc / "manifest.csv", idc / "patches.tar", tmp_path / "sites", limit=30)
    return list(made.sites.values())


def test_each_institution_fits_and_one_with_other_folders_sizes_or_classes_does_not(
    histology: Study, institutions: list[Path]
) -> None:
    draft, card = histology
    assert len(institutions) == 3
    for folder in institutions:
        assert misfits(draft.contract, folder) == []
        assert misfits(replace(draft.contract, image_size=(50, 50)), folder) == []
        found = card(folder)
        assert found.classes["train"].keys() == {"0", "1"}
        assert card_misfits(draft.contract, found) == ()

    moved, scaled, poor = institutions
    (moved / "patches").rename(moved / "images")
    (moved / "val_client.csv").unlink()
    assert misfits(draft.contract, moved) == ["No file matches patches/*.", "No file matches val_client.csv."]
    some = sorted((scaled / "patches").iterdir())[:7]
    for path in some:
        Image.open(path).resize((48, 50)).save(path)
    count = len(list((scaled / "patches").iterdir()))
    asked = replace(draft.contract, image_size=(50, 50))
    assert misfits(asked, scaled) == [f"7 of {count} images are not 50 × 50 pixels."]
    rows = list(csv.reader((poor / "train_client.csv").open()))
    kept = [row for row in rows if row[1] != "1"][:9]
    with (poor / "train_client.csv").open("w", newline="") as file:
        csv.writer(file).writerows(kept)
    assert misfits(draft.contract, poor) == []
    assert card_misfits(draft.contract, card(poor)) == (
        "train: 8 samples, at least 10 needed.",
        "train, class 1: 0 samples, at least 1 needed.",
    )


COLUMNS = "age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num".split()  # noqa: SIM905
HEART = (
    """
    import os
    import numpy as np
    import pandas as pd
    import torch
    from sklearn.model_selection import train_test_split
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset
    torch.manual_seed(0)
    """,
    """
    FEATURES = ["age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak"]

    def load_data(data_path):
        table = pd.read_csv(os.path.join(data_path, "heart.csv"), na_values="?")
        table = table.drop(columns=["slope", "ca", "thal"]).dropna()
        x = table[FEATURES].to_numpy("float32")
        y = (table["num"] != 0).to_numpy("int64")
        stratify = y if min(np.bincount(y, minlength=2)) > 2 else None
        split = train_test_split(x, y, train_size=0.66, random_state=43, stratify=stratify)
        train_x, test_x, train_y, test_y = [torch.tensor(part) for part in split]
        trainloader = DataLoader(TensorDataset(train_x, train_y), batch_size=4, shuffle=True)
        testloader = DataLoader(TensorDataset(test_x, test_y), batch_size=4)
        return trainloader, testloader
    """,
)


@pytest.fixture
def heart(tmp_path: Path, write_notebook, rest: str) -> Study:
    model = rest.replace("nn.Linear(8, 4)", "nn.Linear(10, 4)")
    return study(write_notebook(tmp_path / "heart.ipynb", *HEART, model), tmp_path / "slice")


@pytest.fixture
def hospitals(tmp_path: Path, shared_data: Path) -> dict[str, Path]:
    """A folder with heart.csv for each of the four hospitals."""
    found = {}
    for name in ("cleveland", "hungarian", "switzerland", "va"):
        found[name] = tmp_path / "hospitals" / name
        found[name].mkdir(parents=True)
        rows = (shared_data / "heart-disease" / f"processed.{name}.data").read_text()
        (found[name] / "heart.csv").write_text(",".join(COLUMNS) + "\n" + rows)
    return found


def test_four_hospitals_and_the_one_without_a_healthy_patient(
    heart: Study, hospitals: dict[str, Path]
) -> None:
    draft, card = heart
    features = ("slope", "ca", "thal", *COLUMNS[:10], "num")
    assert draft.contract == DataContract(
        ("heart.csv",), {"heart.csv": features}, ("0", "1"), None, {"train": 10, "test": 10}, 1
    )
    said = {}
    for name, folder in hospitals.items():
        assert misfits(draft.contract, folder) == []
        said[name] = card_misfits(draft.contract, card(folder))
    assert said.pop("switzerland") == ("train, class 0: 0 samples, at least 1 needed.",)
    assert said == {"cleveland": (), "hungarian": (), "va": ()}


def test_a_hospital_s_table_that_lacks_columns_is_unfit(heart: Study, hospitals: dict[str, Path]) -> None:
    draft, _ = heart
    table = hospitals["va"] / "heart.csv"
    text = table.read_text()
    table.write_text(text.replace("chol", "cholesterol").replace("thal,", "thalium,", 1))
    assert misfits(draft.contract, hospitals["va"]) == [
        "heart.csv: 1 of 1 tables lack declared columns: thal, chol."
    ]
    table.write_text("\ufeff" + text.replace(",", ";"))
    assert misfits(draft.contract, hospitals["va"]) == []
    shutil.rmtree(hospitals["va"])
    assert misfits(draft.contract, hospitals["va"]) == ["There is no data folder."]
