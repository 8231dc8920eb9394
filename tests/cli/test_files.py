# SPDX-License-Identifier: MIT
"""Only regular files are read. Files are written completely, with the mode that the umask leaves. Leftovers are removed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.packages import need_package
from tinyrnn import files
from tinyrnn.errors import ModelError

posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and locks of POSIX; run it on Linux or macOS")


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    """A function that sets the umask, which is restored after the test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@posix
@pytest.mark.parametrize("mask", [0o077, 0o027, 0o022, 0o002, 0o000])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path, umask: Callable[[int], int], mask: int) -> None:
    umask(mask)
    files.write(tmp_path / "new", b"1")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~mask


@posix
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_bytes(b"1")
    path.chmod(0o640)
    files.write(path, b"2")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"2", 0o640)


@posix
def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far/file")
    for data in (b"new", b"again"):
        files.write(tmp_path / "link", data)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "far" / "file").read_bytes() == data
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["file"]


@pytest.mark.usefixtures("full_disk")
def test_nothing_is_left_when_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        files.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_leftovers_of_killed_processes_only_are_removed(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom tinyrnn import files\n"
        "stream, path = files._create(Path(sys.argv[1]))\nstream.write(b'half'); stream.flush()\n"
        "print(path, flush=True)\nsys.stdin.read()\n"
    )
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, **pipes) as dead, subprocess.Popen(command, **pipes) as alive:
        assert dead.stdout is not None
        assert alive.stdout is not None
        left, used = (Path(process.stdout.readline().strip()) for process in (dead, alive) if process.stdout)
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        others = [tmp_path / name for name in ("mine.tmp", ".tinyrnn-1.tmp", "model.pt.seed0.part.tmp")]
        for path in others:
            path.write_bytes(b"mine")
        assert left.exists()
        files.write(tmp_path / "file", b"whole")
        assert not left.exists()
        assert used.read_bytes() == b"half"
        assert all(path.exists() for path in others)
        alive.kill()
    files.sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "file"])


def test_many_writers_of_one_file_at_once(tmp_path: Path) -> None:
    """Each writer sweeps the folder while the others write there."""
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(20):
                files.write(tmp_path / "file", bytes([number]) * 5000)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    data = (tmp_path / "file").read_bytes()
    assert len(data) == 5000
    assert len(set(data)) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_the_longest_name_of_a_folder_can_be_written(tmp_path: Path) -> None:
    limit = os.pathconf(tmp_path, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    name = "n" * limit
    files.write(tmp_path / name, b"1")
    beside = files.beside(tmp_path / name, ".seed12.part")
    assert beside.name.endswith(".seed12.part")
    assert beside != files.beside(tmp_path / ("n" * (limit - 1)), ".seed12.part")
    files.write(beside, b"2")
    assert (tmp_path / name).read_bytes() == b"1"
    assert files.beside(tmp_path / "model.pt", ".seed0.part") == tmp_path / "model.pt.seed0.part"
    wide = tmp_path / ("ü" * (limit // 2))
    files.write(files.beside(wide, ".part"), b"3")


def test_read_is_limited(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert files.read(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="has 5 bytes, more than 4"):
        files.read(tmp_path / "file", 4)
    with pytest.raises(OSError, match="no file can have that name"):
        files.read("a\0b", 4)


@posix
@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/dev/zero"), os.mkfifo, os.mkdir])
def test_read_never_waits(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "odd")
    with pytest.raises(OSError, match=r"is a (device|FIFO|folder)"):
        files.read(tmp_path / "odd", 100)


def test_what_may_be_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "there"
    for data, kinds in ((b"", (files.FLOAT, files.PACKED)), (b"URNN and damaged", (files.PACKED,)), (b"PK\x03\x04", ())):
        path.write_bytes(data)
        for kind in (files.FLOAT, files.PACKED):
            if kind in kinds:
                files.check_output(path, kind)
            else:
                with pytest.raises(ModelError, match=r"so it is not replaced; choose another name"):
                    files.check_output(path, kind)
    assert list(tmp_path.iterdir()) == [path]


def test_only_our_own_models_are_overwritten(tmp_path: Path) -> None:
    torch = need_package("torch")
    import numpy as np
    from tinyrnn.float_model import model_file
    from tinyrnn.float_model.random_models import random_float_model

    path = tmp_path / "model.pt"
    torch.save(torch.nn.GRU(2, 3).state_dict(), path)
    with pytest.raises(ModelError, match=r"not a model\.pt that tinyrnn wrote"):
        files.check_output(path, files.FLOAT)
    model_file.save(random_float_model(np.random.default_rng(0), 2, (3,), 2), path)
    files.check_output(path, files.FLOAT)
    with pytest.raises(ModelError, match=r"not a \.urnn file"):
        files.check_output(path, files.PACKED)


def test_the_cure_for_a_missing_folder_is_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        files.check_output(tmp_path / "a b" / "c" / "x.pt", files.FLOAT)
    subprocess.run(str(error.value).partition("make it with: ")[2], shell=True, check=True)
    files.check_output(tmp_path / "a b" / "c" / "x.pt", files.FLOAT)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelError, match=r"file is not a folder; choose another place with -o"):
        files.check_output(tmp_path / "file" / "x.pt", files.FLOAT)


@posix
def test_a_write_protected_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.urnn"
    path.write_bytes(b"")
    path.chmod(0o444)
    true_access = os.access  # root may write everything
    monkeypatch.setattr(os, "access", lambda where, mode: mode != os.W_OK and true_access(where, mode))
    with pytest.raises(ModelError, match="is write-protected; choose another name with -o"):
        files.check_output(path, files.PACKED)
    with pytest.raises(OSError, match="is write-protected"):
        files.write(path, b"1")
    assert list(tmp_path.iterdir()) == [path]
