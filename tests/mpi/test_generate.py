"""All ranks write one log: the same bytes at any number of ranks, and an error of one rank leaves nothing behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hpckit.errors import OutputError
from hpckit.generate.kinds import BLOCK_ROWS, KINDS, Generator
from hpckit.generate.layout import layout_of
from hpckit.generate.write import Request, generate

pytestmark = pytest.mark.mpi
START_US = 1_740_960_000_000_000


def request_of(path: Path | str, kind: str, rows: int, files: int | None = None, malformed: float = 0) -> Request:
    return Request(KINDS[kind], layout_of(str(path), kind, rows, files, False), 11, START_US, malformed)


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_by_all_ranks(context, shared_path: Path, record, kind: str) -> None:
    rows = 2 * BLOCK_ROWS + 1234  # three blocks: with four ranks one of them has nothing to do
    path = shared_path / "x.log"
    done = generate(context, request_of(path, kind, rows, malformed=0.5))
    data = path.read_bytes() if context.is_root else b""
    if context.is_root:
        generator = Generator(KINDS[kind], 11, START_US, 0.5)
        texts = [bytes(generator.text(i, 0, min(BLOCK_ROWS, rows - i * BLOCK_ROWS))) for i in range(3)]
        assert data == generator.header + b"".join(texts)
        assert (done.rows, done.files, done.bytes) == (rows, 1, len(data))
    record(data)


def test_folder_and_compression(context, shared_path: Path, record) -> None:
    generate(context, request_of(shared_path / "logs", "sensors", BLOCK_ROWS + 5, files=5))
    generate(context, request_of(shared_path / "x.gz", "syslog", BLOCK_ROWS + 5))
    data = b""
    if context.is_root:
        data = b"".join(path.name.encode() + path.read_bytes() for path in sorted((shared_path / "logs").iterdir()))
        data += (shared_path / "x.gz").read_bytes()
        assert sorted(os.listdir(shared_path)) == ["logs", "x.gz"]
    record(data)


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_rows_than_ranks(context, shared_path: Path, record, rows: int) -> None:
    generate(context, request_of(shared_path / "x.log", "access", rows))
    data = (shared_path / "x.log").read_bytes() if context.is_root else b""
    if context.is_root:
        assert data.count(b"\n") == rows
    record(data)


def test_existing_file_is_refused_on_all_ranks(context, shared_path: Path) -> None:
    path = shared_path / "x.log"
    generate(context, request_of(path, "bgl", 3))
    with pytest.raises(OutputError, match="exists already"):
        generate(context, request_of(path, "bgl", 4))
    generate(context, request_of(path, "bgl", 4), overwrite=True)
    assert context.bcast(path.read_bytes().count(b"\n") if context.is_root else None) == 4


def test_full_disk_on_one_rank(context, shared_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if context.rank == context.size - 1:
        monkeypatch.setattr(os, "pwrite", no_space)
    with pytest.raises(OutputError, match="no space left on device"):
        generate(context, request_of(shared_path / "x.log", "sensors", 5 * BLOCK_ROWS))
    assert context.bcast(os.listdir(shared_path) if context.is_root else None) == []
