"""Contracts drafted from notebooks: what the code tells is in them, what it does not tell is said."""

from pathlib import Path

import pytest
from notebook_federator import check
from notebook_federator.drafting import draft_contract

DATASET = """
class Patches(Dataset):
    def __init__(self, folder, names, transform=None):
        self.folder, self.names, self.transform = folder, names, transform
    def __len__(self):
        return len(self.names)
    def __getitem__(self, index):
        image = Image.open(os.path.join(self.folder, self.names[index]))
        return torch.tensor(np.array(image)).reshape(3, 40, 60), 0
"""


@pytest.mark.parametrize(
    ("body", "files"),
    [
        ('pd.read_csv(os.path.join(data_path, "train", "x.csv"))', ["train/x.csv"]),
        ('pd.read_csv(join(data_path, "train/x.csv"))', ["train/x.csv"]),
        ('pd.read_csv(Path(data_path) / "train" / "x.csv")', ["train/x.csv"]),
        ('pd.read_csv(Path(data_path, "train").joinpath("x.csv"))', ["train/x.csv"]),
        ('pd.read_csv(f"{data_path}/train/x.csv")', ["train/x.csv"]),
        ('pd.read_csv("%s/%s.csv" % (data_path, "x"))', ["x.csv"]),
        ('pd.read_csv("{}/{}".format(data_path, "x.csv"))', ["x.csv"]),
        ('pd.read_csv(data_path + "/x[1].csv")', ["x[[]1].csv"]),
        ('base = data_path + "/ward"\nopen(base + "/x.txt").read()', ["ward/x.txt"]),
        ('np.load(os.path.join(data_path, "x.npy"))', ["x.npy"]),
        ('torch.load(Path(data_path).resolve() / "x.pt")', ["x.pt"]),
        ('with open(Path(data_path) / "x.json") as file:\n    file.read()', ["x.json"]),
        ('(Path(data_path) / "x.json").read_text()', ["x.json"]),
        ('glob.glob(os.path.join(data_path, "train", "*", "*.png"))', ["train/*/*.png"]),
        ('glob.glob(data_path + "/**/*.png", recursive=True)', ["**/*.png"]),
        ('sorted(Path(data_path, "images").glob("*.tif"))', ["images/*.tif"]),
        ('list(Path(data_path).rglob("*.png"))', ["**/*.png"]),
        ('ImageFolder(os.path.join(data_path, "train"))', ["train/*/*"]),
        ('[np.load(join(data_path, "x", f)) for f in os.listdir(join(data_path, "x"))]', ["x/*"]),
        (
            'for f in os.listdir(data_path):\n  if f.endswith(".npy"):\n    np.load(join(data_path, f))',
            ["*.npy"],
        ),
        ('for name in ["a", "b"]:\n    np.load(f"{data_path}/{name}.npy")', ["a.npy", "b.npy"]),
        ('sets = {s: np.load(f"{data_path}/{s}.npz") for s in ("train", "test")}', ["train.npz", "test.npz"]),
        (
            "for root, _, names in os.walk(data_path):\n    for n in names:\n        np.load(join(root, n))",
            ["**/*"],
        ),
        (
            'for i in range(3):\n    np.load(f"{data_path}/fold_{i}.npy")',
            ["fold_0.npy", "fold_1.npy", "fold_2.npy"],
        ),
        ('Path(data_path, "log.txt").open("w"); open(join(data_path, "x"), mode="a")', []),
        ('pd.read_csv("somewhere/else.csv"); np.load(Path(data_path) / ".." / "x.npy")', []),
        ('read = lambda name: np.load(Path(data_path) / name)\nread("x.npy")', ["x.npy"]),
        ('pd.Series(["a"]).map(lambda f: Image.open(join(data_path, "images", f)))', ["images/*"]),
    ],
)
def test_files_below_the_data_folder(draft, body: str, files: list[str]) -> None:
    assert list(draft(body).contract.files) == files


