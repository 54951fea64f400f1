"""`python -m lawtune` is `lawtune`."""

import sys

from lawtune.cli import main

sys.exit(main())
