# SPDX-License-Identifier: MIT
"""Types that a test knows and a type checker cannot know."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def instance(kind: type[T], value: object) -> T:
    """The value, which has to be an instance of this class."""
    assert isinstance(value, kind), f"{type(value).__name__}, expected {kind.__name__}"
    return value
