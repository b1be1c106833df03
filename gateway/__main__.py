"""`python -m gateway` is the command `toolgate`."""

import sys

from gateway.cli import main

sys.exit(main())
