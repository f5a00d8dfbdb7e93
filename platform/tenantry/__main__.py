"""`python -m tenantry`: the same as the console script."""

import sys

from tenantry.cli import main

if __name__ == "__main__":
    sys.exit(main())
