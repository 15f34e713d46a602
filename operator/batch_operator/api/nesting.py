"""How deep free-form objects may nest. The API server takes up to 10,000 levels; nothing that walks them does.

Asked when an object is read (decoding, snapshot.decode_pipeline), so that everything after that may recurse.
"""

from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 64


def too_deep(value: Any, limit: int = MAX_DEPTH) -> bool:
    """Whether objects and lists nest deeper than `limit`. Does not recurse itself."""
    level: list[Any] = [value]
    for _ in range(limit):
        level = [
            child
            for node in level
            if isinstance(node, Mapping | list)
            for child in (node.values() if isinstance(node, Mapping) else node)
        ]
        if not level:
            return False
    return any(isinstance(node, Mapping | list) for node in level)
