# SPDX-License-Identifier: MIT
"""Run on a board for tinyrnn deploy: main(verb, ...) lists, copies, renames and removes files. It answers in lines."""

import os

try:
    from hashlib import sha256
except ImportError:
    sha256 = None
from binascii import crc32, hexlify

CHUNK = 512


def digest(path):
    # (size, digest): SHA-256 in 64 hex digits, or CRC-32 in 8 where the firmware has no SHA-256
    total = sha256() if sha256 else 0
    size = 0
    with open(path, "rb") as f:
        while True:
            piece = f.read(CHUNK)
            if not piece:
                break
            size += len(piece)
            if sha256:
                total.update(piece)
            else:
                total = crc32(piece, total)
    return size, str(hexlify(total.digest()), "ascii") if sha256 else "%08x" % (total & 0xFFFFFFFF)


def is_folder(path):
    return os.stat(path)[0] & 0x4000


def exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False


def walk(path, found):
    # Append every file and folder at path to found, each folder after its contents
    if not exists(path):
        return
    if is_folder(path):
        for name in os.listdir(path):
            if name not in (".", ".."):
                walk(path + "/" + name, found)
        found.append(path + "/")
    else:
        found.append(path)


def survey(*paths):
    """A line `BYTES DIGEST PATH` for each file at the paths, and `0 - PATH/` for each folder."""
    found = []
    for path in paths:
        walk(path, found)
    return "\n".join("0 - " + path if path[-1] == "/" else "%d %s %s" % (digest(path) + (path,)) for path in found)


def copy(folder, *pairs):
    """Make the folder and its parents, then copy each (old, new) pair of paths within the board."""
    at = folder.find("/", 1)
    while True:
        part = folder if at < 0 else folder[:at]
        if not exists(part):
            os.mkdir(part)
        if at < 0:
            break
        at = folder.find("/", at + 1)
    for old, new in pairs:
        with open(old, "rb") as source, open(new, "wb") as target:
            while True:
                piece = source.read(CHUNK)
                if not piece:
                    break
                target.write(piece)
    return ""


def rename(*pairs):
    """Rename each (old, new) pair. A file that has the new name is replaced in one step."""
    for old, new in pairs:
        os.rename(old, new)
    return ""


def remove(*paths):
    """Remove files and empty folders in the given order. Missing ones are skipped."""
    for path in paths:
        try:
            if path[-1] == "/":
                os.rmdir(path[:-1])
            else:
                os.remove(path)
        except OSError:
            if exists(path):
                raise
    return ""


def main(verb, *args):
    return {"survey": survey, "copy": copy, "rename": rename, "remove": remove}[verb](*args)
