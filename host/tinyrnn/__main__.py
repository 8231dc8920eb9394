# SPDX-License-Identifier: MIT
"""``python -m tinyrnn`` is the command ``tinyrnn``."""

from __future__ import annotations


def main() -> int:
    """Run the command line and return its exit status. Ctrl-C prints one line, even during the first imports."""
    try:
        from tinyrnn.cli import main as run

        return run()
    except KeyboardInterrupt:
        import sys

        print("tinyrnn: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
