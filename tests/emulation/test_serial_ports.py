# SPDX-License-Identifier: MIT
"""The ports that other tests run on behave like boards: mpremote drives them, and their flash survives a restart."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from mpremote.transport_serial import SerialTransport
from serial import SerialException
from tinyrnn.emulation.serial_ports import Port


class Serial(SerialTransport):
    """mpremote's link with the raw REPL open, for a ``with`` statement."""

    def __init__(self, port: Port, soft_reset: bool = True) -> None:
        super().__init__(port.path)
        self.enter_raw_repl(soft_reset=soft_reset)

    def __enter__(self) -> Serial:
        return self

    def __exit__(self, *_: object) -> None:
        self.exit_raw_repl()
        self.close()


def read_on(link: SerialTransport) -> None:
    """Read more than can be in flight."""
    for _ in range(10_000):
        link.serial.read(1)


def test_program_answers(port: Port) -> None:
    with Serial(port) as link:
        assert link.exec("print(6 * 7)").strip() == b"42"
        assert link.exec("a = 1").strip() == b""
        assert link.exec("print(a)").strip() == b"1"
        assert link.eval("__import__('sys').implementation[0]") == "micropython"


def test_soft_reset_forgets_and_keeps_the_line(port: Port) -> None:
    with Serial(port) as link:
        link.exec("kept = 1")
    with Serial(port, soft_reset=False) as link:
        assert link.eval("'kept' in globals()") is True
    with Serial(port) as link:
        assert link.eval("'kept' in globals()") is False


def test_libraries_are_found_where_deploy_puts_them(port: Port) -> None:
    """The path has '' and one folder called lib, which mip and deploy ask for."""
    with Serial(port) as link:
        path = link.eval("__import__('sys').path")
    assert "" in path
    assert [folder for folder in path if folder.endswith("lib")]


def test_long_program_arrives_whole(port: Port) -> None:
    lines = [f"total += {number}" for number in range(600)]
    with Serial(port) as link:
        assert link.exec("total = 0\n" + "\n".join(lines) + "\nprint(total)").strip() == b"179700"


def test_missing_file_gives_a_board_s_error(port: Port) -> None:
    with Serial(port) as link:
        with pytest.raises(FileNotFoundError):
            link.fs_stat("no-such-file")
        assert link.eval("[e.errno for e in [OSError(2)]]") == [2]


def test_running_program_is_interrupted(port: Port) -> None:
    if not port.can_interrupt:
        pytest.skip(f"{port.name} cannot interrupt a program that neither reads nor prints: a limit of that port")
    with Serial(port) as link:
        link.exec_raw_no_follow("while True: pass")
        time.sleep(0.2)
        link.serial.write(b"\x03")
        assert b"KeyboardInterrupt" in link.follow(10)[1]
        assert link.exec("print('alive')").strip() == b"alive"


def test_program_that_reads_is_interrupted(port: Port) -> None:
    with Serial(port) as link:
        link.exec_raw_no_follow("import sys\nprint(sys.stdin.readline())\nsys.stdin.readline()")
        link.serial.write(b"hello\n")
        assert link.read_until(1, b"hello").endswith(b"hello")
        link.serial.write(b"\x03")
        assert b"KeyboardInterrupt" in link.follow(10)[1]
        assert link.exec("print('alive')").strip() == b"alive"


def test_flash_outlives_the_power(fresh_port: Port) -> None:
    data = bytes(range(256)) * 20
    with Serial(fresh_port) as link:
        assert [entry.name for entry in link.fs_listdir("") if entry.name != "lib"] == []
        link.fs_writefile("a.bin", data)
        link.fs_mkdir("folder")
        link.fs_writefile("folder/b.txt", b"old")
        link.fs_writefile("folder/new.txt", b"new")
        link.exec("import os; os.rename('folder/new.txt', 'folder/b.txt')")
    fresh_port.restart()
    with Serial(fresh_port) as link:
        assert link.fs_readfile("a.bin") == data
        assert link.fs_readfile("folder/b.txt") == b"new"
        assert [entry.name for entry in link.fs_listdir("folder")] == ["b.txt"]
        link.fs_rmfile("folder/b.txt")
        assert link.fs_listdir("folder") == []


def test_cut_in_the_middle_of_a_write(fresh_port: Port) -> None:
    """The host notices at once. Closed files are complete, and the file being written is a prefix."""
    with Serial(fresh_port) as link:
        link.fs_writefile("whole.bin", bytes(5000))
    link = Serial(fresh_port)
    link.exec_raw_no_follow("f = open('cut.bin', 'wb')\nwhile True: n = f.write(bytes(256)); f.flush(); print('w')")
    link.read_until(1, b"w")
    fresh_port.kill()
    assert fresh_port.path == ""
    with pytest.raises(SerialException):
        read_on(link)
    link.serial.close()
    fresh_port.start()
    with Serial(fresh_port) as link:
        assert link.fs_readfile("whole.bin") == bytes(5000)
        if "cut.bin" in [entry.name for entry in link.fs_listdir("")]:
            cut = link.fs_readfile("cut.bin")
            assert cut == bytes(len(cut))


def test_main_py_runs_at_power_on(fresh_port: Port) -> None:
    with Serial(fresh_port) as link:
        link.fs_writefile("main.py", b"open('ran', 'w').close()\n")
    fresh_port.restart()
    with Serial(fresh_port) as link:
        assert "ran" in [entry.name for entry in link.fs_listdir("")]


def test_bounded_heap(make_port: Callable[..., Port]) -> None:
    with Serial(make_port("unix-x64", heapsize="64k")) as link:
        assert 30_000 < link.eval("[__import__('gc').collect(), __import__('gc').mem_free()][1]") < 64 * 1024