def test_files_read_in_functions_and_classes_of_the_notebook(draft) -> None:
    body = """
    classes = {name: number for number, name in enumerate(CLASS_NAMES)}
    names = []
    for name in CLASS_NAMES:
        names += glob.glob(os.path.join(data_path, "train", name, "*.png"))
    Patches(os.path.join(data_path, "train"), names)
    DataLoader(Patches(Path(data_path) / "test", os.listdir(Path(data_path) / "test")))
    """
    found = draft(body, DATASET + '\nCLASS_NAMES = ["benign", "malignant"]').contract
    assert found.files == ("train/benign/*.png", "train/malignant/*.png", "train/*", "test/*")
    assert found.labels == ("0", "1")


def test_what_is_read_under_a_condition_is_said_and_not_asked_for(draft) -> None:
    body = """
    extra = os.path.join(data_path, "extra.csv")
    if os.path.exists(extra):
        pd.read_csv(extra)
    if not Path(data_path).is_dir():
        raise FileNotFoundError(data_path)
    try:
        np.load(join(data_path, "cache.npy"))
    except OSError:
        pass
    np.load(join(data_path, "x.npy"))
    """
    found = draft(body)
    assert found.contract.files == ("x.npy",)
    assert "extra.csv is read under a condition only (cell 3, line 5): it is not asked for." in found.notes
    assert "cache.npy is read under a condition only (cell 3, line 9): it is not asked for." in found.notes


def test_branches_that_the_notebook_s_own_call_decides_are_followed(draft) -> None:
    body = """
    make(data_path, "train")
    make(data_path, "test", folds=2)
    """
    before = """
    def make(root, split, folds=None):
        if split == "train":
            np.load(join(root, "train.npy"))
        else:
            np.load(join(root, "test.npy"))
    """
    assert draft(body, before).contract.files == ("train.npy", "test.npy")


@pytest.mark.parametrize(
    ("code", "columns"),
    [
        ('df["age"]; df[["sex", "bmi"]]', ["age", "sex", "bmi"]),
        ('df.drop(columns=["id", "name"]); df.drop("target", axis=1)', ["id", "name", "target"]),
        ('y = df.pop("target").values', ["target"]),
        ('df.loc[:, ["a", "b"]]; df.loc[df["c"] > 0, "d"]; df.loc["row"]', ["a", "b", "c", "d"]),
        ('df["sum"] = df["a"] + 1; df["sum"]', ["a"]),
        ('df = df.dropna(subset=["a"]).sample(frac=1).reset_index(drop=True)\ndf["b"]', ["a", "b"]),
        ('df = df[df["a"] > 1]\ndf["b"]', ["a", "b"]),
        ('for _, row in df.iterrows():\n    row["a"]', ["a"]),
        ("for row in df.itertuples():\n    row.a, row.Index", ["a"]),
        ('[row["a"] for row in df.to_dict("records")]', ["a"]),
        ('df.apply(lambda row: row["a"] + row["b"], axis=1)', ["a", "b"]),
        ('df.rename(columns={"Alter": "age"})["age"]', ["Alter"]),
        ('df.groupby("ward")["a"].mean()', ["ward"]),
        ('df.iloc[3]["a"]', ["a"]),
        ('FEATURES = ["a", "b"]\nx, y = df[FEATURES].values, df["y"].values', ["a", "b", "y"]),
        ('from sklearn.model_selection import train_test_split\na, b = train_test_split(df)\nb["y"]', ["y"]),
        ('pd.concat([df[df["y"] == c].sample(3) for c in (0, 1)])["x"]', ["y", "x"]),
        (
            'df["y"].value_counts()["benign"]; df.drop(columns=["z"], errors="ignore"); df.describe()["x"]',
            ["y"],
        ),
        ('df.columns = ["a", "b"]\ndf["a"]', None),
        ("df.iloc[:, :-1]; df.values", None),
    ],
)
def test_columns_that_the_code_takes(draft, code: str, columns: list[str] | None) -> None:
    found = draft(f'df = pd.read_csv(join(data_path, "x.csv"))\n{code}')
    assert found.contract.files == ("x.csv",)
    assert found.contract.columns == ({} if columns is None else {"x.csv": tuple(columns)})
    note = "The columns of x.csv cannot be told from the code; write columns by hand."
    assert (note in found.notes) == (columns is None)


