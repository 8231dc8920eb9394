"""``python -m tinyrnn`` is the command ``tinyrnn``."""

from tinyrnn.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
