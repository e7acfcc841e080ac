"""What can be told about a returned expression without running it."""

import ast

import pytest
from notebook_federator.findings.returned import kind, read_locals


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("x = 1.0", "number"),
        ("x = []", "list"),
        ("x = [p for p in loader]", "list"),
        ("x = sum(losses) / len(losses)", "number"),
        ("x = 0\n for b in loader: x += criterion(b).item()", "number"),
        ("x = 0\n for b in loader: x += criterion(b)", "unknown"),
        ("x = net(loader)", "tensor"),
        ("x = net(loader).mean()", "number"),
        ("x = net(loader).cpu().numpy()", "tensor"),
        ("x = torch.cat(parts)", "tensor"),
        ("x = torch.cat(parts).float().mean().item()", "number"),
        ("x = torch.cat(parts).mean(0)", "unknown"),
        ("x = np.mean(parts)", "number"),
        ("x = np.mean(parts, axis=0)", "unknown"),
        ("x = np.array([1, 2])", "tensor"),
        ("x = f1_score(a, b)", "number"),
        ("x = f1_score(a, b, average=None)", "unknown"),
        ("x = confusion_matrix(a, b)", "tensor"),
        ("x = classification_report(a, b)", "text"),
        ("x = [1]\n x = len(x)", "number"),
        ("x, y = 1.0, []", "number"),
        ("x = {'a': 1}", "mapping"),
        ("x = None", "nothing"),
        ("x = evaluate(net, loader)", "unknown"),
        ("x = out.argmax(1) == y", "tensor"),
        ("x = (net(loader).argmax(1) == y).sum().item()", "number"),
    ],
)
def test_kind_of_x(body: str, expected: str) -> None:
    function = ast.parse(f"def test(net, loader):\n {body}\n return x").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert kind(ast.Name("x"), read_locals(function)) == expected
