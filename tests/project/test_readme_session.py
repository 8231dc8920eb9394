# SPDX-License-Identifier: MIT
"""The sessions of the documentation, typed command by command with pip, tinyrnn and mpremote.

In README.md between <!-- session --> and <!-- /session -->, and in docs/getting-started.md between <!-- by-hand --> and <!--
/by-hand -->, a line ``$ COMMAND`` is typed at a shell in the project's folder. A line ``>>> LINE`` is typed at the REPL that
the last command opened. The lines below it are its output. Only the port's name is replaced; ``...`` stands for any text,
also for several lines. On the emulated RP2040, where the sessions were recorded, outputs must have the same words, and the
same figures within tolerance(): bytes of heap and flash within 3 %, times of a step within 5 %, any time for deploy, all
others exactly. On the unix port the words must be the same. ``python tools/readme.py --session`` records them again.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from shared.paths import ROOT
from tinyrnn.emulation.serial_ports import Port

PAGES = {"session": ROOT / "README.md", "by-hand": ROOT / "docs" / "getting-started.md"}
PORT = "/dev/ttyACM0"
STEP_S = 900.0  # guards against a hang: mip alone sends some hundred blocks
REPL_S = 300.0  # the same, for one line typed at the REPL
PROMPT = ">>> "
Step = tuple[str, list[str]]  # what is typed, with "$ " or ">>> ", and the lines of its output


def block(name: str) -> str:
    """The text of a session. Raises AssertionError unless the page has it once."""
    text = PAGES[name].read_text(encoding="utf-8")
    found = re.findall(rf"<!-- {name} -->\n```console\n(.*?)```\n<!-- /{name} -->", text, re.S)
    assert len(found) == 1, f"{PAGES[name].name} has {len(found)} sessions called {name}; expected one"
    return str(found[0])


def steps(text: str) -> list[Step]:
    typed: list[Step] = []
    for line in text.splitlines():
        if line.startswith(("$ ", PROMPT)):
            typed.append((line, []))
        else:
            typed[-1][1].append(line)
    return typed


NUMBER = re.compile(r"\d+(?:\.\d+)*")
PASSED = re.compile(r"(?<=\n)'PASS, .*'(?=\n)")
VERSION = re.compile(r"\bv[0-9a-f]{8}\b")


def words(lines: list[str]) -> str:
    """The words that must be the same each time: without the package's version and the width of columns."""
    text = VERSION.sub("VERSION", "\n".join(line.replace("...", "…") for line in lines))
    cleaned = (re.sub(r"[ ─-╿-]+", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in cleaned if line)


def tolerance(before: str, after: str) -> float:
    """The relative difference that a figure may have, by the text before and after it."""
    if before.endswith("done in "):
        return float("inf")
    if re.match(r" ?(kB|bytes)\b", after) or before.endswith("needs "):
        return 0.03
    if re.match(r" (us|ms)\b", after):
        return 0.05
    return 0.0


def figures(got: list[str], expected: list[str]) -> list[tuple[str, str, float]] | None:
    """Each figure of an output: (got, expected, tolerance); None when the words differ."""
    text = words(expected)
    found = list(NUMBER.finditer(text))
    pattern = ""
    at = 0
    for number in found:
        pattern += re.escape(text[at : number.start()]) + rf"({NUMBER.pattern})"
        at = number.end()
    pattern = (pattern + re.escape(text[at:])).replace("…", ".*")
    match = re.fullmatch(pattern, words(got), re.S)
    if match is None:
        return None
    return [
        (seen, number[0], tolerance(text[: number.start()], text[number.end() :]))
        for seen, number in zip(match.groups(), found, strict=True)
    ]


def near(seen: str, wanted: str, share: float) -> bool:
    """ "1.28.0" has no tolerance."""
    return seen == wanted or (share > 0 and abs(float(seen) - float(wanted)) <= share * float(wanted))


def same(got: list[str], expected: list[str], exact: bool = True) -> bool:
    """Whether an output is the page's. exact: with its figures."""
    found = figures(got, expected)
    return found is not None and (not exact or all(near(*figure) for figure in found))


def renewed(got: list[str], expected: list[str]) -> list[str]:
    """What the page shows from now on: new figures where the words are the same, otherwise the new output."""
    found = figures(got, expected)
    if found is None or not any("..." in line for line in expected):
        return got
    seen = iter([figure[0] for figure in found])
    either = rf"{VERSION.pattern}|{NUMBER.pattern}"
    text = re.sub(either, lambda m: m[0] if VERSION.match(m[0]) else next(seen), "\n".join(expected))
    return text.split("\n")


class Repl:
    """``mpremote ... repl`` in a terminal."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=ROOT, start_new_session=True
        )
        os.close(slave)
        self.wait_for("exit this shell\r\n")
        while termios.tcgetattr(self.master)[3] & termios.ICANON:
            time.sleep(0.01)  # mpremote takes the terminal over after that line, and drops what was typed before
        self.type("")

    def wait_for(self, ending: str) -> str:
        seen = b""
        until = time.monotonic() + REPL_S
        while not seen.decode(errors="replace").endswith(ending):
            assert time.monotonic() < until, f"no {ending!r} in {REPL_S:g} s, seen: {seen!r}"
            if select.select([self.master], [], [], 0.5)[0]:
                seen += os.read(self.master, 1024)
        return seen.decode()

    def type(self, line: str) -> list[str]:
        """Type a line and return its output, without the echo and the next prompt."""
        os.write(self.master, line.encode() + b"\r")
        answer = self.wait_for("\n" + PROMPT).removesuffix(PROMPT)
        return [said for said in answer.replace("\r", "").split("\n")[1:] if said]

    def leave(self) -> None:
        os.write(self.master, b"\x1d")  # Ctrl-]
        assert self.process.wait(REPL_S) == 0
        os.close(self.master)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the result of `pip install .` in a copy of this project, and nothing else."""
    source = tmp_path_factory.mktemp("source")
    target = tmp_path_factory.mktemp("installed")
    for name in ("host", "device", "boards"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(target)]  # the rest is here already
    command = [sys.executable, "-m", "pip", "install", *options, "."]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=STEP_S, check=False)
    assert done.returncode == 0, done.stderr
    return target


