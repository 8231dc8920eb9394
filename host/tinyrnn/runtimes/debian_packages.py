# SPDX-License-Identifier: MIT
"""Debian packages of another suite and architecture, unpacked into a folder without installing them.

A private apt tree uses the host's own mirror, keys and proxy, with another suite. This works for root and for an
ordinary user. The host's own apt and dpkg state is only read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tinyrnn.errors import TinyrnnError

APT_TIMEOUT_S = 900
# Names that a host's sources use for a suite of Debian's main archive; "-updates" and the like are other archives.
HOST_SUITES = {"oldstable", "stable", "testing", "unstable", "sid", "bookworm", "trixie", "forky", "duke"}


def call(command: list[str], cwd: Path | None = None, timeout: float = APT_TIMEOUT_S, **environment: str) -> str:
    """Run a command and return its stdout. Raises TinyrnnError with the command's own error lines."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
    )
    if done.returncode:
        said = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith(("E:", "npm error", "npm ERR!"))] or said
        reason = " | ".join(errors[:3]) or "it said nothing"
        raise TinyrnnError(
            f"{' '.join(command[:2])} ended with status {done.returncode} ({reason}): "
            "check the network and the package sources, then run this again"
        )
    return done.stdout


def host_architecture() -> str:
    """Debian's name for this machine's architecture. Raises TinyrnnError where there is no apt."""
    for tool in ("apt-get", "apt-config", "dpkg"):
        if shutil.which(tool) is None:
            raise TinyrnnError(
                f"{tool} is not on the PATH: this runtime is unpacked from Debian's packages, so it needs a "
                "Debian host or container; or set TINYRNN_MICROPYTHON to the path of your own MicroPython"
            )
    return call(["dpkg", "--print-architecture"]).strip()


def unpack(suite: str, architecture: str, packages: list[str], into: Path, tools: dict[str, str] | None = None) -> None:
    """Unpack ``packages`` of ``suite`` for ``architecture``, and their dependencies, into the folder ``into``.

    tools: package:architecture -> path of a file in that package. Only this file is put into ``into``.
    Raises TinyrnnError when there is no apt, no usable source, no network or no such package.
    """
    tools = tools or {}
    architectures = [architecture, *(name.split(":")[1] for name in tools)]
    with tempfile.TemporaryDirectory(dir=into.parent, prefix="apt-") as scratch:
        root = Path(scratch)
        config = _apt_tree(root, suite, list(dict.fromkeys(architectures)))
        call(["apt-get", "update", "-qq"], APT_CONFIG=config)
        call(["apt-get", "install", "-qq", "-y", "--download-only", *packages], APT_CONFIG=config)
        (into / "usr" / "lib").mkdir(parents=True)
        (into / "lib").symlink_to("usr/lib")  # the merged /usr, normally made by base-files
        for archive in sorted((root / "var/cache/apt/archives").glob("*.deb")):
            call(["dpkg", "-x", str(archive), str(into)])
        for number, (package, file) in enumerate(tools.items()):
            folder = root / f"tool{number}"
            folder.mkdir()
            call(["apt-get", "download", "-qq", package], cwd=folder, APT_CONFIG=config)
            call(["dpkg", "-x", str(next(folder.glob("*.deb"))), str(folder / "root")])
            shutil.move(str(folder / "root" / file), into / Path(file).name)


def _apt_tree(root: Path, suite: str, architectures: list[str]) -> str:
    """Make a private apt tree under ``root``; returns the path of its configuration, for APT_CONFIG."""
    for folder in (
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
        "etc/apt/sources.list.d",
        "var/lib/apt/lists/partial",
        "var/lib/dpkg",
        "var/cache/apt/archives/partial",
        "var/log/apt",
    ):
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    form, text = mirror(Path("/etc/apt"), suite)
    source = "sources.list" if form == "list" else "sources.list.d/host.sources"
    (root / "etc/apt" / source).write_text(text)
    # The host's network settings: proxies, certificates, passwords.
    transport = re.findall(r"^Acquire::https?(?:::.*)?\s.*;$", call(["apt-config", "dump"]), re.MULTILINE)
    config = root / "apt.conf"
    config.write_text(
        "\n".join(
            [
                *transport,
                f'Dir "{root}";',
                f'Dir::State::status "{root}/var/lib/dpkg/status";',
                'Dir::Etc::netrc "/etc/apt/auth.conf"; Dir::Etc::netrcparts "/etc/apt/auth.conf.d";',
                'Dir::Etc::trusted "/etc/apt/trusted.gpg"; Dir::Etc::trustedparts "/etc/apt/trusted.gpg.d";',
                f'APT::Architecture "{architectures[0]}";',
                "APT::Architectures { " + " ".join(f'"{name}";' for name in architectures) + " };",
                'APT::Install-Recommends "false"; APT::Get::Assume-Yes "true";',
                'APT::Sandbox::User "root";',  # the user _apt cannot read the user's cache, where the tree is
                # An outdated mirror or a snapshot is good enough here. Only the check of the date is off; the
                # signature and every hash are still verified.
                'Acquire::Check-Valid-Until "false";',
                'APT::Update::Error-Mode "any"; Acquire::Retries "3";',
                'Acquire::Languages "none"; Acquire::PDiffs "false"; Acquire::GzipIndexes "true";',
                "",
            ]
        )
    )
    return str(config)


def mirror(etc: Path, suite: str) -> tuple[str, str]:
    """The host's Debian source with its suite replaced, as ("sources" or "list", text in that format).

    Reads the files that apt reads: first ``sources.list.d/*.sources`` (deb822), then the one-line format. Takes the
    first enabled binary source of Debian's ``main`` component. Raises TinyrnnError when there is none.
    """
    for file in sorted(etc.glob("sources.list.d/*.sources")):
        for stanza in re.split(r"\n\s*\n", _without_comments(file.read_text())):
            fields = _fields(stanza)
            if (
                "deb" in fields.get("types", "").split()
                and fields.get("enabled", "yes").lower() != "no"
                and "main" in fields.get("components", "").split()
                and HOST_SUITES & set(fields.get("suites", "").split())
            ):
                kept = {name: value for name, value in fields.items() if name in KEPT_FIELDS}
                kept |= {"types": "deb", "suites": suite, "components": "main"}
                return "sources", "".join(f"{name.title()}: {value}\n" for name, value in kept.items())
    for file in [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))]:
        for line in _without_comments(file.read_text() if file.is_file() else "").splitlines():
            match = re.match(r"\s*deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)\s+(.*)", line)
            if match and match[3] in HOST_SUITES and "main" in match[4].split():
                options = [option for option in (match[1] or "").split() if not option.startswith("arch")]
                bracket = f"[{' '.join(options)}] " if options else ""
                return "list", f"deb {bracket}{match[2]} {suite} main\n"
    raise TinyrnnError(
        f"no Debian source with the component main in {etc}/sources.list or {etc}/sources.list.d: "
        "add your Debian's own source, or set TINYRNN_MICROPYTHON to a MicroPython of your own"
    )


KEPT_FIELDS = {"uris", "signed-by", "trusted", "check-valid-until"}


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def _fields(stanza: str) -> dict[str, str]:
    """deb822 fields by lower-case name. A line that starts with a blank continues the line before it."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1] in (" ", "\t") and name:
            fields[name] += "\n" + line
        elif ":" in line:
            name, value = line.split(":", 1)
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields
