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