def play(name: str, port: Port, target: Path) -> list[Step]:
    """Type a session and return each step with its real answer."""
    environment = {**os.environ, "PYTHONPATH": str(target), "COLUMNS": "120"}
    environment["PATH"] = os.pathsep.join([str(target / "bin"), str(Path(sys.executable).parent), environment["PATH"]])
    seen: list[Step] = []
    repl: Repl | None = None
    for typed, _ in steps(block(name)):
        if typed.startswith(PROMPT):
            assert repl is not None, f"{typed}: no command before it opened a REPL"
            seen.append((typed, repl.type(typed.removeprefix(PROMPT))))
            continue
        words = shlex.split(typed.removeprefix("$ ").replace(PORT, port.path))
        if words[0] == "pip":
            assert words == ["pip", "install", "."]  # what the fixture did
            seen.append((typed, []))
        elif words[0] == "mpremote" and words[-1] == "repl":
            repl = Repl(words, environment)
            seen.append((typed, []))
        else:
            done = subprocess.run(
                words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=STEP_S, check=False
            )
            assert done.returncode == 0, f"{typed}\n{done.stdout}{done.stderr}"
            heading = re.sub(r"^port(?= )", "port" + " " * (len(PORT) - len(port.path)), done.stdout)  # above a longer name
            lines = heading.replace(port.path, PORT).split("\n")
            # mpremote draws its progress on one line; what is left of it is the last state
            seen.append((typed, [line.split("\r")[-1].rstrip() for line in lines if line.strip()]))
    assert repl is not None, "no command opened a REPL"
    repl.leave()
    return seen


def record(name: str, seen: list[Step]) -> None:
    text = PAGES[name].read_text(encoding="utf-8")
    new = ""
    for (typed, got), (_, expected) in zip(seen, steps(block(name)), strict=True):
        new += "\n".join([typed, *renewed(got, expected)]) + "\n"
    text = text.replace(block(name), new)
    PAGES[name].write_text(PASSED.sub(PASSED.findall(new)[0], text), encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("board", ["unix-x64", "rp2040"])
def test_session_does_what_the_page_shows(name: str, board: str, make_port: Callable[..., Port], installed: Path) -> None:
    seen = play(name, make_port(board), installed)
    if board == "rp2040" and os.environ.get("RECORD") == "1":
        record(name, seen)
    wanted = steps(block(name))
    assert [typed for typed, _ in seen] == [typed for typed, _ in wanted]
    for (typed, got), (_, expected) in zip(seen, wanted, strict=True):
        if board == "unix-x64":  # recorded on the other: another board's words, another kernel set; not another answer
            if not typed.startswith(PROMPT):
                assert bool(got) == bool(expected), typed
                continue
            expected = [line.replace("asm_thumb", "viper") for line in expected]
        assert same(got, expected, exact=board == "rp2040"), f"{typed}\n" + "\n".join(["got:", *got, "expected:", *expected])


def test_figures_are_compared_within_tolerances() -> None:
    shown = ["copied 12 files, 20.0 kB: __init__.mpy, ..., tables.mpy", "PASS, 250 us/step, v01234567", "done in 8.7 s."]
    for old, new, stands in (
        ("20.0 kB", "20.5 kB", True),
        ("20.0 kB", "21.0 kB", False),
        ("250 us", "239 us", True),
        ("250 us", "230 us", False),
        ("12 files", "13 files", False),
        ("8.7", "30", True),
        ("v01234567", "v89abcdef", True),
        ("PASS", "FAIL", False),
    ):
        seen = [line.replace("...", "a.mpy, b.mpy").replace(old, new) for line in shown]
        assert same(seen, shown) == stands, (old, new)
        assert same(seen, shown, exact=False) == (new != "FAIL")
    seen[1] = seen[1].replace("FAIL, 250", "PASS, 200")
    assert renewed(seen, shown) == [shown[0], shown[1].replace("250", "200"), shown[2]]
