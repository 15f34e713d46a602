"""Entry of `python3 -m batch_worker`."""

import sys

from batch_worker.cli import main

sys.exit(main())
