"""The process: settings, logs, and kopf with everything that runs beside it. ``python -m batch_operator``.

Exit status: 0 after SIGTERM, 1 where it could not start, lost the lead, or a watch ended for good; the kubelet then
starts it again.
"""

import asyncio
import gc
import logging
import sys

import structlog
from pydantic import ValidationError

from batch_operator.cluster.lead import NotLeading
from batch_operator.config import Settings
from batch_operator.handlers.lifecycle import Operator
from batch_operator.handlers.logs import configure

RECURSION_LIMIT = 40_000
GC_THRESHOLDS = (20_000, 5, 20)
"""10,000 waiting jobs are half a million objects, none of them garbage, and Python looks at all of them, for half a
second, whenever a quarter as many have outlived two small collections. At its own thresholds (700, 10, 10) these run in
the midst of a cycle of the scheduler, and what that cycle holds for a moment counts as outlived."""
log = structlog.get_logger(__name__)


def main() -> int:
    try:
        settings = Settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            name = "BATCH_OPERATOR_" + "_".join(str(part) for part in problem["loc"]).upper()
            print(f"{name}: {problem['msg']}; it is {problem['input']!r}", file=sys.stderr)
        return 1
    configure(settings.log_level, settings.log_format)
    # The API server takes objects that nest 10,000 levels deep, and kopf reads them with the json module: at Python's
    # default limit one such object would end the process, again at each start.
    sys.setrecursionlimit(RECURSION_LIMIT)
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        asyncio.run(_run(settings))
    except KeyboardInterrupt:
        return 0
    except NotLeading as error:
        log.critical("ending", reason="LeadLost", error=str(error))
        return 1
    except Exception as error:  # said in one line, and the process ends
        log.critical("ending", reason=type(error).__name__, error=str(error), exc_info=error)
        return 1
    finally:
        logging.shutdown()
    return 0


async def _run(settings: Settings) -> None:
    await Operator(settings).run()
