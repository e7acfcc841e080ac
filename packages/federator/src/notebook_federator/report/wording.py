"""Numbers as people write them."""

from __future__ import annotations

from collections.abc import Sequence


def seconds(value: float | None) -> str:
    """``0.34 s``, ``12.3 s``, ``4 min 05 s``, ``3 h 12 min``; an en dash for None."""
    if value is None:
        return "–"
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(value / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: int) -> str:
    """Bytes in powers of 1000, three digits: ``812 B``, ``3.48 kB``, ``553 MB``."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{count} B" if unit == "B" else f"{value:.{max(0, 3 - len(str(int(value))))}f} {unit}"


def signed(value: float | None) -> str:
    """A difference of scores with its sign and a true minus; ``n/a`` for None."""
    if value is None:
        return "n/a"
    text = f"{abs(value):.3f}"
    return text if text == "0.000" else f"{'+' if value > 0 else '−'}{text}"


def plural(count: int, noun: str, several: str = "") -> str:
    """``1 round``, ``1,200 rounds``."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def listed(items: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def ranges(numbers: Sequence[int]) -> str:
    """``3``, ``5–7 and 9`` from sorted whole numbers."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return listed([str(low) if low == high else f"{low}–{high}" for low, high in spans])


def short_digest(digest: str) -> str:
    """The first twelve hex digits of ``sha256:…``."""
    return digest.removeprefix("sha256:")[:12]
