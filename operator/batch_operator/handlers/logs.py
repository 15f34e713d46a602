"""Structured logs: one line a decision, with namespace, name and reason. Called once by main."""

import logging
import sys
from contextlib import suppress
from typing import Literal

import structlog
from structlog.typing import Processor


class Line:
    """Our own lines go straight to standard output: the logging module, which makes a record of each and asks the stack
    who called, took twice as long. `name`: of the module, for add_logger_name."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._out = sys.stdout

    def msg(self, line: str) -> None:
        """Never raises: a pass must not fail because nobody reads of it."""
        with suppress(OSError, ValueError):
            try:
                self._out.write(f"{line}\n")
            except UnicodeEncodeError:  # half a character, in the words of somebody's object
                self._out.write(f"{ascii(line)}\n")
            self._out.flush()

    debug = info = warning = error = critical = msg


def configure(level: str, form: Literal["json", "console"]) -> None:
    """Our own lines and those of the libraries (kopf, aiohttp) alike go to standard output."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Processor]
    if form == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # plain traces: the default prints local variables, tokens among them
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=Line,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    last.insert(0, structlog.stdlib.ProcessorFormatter.remove_processors_meta)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # kopf tells of each event that it hands over; what we decide from it is our own line
    logging.getLogger("kopf").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("aiohttp.access").setLevel(max(logging.WARNING, root.level))
