"""What the API server sends -> Python objects: whole, or only the fields that somebody reads (api.fields), which costs
a quarter and leaves no raw object in memory. Called by client.
"""

import json
from functools import lru_cache
from typing import Any, Generic, TypedDict, TypeVar

import msgspec
import orjson

from batch_operator.cluster.errors import Unreachable

F = TypeVar("F")
Object = dict[str, Any]
"""One decoded JSON object, as the API server sent it."""
Fields = type[Any]
"""A TypedDict of api.fields."""


class ListFields(TypedDict, Generic[F], total=False):
    metadata: dict[str, Any]
    items: list[F]


class EventFields(TypedDict, Generic[F], total=False):
    type: str
    object: F


def read_object(data: bytes, what: str, only: Fields | None = None) -> Object:
    """Raises Unreachable, which names `what`, where this is no JSON object."""
    return _whole(data, what) if only is None else _chosen(data, what, only)


def read_list(data: bytes, what: str, only: Fields | None = None) -> Object:
    """One page; `only` is of its items."""
    return _whole(data, what) if only is None else _chosen(data, what, ListFields[only])  # type: ignore[valid-type]


def read_event(line: bytes, only: Fields | None = None) -> Object:
    """One line of a watch; `only` is of its object. An ERROR has another one, and comes whole."""
    if only is not None:
        event = _chosen(line, "watch event", EventFields[only])  # type: ignore[valid-type]
        if event.get("type") != "ERROR":
            return event
    return _whole(line, "watch event")


def _chosen(data: bytes, what: str, only: Any) -> Object:
    try:
        read: Object = _decoder(only).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # not as promised: whoever decodes it shall see
        return _whole(data, what)
    return read


@lru_cache
def _decoder(only: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(only)


def _whole(data: bytes, what: str) -> Object:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:  # it also refuses what nests deeper than 1,024 levels, which the API server takes
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Unreachable(f"{what}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Unreachable(f"{what}: a JSON object was expected, not {type(value).__name__}")
    return value
