"""The process: settings, logs, and kopf with everything that runs beside it. ``python -m batch_operator``.

Exit status: 0 after SIGTERM, 1 where it could not start, lost the lead, or a watch ended for good; the kubelet then
starts it again.
"""

import asyncio
import logging
import sys

import structlog
from pydantic import ValidationError

from batch_operator.cluster.lead import NotLeading
from batch_operator.config import Settings
from batch_operator.handlers.lifecycle import Operator
from batch_operator.handlers.logs import configure

RECURSION_LIMIT = 40_000
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
