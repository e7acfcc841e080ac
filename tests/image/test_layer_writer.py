"""Deterministic layers: what is written, whether engines would read it, what is refused."""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notebook_federator.image.deflating import MemberDamaged
from notebook_federator.image.layer_writer import CHUNK, LayerWriter, Written
from small_wheels import noise, text, untarred


def deflated(data: bytes, level: int = 6) -> bytes:
    compressor = zlib.compressobj(level, wbits=-15)
    return compressor.compress(data) + compressor.flush()


def cut(data: bytes, step: int) -> Iterable[bytes]:
    return (data[start : start + step] for start in range(0, len(data), step))


def written() -> tuple[bytes, Written]:
    """A layer with one of everything."""
    out = io.BytesIO()
    writer = LayerWriter(out)
    writer.directory("app")
    writer.directory("scratch", 0o1777)
    writer.file("app/text", text(100_000), 0o755)
    big = text(300_000, 2)
    writer.deflated("app/big", len(big), zlib.crc32(big), cut(deflated(big), 5000))
    writer.stream("app/more", 6_000_000, cut(noise(6_000_000), 70_001))
    writer.link("app/link", "big")
    writer.file("app/" + "é" * 120, b"")
    told = writer.finish()
    return out.getvalue(), told


def test_a_layer_is_a_tar_in_gzip_with_the_digests_that_are_told() -> None:
    blob, told = written()
    tar = gzip.decompress(blob)
    assert told.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert told.diff_id == f"sha256:{hashlib.sha256(tar).hexdigest()}"
    assert (told.size, told.unpacked) == (len(blob), len(tar))
    files = untarred(blob)
    assert files["app/text"] == (0o755, text(100_000))
    assert files["app/big"] == (0o644, text(300_000, 2))
    assert files["app/more"] == (0o644, noise(6_000_000))
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        entries = archive.getmembers()
        assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in entries} == {
            (0, 0, "", 1577836800)
        }
        assert archive.getmember("app/link").linkname == "big"
        assert archive.getmember("scratch").mode == 0o1777
        assert entries[-1].name == "app/" + "é" * 120


def test_bytes_are_the_same_for_ever() -> None:
    """A change here is a change of every layer in every registry: raise ``layers.BUILDER`` with it."""
    assert written()[1].digest == "sha256:dd3d1ad4824cb39c4be6a1cb7ccac85a0b366404ad5a3c0382863f6e4bd9dfcb"


@pytest.mark.parametrize(
    "surroundings",
    [{"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "1"}, {"TZ": "America/Lima", "PYTHONUTF8": "1"}],
)
def test_bytes_do_not_depend_on_the_surroundings(surroundings: dict[str, str]) -> None:
    program = (
        "import os, sys; os.umask(0o077)\n"
        f"sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "from test_layer_writer import written\nprint(written()[1].digest)"
    )
    environment = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    found = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | surroundings,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == written()[1].digest


@given(
    sizes=st.lists(st.integers(0, 3 * CHUNK // 2), min_size=1, max_size=3),
    step=st.sampled_from([CHUNK // 3, CHUNK, 2 * CHUNK + 1]),
)
@settings(max_examples=12)
def test_bytes_do_not_depend_on_how_data_arrive(sizes: list[int], step: int) -> None:
    def write(pieces: int) -> bytes:
        out = io.BytesIO()
        writer = LayerWriter(out)
        for number, size in enumerate(sizes):
            writer.stream(str(number), size, cut(bytes(size), pieces))
        writer.finish()
        return out.getvalue()

    assert write(step) == write(1 << 20)


@given(data=st.binary(max_size=5000), level=st.integers(0, 9), step=st.integers(1, 6000))
@settings(max_examples=60)
def test_a_copied_stream_gives_its_bytes(data: bytes, level: int, step: int) -> None:
    out = io.BytesIO()
    writer = LayerWriter(out)
    writer.deflated("x", len(data), zlib.crc32(data), cut(deflated(data, level), step))
    writer.finish()
    assert untarred(out.getvalue())["x"] == (0o644, data)


SOUND = text(70_000)
PACKED = deflated(SOUND)


@pytest.mark.parametrize(
    ("stream", "size", "crc"),
    [
        pytest.param(PACKED, len(SOUND), 1, id="checksum"),
        pytest.param(PACKED, len(SOUND) - 1, zlib.crc32(SOUND), id="more than declared"),
        pytest.param(PACKED, len(SOUND) + 1, zlib.crc32(SOUND), id="less than declared"),
        pytest.param(PACKED[:-1], len(SOUND), zlib.crc32(SOUND), id="cut off"),
        pytest.param(PACKED + b"x", len(SOUND), zlib.crc32(SOUND), id="something behind it"),
        pytest.param(noise(5000), 5000, 0, id="not deflated"),
        pytest.param(b"", 0, 0, id="nothing at all"),
    ],
)
def test_a_stream_that_is_not_what_it_says_is_refused(stream: bytes, size: int, crc: int) -> None:
    with pytest.raises(MemberDamaged):
        LayerWriter(io.BytesIO()).deflated("x", size, crc, [stream])


def test_a_bomb_is_refused_before_it_unpacks() -> None:
    bomb = deflated(bytes(60_000_000), 1)
    writer = LayerWriter(io.BytesIO())
    with pytest.raises(MemberDamaged, match="more than the 1000 bytes"):
        writer.deflated("x", 1000, 0, [bomb])
    assert writer.unpacked < 2 * CHUNK


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a"])
def test_names_that_lead_away_or_come_twice_are_refused(name: str) -> None:
    writer = LayerWriter(io.BytesIO())
    writer.file("a", b"1")
    with pytest.raises(ValueError, match="cannot stand in this layer"):
        writer.file(name, b"2")


def test_a_stream_shorter_than_its_header_is_refused() -> None:
    with pytest.raises(MemberDamaged, match="does not have the 5 bytes"):
        LayerWriter(io.BytesIO()).stream("x", 5, [b"1234"])
