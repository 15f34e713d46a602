"""``python -m batch_operator``: see main."""

import sys

from batch_operator.main import main

sys.exit(main())
