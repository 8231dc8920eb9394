# SPDX-License-Identifier: MIT
"""A script does the same on every runtime: arguments, folders, import path, exit status, output, files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tinyrnn import runtimes
from tinyrnn.errors import RuntimeMissing, TinyrnnError
from tinyrnn.runtimes import Runtime

TIMEOUT_S = 60.0


def write(folder: Path, text: str, name: str = "script.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file


def run(runtime: Runtime, tmp_path: Path, text: str, *args: str, **options: object) -> str:
    """The output of a script outside its working folder ``tmp_path/work``."""
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    options.setdefault("timeout", TIMEOUT_S)
    return runtime.run(write(tmp_path / "scripts", text), *args, cwd=work, **options)  # type: ignore[arg-type]


def test_facts(runtime: Runtime) -> None:
    if runtime.name in ("unix-i386", "unix-armhf"):
        assert (runtime.bits, runtime.has_viper) == (32, True)
    elif runtime.name == "unix-x64":
        assert (runtime.bits, runtime.has_viper) == (64, True)
    elif runtime.name == "webassembly":
        assert (runtime.bits, runtime.has_viper) == (32, False)
    else:
        assert runtime.version == ".".join(str(part) for part in sys.version_info[:3])
        assert not runtime.has_viper
    if runtime.is_micropython:  # urnn promises v1.23 and newer
        assert tuple(int(part) for part in runtime.version.split("-")[0].split(".")) >= (1, 23, 0)


def test_arguments(runtime: Runtime, tmp_path: Path) -> None:
    wanted = ["two words", "", "-x", "a'b\"c", "back\\slash", "é"]
    out = run(runtime, tmp_path, "import sys\nprint('|'.join(sys.argv[1:]))\nprint(__name__)\n", *wanted)
    assert out.splitlines() == ["|".join(wanted), "__main__"]


def test_import_path_and_own_folder(runtime: Runtime, tmp_path: Path) -> None:
    write(tmp_path / "first", "WHERE = 'first'\n", "twice_there.py")
    write(tmp_path / "second", "WHERE = 'second'\n", "twice_there.py")
    write(tmp_path / "second" / "a_package", "from .inside import N\n", "__init__.py")
    write(tmp_path / "second" / "a_package", "N = 42\n", "inside.py")
    write(tmp_path / "scripts", "N = 43\n", "beside_the_script.py")
    text = "import twice_there, a_package, beside_the_script\nprint(twice_there.WHERE, a_package.N, beside_the_script.N)\n"
    path = [tmp_path / "first", tmp_path / "second"]
    assert run(runtime, tmp_path, text, path=path) == "first 42 43\n"


@pytest.mark.parametrize(("ending", "status"), [("sys.exit(7)", 7), ("raise SystemExit(255)", 255), ("1 // 0", 1)])
def test_exit_status(runtime: Runtime, tmp_path: Path, ending: str, status: int) -> None:
    text = f"import sys\ndef inner():\n    {ending}\nprint('before the end')\ninner()\n"
    with pytest.raises(TinyrnnError, match=rf"ended with exit status {status}\b") as caught:
        run(runtime, tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{runtime.name}: script.py ")
    assert "before the end" in message
    if status == 1:  # the script's own line is in the traceback
        assert "ZeroDivisionError" in message
        assert "line 3, in inner" in message


@pytest.mark.parametrize("ending", ["sys.exit()", "sys.exit(0)", "raise SystemExit", ""])
def test_exit_status_0(runtime: Runtime, tmp_path: Path, ending: str) -> None:
    assert run(runtime, tmp_path, f"import sys\nprint('done')\n{ending}\n") == "done\n"


def test_syntax_error(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(TinyrnnError, match="SyntaxError"):
        run(runtime, tmp_path, "print('never')\n)\n")


@pytest.mark.parametrize("status", [0, 3])
def test_large_output_is_complete(runtime: Runtime, tmp_path: Path, status: int) -> None:
    """1 MB in lines and then 1 MB in one line, just before the end: no buffer may lose any of it."""
    text = (
        "import sys\n"
        "for i in range(10000): print('%09d' % i + 'x' * 90)\n"
        "for i in range(1000): sys.stdout.write('%09d' % i + 'y' * 991)\n"
        f"sys.exit({status})\n"
    )
    wanted = "".join(f"{i:09d}{'x' * 90}\n" for i in range(10000))
    wanted += "".join(f"{i:09d}{'y' * 991}" for i in range(1000))
    if status == 0:
        assert run(runtime, tmp_path, text) == wanted
    else:
        with pytest.raises(TinyrnnError) as caught:
            run(runtime, tmp_path, text)
        assert wanted.splitlines()[-1] in str(caught.value)


def test_files_of_the_working_folder(runtime: Runtime, tmp_path: Path) -> None:
    """Bytes are read and written unchanged and at once, by relative and by absolute names."""
    work = tmp_path / "work"
    work.mkdir()
    every_byte = bytes(range(256)) * 300
    (work / "in.bin").write_bytes(every_byte)
    (work / "old.bin").write_bytes(b"to be removed")
    (work / "append.txt").write_bytes(b"one\n")
    text = f"""
import os
with open("in.bin", "rb") as f:
    data = f.read()
    f.seek(250)
    assert f.read(10) == data[250:260]
    assert f.seek(0, 2) == len(data)
    f.seek(0)
    part = bytearray(1000)
    assert f.readinto(part) == 1000 and part == data[:1000]
os.mkdir("sub")
with open("sub/new.bin", "wb") as f:
    assert f.write(data) == len(data)
