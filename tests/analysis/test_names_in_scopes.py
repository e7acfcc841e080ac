"""Names that statements define and read, against Python's own symbol tables."""

import ast
import symtable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notebook_federator.analysis.scopes import uses

CASES = [
    # source, defines, reads now, reads when called
    ("x = a + b", "x", "a b", ""),
    ("x += 1", "x", "x", ""),
    ("x: T = 4", "x", "T", ""),
    ("x: T", "", "T", ""),
    ("a.b = c", "", "a c", ""),
    ("a[i] += 1", "", "a i", ""),
    ("del a", "", "", ""),
    ("del a[0]", "", "a", ""),
    ("for i in xs: s += i", "i s", "xs s", ""),
    ("for i in xs: pass\nelse: print(i)", "i", "xs print i", ""),
    ("with open(p) as f: t = f.read()", "f t", "open p", ""),
    ("import a.b.c, d as e", "a e", "", ""),
    ("from a import b as c, d", "c d", "", ""),
    ("from a import *", "*", "", ""),
    ("if (n := f(x)) > 1: y = n", "n y", "f x", ""),
    ("y = [i * k for i in xs if i != m]", "y", "k xs m", ""),
    ("y = [last := i for i in xs]", "y last", "xs", ""),
    ("y = {k: [v for v in k] for k in ks}", "y", "ks", ""),
    ("g = (i * k for i in xs)", "g", "xs k", "k"),
    ("f = lambda x, y=d: x + y + G", "f", "d", "G"),
    ("def f(a: T = d, *b, **c) -> R:\n return a, b, c, f, G", "f", "T d R", "f G"),
    ("@dec(k)\ndef f():\n x = 1\n def g(): return x + y\n return g", "f", "dec k", "y"),
    ("def f():\n global g\n g = 1", "f", "", ""),
    ("def f():\n x = 1\n def g():\n  nonlocal x\n  x += k", "f", "", "k"),
    ("class A(B, metaclass=M):\n k = v\n w = k\n def m(self): return k, A", "A", "B M v", "k A"),
    ("class A:\n x = x\n ys = [x for _ in z]", "A", "x z", ""),
    ("try:\n import a\nexcept E as e:\n a = e", "a e", "E", ""),
    ("match v:\n case {'k': q, **r} if q > t: z = r\n case [P(w), *s]: pass", "q r w s z", "v t P", ""),
    ("async def f():\n async with a as b: await c(b)", "f", "", "a c"),
    ("x, (y, *z), o.p = v", "x y z", "v o", ""),
    ("while n: n -= 1", "n", "n", ""),
    ("x = y = z", "x y", "z", ""),
    ("def f(a, b=lambda: q): pass", "f", "", "q"),
    ("class A:\n def f(self, x=d): return self.g(x, h)", "A", "d", "h"),
]


@pytest.mark.parametrize(("source", "defines", "reads", "deferred"), CASES)
def test_names(source: str, defines: str, reads: str, deferred: str) -> None:
    found = uses(ast.parse(source).body[0])
    assert found.defines == set(defines.split())
    assert found.reads == set(reads.split())
    assert found.deferred == set(deferred.split())


def test_writes_and_deletes() -> None:
    assert uses(ast.parse("def f():\n global g, h\n g = 1\n print(h)").body[0]).writes == {"g"}
    assert uses(ast.parse("del a, b[0]").body[0]).deletes == {"a"}


NAMES = st.sampled_from("abcd")


@st.composite
def functions(draw: st.DrawFn, depth: int = 0) -> str:
    """A random function definition with nested scopes, global and nonlocal declarations."""
    pad = " " * (depth + 1)
    lines = [f"{' ' * depth}def {draw(NAMES)}({draw(NAMES)}=1):"]
    declared = draw(st.sets(NAMES, max_size=1))
    if declared and lines[0].split("(")[1][0] not in declared:
        lines.append(f"{pad}global {declared.pop()}")
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.integers(0, 4 if depth < 2 else 2))
        if kind == 0:
            lines.append(f"{pad}{draw(NAMES)} = {draw(NAMES)}")
        elif kind == 1:
            lines.append(f"{pad}print([{draw(NAMES)} for {draw(NAMES)} in {draw(NAMES)}])")
        elif kind == 2:
            lines.append(f"{pad}(lambda {draw(NAMES)}: {draw(NAMES)})({draw(NAMES)})")
        elif kind == 3:
            lines.append(f"{pad}class {draw(NAMES)}:\n{pad} {draw(NAMES)} = 1")
        else:
            lines.append(draw(functions(depth + 1)))
    return "\n".join(lines)


def expected(table: symtable.SymbolTable) -> set[str]:
    """Names that the compiler takes for globals in functions of ``table``."""
    found: set[str] = set()
    for child in table.get_children():
        if child.get_type() == "function":
            found |= {s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced()}
        found |= expected(child)
    return found


@settings(max_examples=300)
@given(functions())
def test_deferred_names_are_those_of_the_compiler(source: str) -> None:
    try:
        table = symtable.symtable(source, "x", "exec")
    except SyntaxError:
        return
    assert uses(ast.parse(source).body[0]).deferred == expected(table)
