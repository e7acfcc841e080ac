"""Shares of a notebook's own data: disjoint, complete, and seen through every name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbfed_site.contracts import SettingsInvalid, SiteDataFailed
from nbfed_site.program import Partition


@given(
    labels=st.lists(st.integers(0, 4), max_size=200),
    count=st.integers(1, 7),
    scheme=st.sampled_from(["iid", "dirichlet"]),
    alpha=st.floats(0.05, 50),
    seed=st.integers(0, 2**31),
)
def test_shares_are_disjoint_and_complete(labels, count, scheme, alpha, seed) -> None:
    classes = np.array(labels, np.int64)
    shares = [Partition(k, count, scheme, alpha, seed).positions(len(labels), classes) for k in range(count)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(len(labels)))
    assert all((np.diff(share) > 0).all() for share in shares)
    if scheme == "iid":
        sizes = [share.size for share in shares]
        assert max(sizes) - min(sizes) <= 1
        for label in set(labels):
            per_site = [int((classes[share] == label).sum()) for share in shares]
            assert max(per_site) - min(per_site) <= 1


def test_a_small_alpha_gives_uneven_classes_alike_in_all_splits() -> None:
    labels = np.arange(3000) % 3
    share = Partition(0, 3, "dirichlet", 0.1, 5).positions(3000, labels)
    part = np.bincount(labels[share], minlength=3) / 1000
    assert part.max() - part.min() > 0.3
    small = Partition(0, 3, "dirichlet", 0.1, 5).positions(300, labels[:300])
    assert np.allclose(np.bincount(labels[small], minlength=3) / 100, part, atol=0.02)


@pytest.mark.parametrize("fields", [(3, 3), (-1, 2), (0, 2, "other"), (0, 2, "dirichlet", 0.0)])
def test_a_share_that_makes_no_sense_is_refused(fields) -> None:
    with pytest.raises(SettingsInvalid):
        Partition(*fields)


def test_three_sites_share_a_notebook_own_data(make_program) -> None:
    programs = [make_program(partition=Partition(k, 3, "iid", seed=2)) for k in range(3)]
    cards = [program.prepare(7) for program in programs]
    assert [card.samples["train"] for card in cards] == [22, 21, 21]
    assert sum(card.samples["test"] for card in cards) == 40
    assert {label for card in cards for label in card.classes["train"].values()} <= {10, 11}
    start = {name: np.array(value) for name, value in programs[0].initial(7).items()}
    for program, card in zip(programs, cards, strict=True):
        assert program.fit(start, {"seed": 1, "epochs": 1})[1] == card.samples["train"]
        evaluation = program.evaluate(start, {"seed": 1})
        assert sum(map(sum, evaluation.confusion)) == card.samples["test"]
        assert evaluation.metrics["accuracy"] * card.samples["test"] == pytest.approx(
            evaluation.confusion[0][0] + evaluation.confusion[1][1]
        )


LOADERS = """
from torch.utils.data import SubsetRandomSampler, WeightedRandomSampler, Subset, ConcatDataset, Dataset

class Plain(Dataset):
    def __len__(self):
        return 60
    def __getitem__(self, k):
        return torch.full((4,), float(k)), k % 3

