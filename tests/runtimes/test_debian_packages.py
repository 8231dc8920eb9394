# SPDX-License-Identifier: MIT
"""tinyrnn.runtimes.debian_packages finds the host's mirror in apt's own files and changes only the suite."""

from __future__ import annotations

from pathlib import Path

import pytest
from tinyrnn.errors import TinyrnnError
from tinyrnn.runtimes import debian_packages

DEB822 = """# a comment
Types: deb deb-src
# another
URIs: http://mirror.invalid/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc=
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://security.invalid/debian-security
Suites: bookworm-security
Components: main
"""


def etc(folder: Path, **files: str) -> Path:
    """A folder /etc/apt: keyword -> text, ``list_`` for sources.list, the others in sources.list.d."""
    (folder / "sources.list.d").mkdir()
    for name, text in files.items():
        where = folder / "sources.list" if name == "list_" else folder / "sources.list.d" / name.replace("_", ".")
        where.write_text(text)
    return folder


def test_deb822(tmp_path: Path) -> None:
    other = "Types: deb\nURIs: http://other.invalid/\nSuites: nodistro\nComponents: main\n"
    form, text = debian_packages.mirror(etc(tmp_path, a_sources=other, debian_sources=DEB822), "forky")
    assert form == "sources"
    assert text == (
        "Uris: http://mirror.invalid/debian\n"
        "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc=\n -----END PGP PUBLIC KEY BLOCK-----\n"
        "Types: deb\nSuites: forky\nComponents: main\n"
    )


@pytest.mark.parametrize("off", ["Enabled: no\n" + DEB822.split("\n\n")[0], DEB822.split("\n\n")[1]])
def test_deb822_that_does_not_count(tmp_path: Path, off: str) -> None:
    with pytest.raises(TinyrnnError, match="no Debian source"):
        debian_packages.mirror(etc(tmp_path, debian_sources=off), "trixie")


def test_classic(tmp_path: Path) -> None:
    text = """# deb http://comment.invalid/debian bookworm main
deb-src http://source.invalid/debian bookworm main
deb http://security.invalid/debian-security bookworm-security main
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.invalid/debian  bookworm contrib main
"""
    wanted = "deb [signed-by=/usr/share/keyrings/k.gpg] http://mirror.invalid/debian trixie main\n"
    assert debian_packages.mirror(etc(tmp_path, list_=text), "trixie") == ("list", wanted)


def test_classic_without_options(tmp_path: Path) -> None:
    text = "deb http://mirror.invalid/debian stable main non-free\n"
    assert debian_packages.mirror(etc(tmp_path, x_list=text), "trixie") == (
        "list",
        "deb http://mirror.invalid/debian trixie main\n",
    )


def test_no_source(tmp_path: Path) -> None:
    with pytest.raises(TinyrnnError, match="TINYRNN_MICROPYTHON"):
        debian_packages.mirror(etc(tmp_path), "trixie")


def test_no_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(TinyrnnError, match=r"apt-get is not on the PATH.*TINYRNN_MICROPYTHON"):
        debian_packages.host_architecture()
