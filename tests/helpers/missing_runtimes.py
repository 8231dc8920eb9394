# SPDX-License-Identifier: MIT
"""What a test does without a runtime that it needs, and the list of missing runtimes at the end of a run.

The test is skipped with the cure. With TINYRNN_REQUIRE_RUNTIMES=1, as in CI, it fails: where every runtime was provided, a
skip would hide a fault. Runtimes that no package provides stay optional even there, and the list says what a green run did
not cover.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
from tinyrnn.errors import RuntimeMissing

MISSING = "missing runtime"  # the name of a property in a test's report, which pytest-xdist carries to the first process


@contextmanager
def needed(optional: bool = False) -> Iterator[None]:
    """Skip the test when the body raises RuntimeMissing, or fail it where all runtimes are required.

    optional: no package provides this runtime, so CI may lack it too.
    """
    try:
        yield
    except RuntimeMissing as error:
        if os.environ.get("TINYRNN_REQUIRE_RUNTIMES") == "1" and not optional:
            pytest.fail(f"TINYRNN_REQUIRE_RUNTIMES=1, and {error}", pytrace=False)
        pytest.skip(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and call.excinfo and isinstance(call.excinfo.value.__context__, RuntimeMissing):
        report.user_properties.append((MISSING, str(call.excinfo.value.__context__)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List each missing runtime with its cure and the number of tests that were skipped for it."""
    tests = Counter(
        cure
        for report in terminalreporter.stats.get("skipped", ())
        for name, cure in report.user_properties
        if name == MISSING
    )
    if tests:
        terminalreporter.ensure_newline()
        terminalreporter.section("runtimes that are missing here, and the tests skipped for them")
        for cure, count in tests.most_common():
            terminalreporter.write_line(f"{count:5} {cure}")