@pytest.mark.parametrize(
    ("read", "known"),
    [
        ('pd.read_csv(P / "x.csv", sep=";", usecols=["a"])', True),
        ('pd.read_csv(P / "x.csv.gz", index_col="a")', True),
        ('pd.read_csv(P / "x.csv", names=["a", "b"])', False),
        ('pd.read_csv(P / "x.csv", header=None)', False),
        (r'pd.read_csv(P / "x.txt", sep=r"\s+")', False),
        ('pd.read_csv(P / "x.csv", skiprows=2)', False),
        ('pd.read_csv(P / "x.zip")', False),
        ('pd.read_excel(P / "x.xlsx")', False),
        ('list(csv.DictReader(open(P / "x.csv")))', True),
        ('list(csv.DictReader(gzip.open(P / "x.csv.gz", "rt"), delimiter=";"))', True),
        ('list(csv.DictReader(open(P / "x.csv"), fieldnames=["a"]))', False),
    ],
)
def test_columns_are_asked_for_only_where_the_first_line_names_them(draft, read: str, known: bool) -> None:
    found = draft(f'P = Path(data_path)\nrows = {read}\nfor row in rows:\n    row["a"]\nrows["a"]').contract
    assert len(found.files) == 1
    assert found.columns == ({found.files[0]: ("a",)} if known else {})


@pytest.mark.parametrize(
    ("before", "head", "loss", "labels"),
    [
        ("", "nn.Linear(4, 3)", "CrossEntropyLoss", "012"),
        ("NUM_CLASSES = 3", "nn.Linear(4, NUM_CLASSES)", "CrossEntropyLoss", "012"),
        ('classes = ["a", "b", "c"]', "nn.Linear(4, len(classes))", "NLLLoss", "012"),
        ('class_to_idx = {"none": 0, "tumour": 2}', "nn.Linear(4, SIZE)", "CrossEntropyLoss", "02"),
        ("", "nn.Linear(4, 1)", "BCEWithLogitsLoss", "01"),
        ("", "nn.Linear(4, 1)", "MSELoss", ""),
        ("", "nn.Linear(4, 5)", "BCELoss", ""),
        ("n_classes = 3", "nn.Linear(4, 2)", "CrossEntropyLoss", ""),
    ],
)
def test_labels(draft, rest, before: str, head: str, loss: str, labels: str) -> None:
    rest = rest.replace("nn.Linear(4, 2)", head).replace("CrossEntropyLoss", loss)
    used = "(class_to_idx, classes, n_classes)"
    before = f"SIZE = int(os.environ.get('SIZE', 2))\nclasses = class_to_idx = n_classes = None\n{before}"
    found = draft(f"known = {used}\nDataLoader(torch.zeros(3))", before, rest)
    assert "".join(found.contract.labels) == labels
    assert any("classes" in note for note in found.notes) == (not labels)


@pytest.mark.parametrize(
    ("more", "size"),
    [("", (60, 40)), ("transforms.Resize(224)", None), ("np.zeros(3).reshape(28, 28, 1)", None)],
)
def test_the_size_of_images_is_asked_for_only_where_the_code_takes_no_other(draft, more, size) -> None:
    body = f'Patches(join(data_path, "p"), os.listdir(join(data_path, "p")))\n{more}\nDataLoader(None)'
    found = draft(body, DATASET)
    assert found.contract.image_size == size
    assert any("any size is taken" in note for note in found.notes) == (size is None)


