"""`hpckit formats`: the list, one format, guessing a file, a user's own format."""

from __future__ import annotations

import gzip
import importlib
import subprocess
import sys

import pytest

from hpckit.cli.formats import main
from hpckit.errors import HpckitError, InputError
from hpckit.formats import guess, load, names

ACCESS = load("combined").examples[0][0] + "\n"


def test_list_names_every_format(capsys):
    assert main([]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert listed == list(names())
    assert len(listed) >= 24


@pytest.mark.parametrize("name", names())
def test_one_format_shows_its_columns_and_its_examples_hold(name, capsys):
    assert main([name]) == 0
    out = capsys.readouterr().out
    assert "WRONG" not in out
    for field in load(name).columns():
        assert f"\n  {field.name} " in out


def test_try_ranks_and_shows_a_record(tmp_path, capsys):
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress((ACCESS * 200 + "garbage\n").encode()))
    assert main(["--try", str(path)]) == 0
    out = capsys.readouterr().out
    assert "combined          99.5%  200 of 201 records   first misfit: " in out
    assert "2023-10-10T20:55:36" in out
    assert f"read_logs('{path}', 'combined')" in out


def test_try_says_when_nothing_fits(tmp_path, capsys):
    path = tmp_path / "poem.txt"
    path.write_text("nothing\nto see\n")
    assert main(["--try", str(path)]) == 2
    assert "none of the" in capsys.readouterr().out


@pytest.mark.parametrize(("content", "message"), [(b"", "no lines"), (None, "No such file"), (b"\x1f\x8bcut", "x.log")])
def test_try_on_what_cannot_be_read(tmp_path, content, message):
    path = tmp_path / "x.log.gz"
    if content is not None:
        path.write_bytes(gzip.compress(content) if content == b"" else content)
    with pytest.raises(InputError, match=message) as caught:
        main(["--try", str(path)])
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("ending", "module"), [("gz", "gzip"), ("bz2", "bz2"), ("xz", "lzma"), ("zst", "zstandard")])
def test_try_on_damaged_compression(tmp_path, ending, module):
    path = tmp_path / f"a.log.{ending}"
    packed = importlib.import_module(module).compress((ACCESS * 200).encode())
    for damaged in (packed[:-20], packed[:20] + bytes(reversed(packed[20:])), b"no such format" * 9):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=f"a.log.{ending}: "):
            main(["--try", str(path)])


def test_own_format_is_checked_against_its_examples(tmp_path, capsys):
    path = tmp_path / "own.toml"
    text = "pattern = '{n:int} {s}'\n[[example]]\nline = '7 x'\n[example.values]\nn = {}\ns = 'x'\n"
    path.write_text(text.replace("{}", "7"))
    assert main(["--format-file", str(path)]) == 0
    assert "WRONG" not in capsys.readouterr().out
    path.write_text(text.replace("{}", "8"))
    assert main(["--format-file", str(path)]) == 2
    assert "WRONG: the file says 8" in capsys.readouterr().out
    path.write_text(text.replace("{}", "7") + "[[reject]]\nline = '7 y'\n")
    assert main(["--format-file", str(path)]) == 2


def test_unknown_name_is_the_users_error():
    with pytest.raises(HpckitError, match="syslog") as caught:
        main(["sislog"])
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("name", names())
def test_guess_puts_the_right_format_first(name):
    fmt = load(name)
    if fmt.header:
        text = fmt.examples[0][0].lstrip("\n")
    else:
        text = "\n".join(text.strip("\n") for text, _ in fmt.examples)
    ranked = [g.name for g in guess([line.encode() for line in text.split("\n")])]
    same_layout = {"thunderbird": "spirit"}  # equal but for the name
    assert ranked[0] == same_layout.get(name, name), ranked


def test_listing_is_quick_and_light():
    code = (
        "import sys; from hpckit.cli.formats import main; main([]); print([m for m in ('pyarrow', 'numpy', 'mpi4py') "
    )
    code += "if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr.strip() == "[]"
