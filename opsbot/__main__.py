"""`python -m opsbot`: the command line."""

import sys

from opsbot.cli import main

sys.exit(main())