def test_counts_come_from_the_policy_and_the_loaders(draft) -> None:
    assert draft("DataLoader([])").contract.minimum == {"train": 10, "test": 10}
    assert draft("DataLoader([])", min_examples=50).contract.minimum == {"train": 50, "test": 10}
    assert draft("DataLoader([])", min_examples=3).contract.minimum == {"train": 10, "test": 10}
    assert draft("trainloader = testloader = iter(data_path)").contract.minimum == {}
    pairs = "x = y = torch.zeros(9)\ntrainloader, testloader = (x[3:], y[3:]), (x[:3], y[:3])"
    assert draft(pairs).contract.minimum == {"train": 10, "test": 10}
    assert draft(pairs).contract.labels == ("0", "1")
    assert draft("DataLoader([])").contract.minimum_per_class == 1


def test_a_helper_module_is_followed_too(tmp_path: Path, write_notebook, rest) -> None:
    (tmp_path / "reading.py").write_text(
        "import numpy as np\ndef rows(folder, name):\n    return np.load(folder + '/' + name)\n"
    )
    load = "def load_data(data_path):\n    x = DataLoader(reading.rows(data_path, 'x.npy'))\n    return x, x"
    head = "import torch, reading\nfrom torch import nn\nfrom torch.utils.data import DataLoader"
    checked = check(write_notebook(tmp_path / "study.ipynb", head, load, rest))
    assert draft_contract(checked.slice).contract.files == ("x.npy",)


def test_the_cell_form_and_its_own_name_of_the_folder(tmp_path: Path, write_notebook) -> None:
    cells = [
        "import pandas as pd\nfrom sklearn.linear_model import LogisticRegression",
        'data_dir = "heart/"',
        '#| federate: data\nt = pd.read_csv(data_dir + "rows.csv")\nx, y = t[["age", "sex"]], t["target"]',
        "#| federate: model\nmodel = LogisticRegression()",
        "#| federate: train\nmodel.fit(x, y)",
        "#| federate: test\naccuracy = model.score(x, y)",
    ]
    found = draft_contract(check(write_notebook(tmp_path / "study.ipynb", *cells)).slice).contract
    assert (found.files, found.columns) == (("rows.csv",), {"rows.csv": ("age", "sex", "target")})


def test_nothing_of_the_notebook_runs(draft, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    draft(f"open({str(marker)!r}, 'w')\nnp.load(join(data_path, 'x.npy'))", f"open({str(marker)!r}, 'w')")
    assert not marker.exists()


def test_code_without_end_is_drafted_as_far_as_it_is_followed(draft) -> None:
    before = """
    def deeper(path, n):
        np.load(path)
        for i in range(9):
            deeper(path, n + 1)
    """
    assert draft('deeper(join(data_path, "x.npy"), 0)', before).contract.files == ("x.npy",)


PATCHES = ("train_client.csv", "val_client.csv", "test.csv", "patches/*")
WITHOUT_CLASSES = {"hard_coded_cuda", "network_use", "train_raises", "ugly", "unreadable_samples"}


def test_the_drafts_of_all_fixture_notebooks(repository: Path) -> None:
    drafts = {}
    for path in sorted((repository / "tests/fixtures/notebooks").glob("*.ipynb")):
        if path.stem != "corrupt" and (found := check(path).draft):
            drafts[path.stem] = found
    assert {name for name, found in drafts.items() if found.contract.files} == {"paper_2022", "inline_slices"}
    assert drafts["inline_slices"].contract.files == ("vitals.csv",)
    assert drafts["paper_2022"].contract.files == PATCHES
    assert drafts["paper_2022"].contract.columns == dict.fromkeys(PATCHES[:3], ("images", "GT"))
    assert {name for name, found in drafts.items() if not found.contract.labels} == WITHOUT_CLASSES
    assert all(found.contract.labels in ((), ("0", "1")) for found in drafts.values())
    assert all(found.contract.minimum == {"train": 10, "test": 10} for found in drafts.values())
    assert {name for name, found in drafts.items() if not found.notes} == {"inline_slices"}
    assert any("datasets.MNIST (cell 3, line 2)" in note for note in drafts["network_use"].notes)
