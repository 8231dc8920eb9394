# SPDX-License-Identifier: MIT
"""The archives of a release have every file of the packages, and all parts of a release have the same version."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import release
from shared.paths import ROOT
from shared.records import TinyrnnError

VERSIONS = {
    "host/tinyrnn/__init__.py": '"""tinyrnn."""\n\n__version__ = "1.2.3"\n',
    "device/urnn/__init__.py": 'import time\n\n__version__ = "1.2.3"\n',
    "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-11-28\n\n## [1.2.2] - 2026-11-27\n",
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    """The wheel, the source archive, and the files of the last commit."""
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip("not a git checkout: clone the repository to run this test")
    folder = tmp_path_factory.mktemp("release")
    tracked = release.check_out(folder / "source")
    wheel, source = release.build(folder / "source", folder / "archives")
    assert (wheel.suffix, source.suffixes[-2:]) == (".whl", [".tar", ".gz"])
    return wheel, source, tracked


def test_the_archives_have_every_file_of_the_packages(archives: tuple[Path, Path, list[str]]) -> None:
    wheel, source, tracked = archives
    for suffix in (".toml", ".mjs", ".c", "py.typed"):
        assert any(path.startswith(tuple(release.INSTALLED)) and path.endswith(suffix) for path in tracked)
    assert release.missing(wheel, tracked) == []
    assert release.missing(source, tracked) == []


def test_a_file_that_an_archive_lacks_is_named(archives: tuple[Path, Path, list[str]], tmp_path: Path) -> None:
    wheel, source, tracked = archives
    smaller = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(smaller, "w") as less:
        for name in whole.namelist():
            if name != "tinyrnn/boarddata/esp32.toml":
                less.writestr(name, whole.read(name))
    assert release.missing(smaller, tracked) == ["boards/esp32.toml"]
    shutil.unpack_archive(source, tmp_path)
    with tarfile.open(tmp_path / source.name, "w:gz") as less_source:
        less_source.add(tmp_path / source.name.removesuffix(".tar.gz") / "host", "tinyrnn-0/host")
    assert {path.split("/")[0] for path in release.missing(tmp_path / source.name, tracked)} == {"device", "boards"}


def test_the_versions_must_agree(tmp_path: Path) -> None:
    for name, text in VERSIONS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert release.common_version(tmp_path) == "1.2.3"
    for name, text in VERSIONS.items():
        (tmp_path / name).write_text(text.replace("1.2.3", "1.2.4"))
        with pytest.raises(TinyrnnError, match=rf"{name} has 1\.2\.4.*expected the same version"):
            release.common_version(tmp_path)
        (tmp_path / name).write_text(text)


def test_a_command_that_fails_is_named_with_what_it_said() -> None:
    with pytest.raises(TinyrnnError, match="git nonsense: exit status 1\ngit: 'nonsense' is not a git command"):
        release.run("git", "nonsense")
