# SPDX-License-Identifier: MIT
"""Errors that the user can fix. Each message is one line: what was seen, what was expected, and a cure."""


class TinyrnnError(Exception):
    """The base class. The command line prints the message without a traceback and exits with ``exit_code``."""

    exit_code = 1


class DataError(TinyrnnError):
    """A recording that cannot be used: a wrong shape, text instead of a number, a missing label."""

    exit_code = 3


class ModelError(TinyrnnError):
    """A model that cannot be read, quantized or packed."""

    exit_code = 4


class RuntimeMissing(TinyrnnError):
    """A MicroPython runtime that is not installed on this machine."""

    exit_code = 5


class Mismatch(TinyrnnError):
    """A runtime or a board computed integers that differ from the simulator's."""

    exit_code = 6


class LinkError(TinyrnnError):
    """A port that cannot be opened, a board that does not answer, or a connection that corrupts data."""

    exit_code = 7


class BoardError(TinyrnnError):
    """A board that answers but cannot do what was asked: no room, old firmware, an exception on the board."""

    exit_code = 8
