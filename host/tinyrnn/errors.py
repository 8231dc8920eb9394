"""Errors a user can mend. Each message is one line: what was seen, what was expected, the cure."""


class TinyrnnError(Exception):
    """Base class; the command line prints the message, without a traceback, and exits with ``exit_code``."""

    exit_code = 1


class DataError(TinyrnnError):
    """A recording that cannot be used: wrong shape, not a number, no label."""

    exit_code = 3


class ModelError(TinyrnnError):
    """A model that cannot be read, quantized or packed."""

    exit_code = 4


class RuntimeMissing(TinyrnnError):
    """A MicroPython runtime that is not on this machine."""

    exit_code = 5


class Mismatch(TinyrnnError):
    """Two runtimes computed different integers."""

    exit_code = 6


class LinkError(TinyrnnError):
    """A port that cannot be opened, a board that does not answer, or a line that damages what goes over it."""

    exit_code = 7


class BoardError(TinyrnnError):
    """A board that answered and said no: no room, firmware too old, an exception on the board."""

    exit_code = 8