with open("append.txt", "a") as f:
    f.write("two\\n")
os.remove("old.bin")
with open("{work}/absolute.tmp", "w") as f:
    f.write("é")
os.rename("absolute.tmp", "absolute.txt")
os.mkdir("gone")
os.rmdir("gone")
print(sorted(os.listdir()), os.stat("sub/new.bin")[6], os.getcwd())
try:
    open("nothing here")
except OSError:
    print("OSError")
"""
    out = run(runtime, tmp_path, text)
    names = ["absolute.txt", "append.txt", "in.bin", "sub"]
    assert out.splitlines() == [f"{names} {len(every_byte)} {work}", "OSError"]
    assert sorted(file.name for file in work.iterdir()) == names
    assert (work / "sub" / "new.bin").read_bytes() == every_byte
    assert (work / "append.txt").read_bytes() == b"one\ntwo\n"
    assert (work / "absolute.txt").read_text(encoding="utf-8") == "é"


def test_what_the_device_package_needs(micropython: Runtime, tmp_path: Path) -> None:
    text = """
import array, binascii, gc, io, json, micropython, os, struct, sys, time
assert binascii.crc32(b"123456789") == 0xCBF43926
assert struct.unpack("<hH", struct.pack("<hH", -2, 65534)) == (-2, 65534)
assert list(array.array("h", bytes(6))) == [0, 0, 0]
assert time.ticks_diff(time.ticks_us(), time.ticks_us()) <= 0
gc.collect()
def locked():
    micropython.heap_lock()
    try:
        bytearray(100)
        return False
    except MemoryError:
        return True
    finally:
        micropython.heap_unlock()
print(locked(), micropython.const(5), gc.mem_alloc() > 0, sys.implementation.name)
"""
    assert run(micropython, tmp_path, text) == "True 5 True micropython\n"


def test_exception_under_a_locked_heap(micropython: Runtime, tmp_path: Path) -> None:
    """A step() that allocates fails with a MemoryError and does not hang.

    The traceback is not tested: webassembly has no memory for it then.
    """
    text = "import micropython\ndef step():\n    micropython.heap_lock()\n    return bytearray(100)\nstep()\n"
    with pytest.raises(TinyrnnError, match="MemoryError"):
        run(micropython, tmp_path, text)


def test_heap_has_a_bound(bounded32: Runtime, tmp_path: Path) -> None:
    text = """
import gc
gc.collect()
print(gc.mem_free() + gc.mem_alloc())
try:
    x = bytearray(64 * 1024)
    print("allocated")
except MemoryError:
    print("MemoryError")
"""
    size, bounded = run(bounded32, tmp_path, text, heapsize="64k").splitlines()
    assert 60 * 1024 < int(size) <= 64 * 1024
    assert bounded == "MemoryError"
    assert run(bounded32, tmp_path, text).splitlines()[1] == "allocated"


def test_heapsize_is_accepted_everywhere(runtime: Runtime, tmp_path: Path) -> None:
    assert run(runtime, tmp_path, "print(sum(range(100)))\n", heapsize="2m") == "4950\n"


def test_small_ints(micropython: Runtime, tmp_path: Path) -> None:
    """2**30 - 1 is the last integer that needs no memory on a 32-bit runtime."""
    text = """
import micropython
def fits(n):
    micropython.heap_lock()
    try:
        n + 1
        return True
    except MemoryError:
        return False
    finally:
        micropython.heap_unlock()
print(fits((1 << 30) - 2), fits((1 << 30) - 1))
"""
    assert run(micropython, tmp_path, text) == ("True True\n" if micropython.bits == 64 else "True False\n")


def test_timeout(runtime: Runtime, tmp_path: Path) -> None:
    text = "print('working')\nwhile True:\n    pass\n"
    with pytest.raises(TinyrnnError, match=r"ran longer than 3 s and was stopped"):
        run(runtime, tmp_path, text, timeout=3)


def test_bad_working_folder(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(TinyrnnError, match="cannot be started"):
        runtime.run(write(tmp_path, "print(1)\n"), cwd=tmp_path / "nowhere", timeout=TIMEOUT_S)


def test_missing_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYRNN_CACHE", str(tmp_path))
    absent = runtimes.missing()
    for name in ("unix-i386", "unix-armhf", "webassembly"):
        assert f"python3 tools/runtimes.py {name}" in absent[name]
        with pytest.raises(RuntimeMissing, match=r"tools/runtimes\.py"):
            runtimes.get(name)
    assert "cpython" in [runtime.name for runtime in runtimes.find()]
    with pytest.raises(RuntimeMissing, match="no runtime is called 'unix-z80'"):
        runtimes.get("unix-z80")


def test_custom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYRNN_MICROPYTHON", str(tmp_path / "nothing"))
    assert "TINYRNN_MICROPYTHON" in runtimes.missing()["custom"]
    monkeypatch.setenv("TINYRNN_MICROPYTHON", sys.executable)
    assert "is cpython" in runtimes.missing()["custom"]
    broken = write(tmp_path, "#!/bin/sh\necho no good\nexit 3\n", "broken")
    broken.chmod(0o755)
    monkeypatch.setenv("TINYRNN_MICROPYTHON", str(broken))
    assert "exit status 3" in runtimes.missing()["custom"]


def test_custom_is_used(need_runtime: Callable[[str], Runtime], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = need_runtime("unix-x64").command[0]
    monkeypatch.setenv("TINYRNN_MICROPYTHON", launcher)
    custom = runtimes.get("custom")
    assert custom.command == (launcher,)
    assert run(custom, tmp_path, "print(6 * 7)\n") == "42\n"