data = Plain()
loaders = {"train": LOADER}
trainloader = loaders["train"]
valloader = testloader = num_examples = None
seen = []
"""
SEEN = """
seen = sorted(int(row[0]) for batch in loaders["train"] for row in batch[0])
net.weight.data[0, 0] = sum(2.0**k for k in set(seen) if k < 20)
net.weight.data[0, 1] = len(seen)
net.weight.data[0, 2] = sum(2.0 ** (k - 20) for k in set(seen) if 20 <= k < 40)
net.weight.data[0, 3] = len(set(seen))
"""


def shares_seen(make_program, loader: str, count: int = 3, scheme: str = "iid"):
    for index in range(count):
        program = make_program(
            partition=Partition(index, count, scheme, seed=1),
            data=LOADERS.replace("LOADER", loader),
            model="net = torch.nn.Linear(4, 1)",
            train=SEEN,
        )
        card = program.prepare(1)
        row = program.fit(program.initial(1), {"seed": 1})[0]["weight"][0]
        low, high = int(row[0]), int(row[2])
        assert row[3] <= card.samples["train"]
        yield card, {k for k in range(20) if low >> k & 1} | {k + 20 for k in range(20) if high >> k & 1}, row


@pytest.mark.parametrize(
    ("loader", "positions"),
    [
        ("DataLoader(data, batch_size=40, shuffle=True)", range(40)),
        ("DataLoader(data, batch_size=7)", range(40)),
        ("DataLoader(data, batch_size=4, sampler=SubsetRandomSampler(range(0, 30)))", range(30)),
        ("DataLoader(data, batch_size=4, sampler=range(5, 31))", range(5, 31)),
        ("DataLoader(Subset(data, range(10, 40)), batch_size=4, num_workers=1)", range(10, 40)),
        (
            "DataLoader(ConcatDataset([Subset(data, range(9)), Subset(data, range(20, 31))]))",
            [*range(9), *range(20, 31)],
        ),
    ],
)
@pytest.mark.parametrize("scheme", ["iid", "dirichlet"])
def test_every_kind_of_loader_is_cut_down_under_all_its_names(
    make_program, loader, positions, scheme
) -> None:
    shares = [seen for _, seen, _ in shares_seen(make_program, loader, 2, scheme)]
    assert set.union(*shares) == set(positions)
    assert not shares[0] & shares[1]


def test_a_share_never_trains_on_a_batch_of_one(make_program) -> None:
    """64 samples in batches of 16 train; a share of 33 would end in a batch of one."""
    data = "trainloader = DataLoader(blobs(66, 1), 16, shuffle=True)\nvalloader = testloader = None"
    program = make_program(partition=Partition(0, 2), data=data)
    assert program.prepare(1).samples == {"train": 33}
    assert program.fit(program.initial(1), {"epochs": 1})[1] == 33


def test_a_weighted_sampler_keeps_its_weights(make_program) -> None:
    weights = "[float(k % 2) for k in range(60)]"
    loader = f"DataLoader(data, batch_size=4, sampler=WeightedRandomSampler({weights}, 60))"
    for card, seen, row in shares_seen(make_program, loader):
        assert card.samples["train"] == row[1] == 20
        assert seen
        assert all(position % 2 for position in seen)


def test_arrays_in_memory_are_shared(make_program) -> None:
    data = """
    trainloader = testloader = (torch.arange(30.0)[:, None], torch.arange(30) % 3)
    valloader = num_examples = None
    """
    train = "net.weight.data.fill_(float(trainloader[0].sum()))"
    total = 0.0
    for index in range(3):
        program = make_program(
            partition=Partition(index, 3), data=data, model="net = torch.nn.Linear(1, 1)", train=train
        )
        card = program.prepare(1)
        assert card.classes["test"] in (
            {"0": 4, "1": 3, "2": 3},
            {"0": 3, "1": 4, "2": 3},
            {"0": 3, "1": 3, "2": 4},
        )
        arrays, examples = program.fit(program.initial(1), {})
        assert examples == 10
        total += float(arrays["weight"][0, 0])
    assert total == sum(range(30))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("trainloader = [(torch.zeros(2, 4), torch.zeros(2))]", "list"),
        ("trainloader = DataLoader(blobs(8, 1), batch_sampler=[[0, 1], [2, 3]])", "own sampler"),
        ("trainloader = None", "no training loader"),
        ("trainloader = (b for b in [])", "generator"),
    ],
)
def test_what_cannot_be_shared_is_said(make_program, data, said) -> None:
    program = make_program(partition=Partition(0, 2), data=data + "\nvalloader = testloader = None")
    with pytest.raises(SiteDataFailed, match=said):
        program.prepare(1)


def test_sharing_by_class_needs_classes(make_program) -> None:
    data = """
    trainloader = DataLoader(TensorDataset(torch.zeros(8, 4), torch.randn(8)))
    valloader = testloader = None
    """
    with pytest.raises(SiteDataFailed, match="classes are not known"):
        make_program(partition=Partition(0, 2, "dirichlet"), data=data).prepare(1)
    assert make_program(partition=Partition(0, 2), data=data).prepare(1).samples == {"train": 4}
