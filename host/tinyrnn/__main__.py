"""``python -m tinyrnn`` is the command ``tinyrnn``."""

from __future__ import annotations


def main() -> int:
    """The command line. Ctrl-C ends it in one line from the first import on."""
    try:
        from tinyrnn.cli import main as run

        return run()
    except KeyboardInterrupt:
        import sys

        print("tinyrnn: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
