"""The cells of a small notebook whose training can be slowed down or broken."""

PARAMETERS = "epochs = 1\npause = 0.0\nbreak_at = ''\n"
IMPORTS = """
import os
import time
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
"""
DATA = """
def load_data(data_path):
    count = int(open(os.path.join(data_path, "count.txt")).read())
    shift = float(open(os.path.join(data_path, "shift.txt")).read())
    one_class = os.path.exists(os.path.join(data_path, "one_class.txt"))
    generator = torch.Generator().manual_seed(count)
    x = torch.randn(count, 4, generator=generator)
    y = torch.zeros(count, dtype=torch.long) if one_class else (x.sum(1) + shift > 0).long()
    train, test = TensorDataset(x, y), TensorDataset(x[: count // 2], y[: count // 2])
    loaders = DataLoader(train, batch_size=8, shuffle=True), None, DataLoader(test, batch_size=8)
    return (*loaders, {"trainset": count, "valset": 0, "testset": count // 2})
"""
MODEL = """
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        return self.layers(x)
"""
TRAIN = """
def train(net, trainloader, valloader, epochs):
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for epoch in range(epochs):
        time.sleep(pause)
        for x, y in trainloader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
    if break_at == "raise":
        raise ValueError("patient 4711 is not in the table")
    if break_at == "nan":
        net.layers[0].weight.data[0, 0] = float("nan")
    if break_at == "shape":
        net.layers[3] = nn.Linear(8, 3)
    if break_at == "more":
        net.register_buffer("memory", x)
"""
TEST = """
def test(net, testloader):
    net.eval()
    loss, correct, total = 0.0, 0, 0
    with torch.no_grad():
        for x, y in testloader:
            out = net(x)
            loss += nn.functional.cross_entropy(out, y, reduction="sum").item()
            correct += (out.argmax(1) == y).sum().item()
            total += len(y)
    net.train()
    return loss / total, correct / total
"""
