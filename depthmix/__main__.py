"""`python -m depthmix` is `depthmix`."""

import sys

from depthmix.cli import main

if __name__ == "__main__":
    sys.exit(main())
