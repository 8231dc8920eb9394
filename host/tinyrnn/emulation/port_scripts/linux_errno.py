# SPDX-License-Identifier: MIT
# Runs on the webassembly port before its REPL: errors of files by the numbers of Linux, which boards and hosts
# use (no such file: 2). That port's C library counts as WASI does (44).
import builtins
import os

LINUX = {2: 13, 8: 9, 10: 16, 20: 17, 28: 22, 29: 5, 31: 21, 44: 2, 51: 28, 54: 20, 55: 39, 63: 1, 69: 30, 75: 18}


def translated(function):
    def call(*args, **options):
        try:
            return function(*args, **options)
        except OSError as error:
            raise OSError(LINUX.get(error.errno, error.errno))  # noqa: B904 (no chains in MicroPython)

    return call


for _name in ("chdir", "ilistdir", "listdir", "mkdir", "remove", "rename", "rmdir", "stat", "statvfs", "unlink"):
    if hasattr(os, _name):
        setattr(os, _name, translated(getattr(os, _name)))
builtins.open = translated(open)
