"""The object store behind file://, s3:// and gs:// URLs: reading inputs, writing parts and commit records.

Two guarantees that `parts` is built on: a put is atomic (readers see the old object or the whole new one), and
`put_if_absent` never replaces. Credentials and endpoints of s3:// and gs:// come from the usual environment variables.
"""

import io
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import obstore
import obstore.exceptions
import obstore.store

from batch_worker import log
from batch_worker.errors import InputError, InvalidConfig

SCHEMES = ("file://", "s3://", "gs://")
_READ_BUFFER = 1024 * 1024
_ABSENT = (FileNotFoundError, obstore.exceptions.NotFoundError)
_REFUSES_CREATE = (NotImplementedError, obstore.exceptions.NotSupportedError, obstore.exceptions.GenericError)


@dataclass(frozen=True)
class Version:
    """Which content of an object was read: `tag` is the store's e_tag, or its time of change where it has none."""

    size: int
    tag: str


def safe_path(file_id: str) -> str:
    """`file_id` as a path inside the store. Raises InputError where it would leave it (design section 1, limits)."""
    segments = file_id.split("/")
    if not file_id or "\\" in file_id or any(ord(character) < 32 for character in file_id):
        raise InputError(f"file_id {file_id!r} is empty or has a backslash or control character")
    if "://" in file_id or any(not segment or segment.startswith(".") for segment in segments):
        raise InputError(
            f"file_id {file_id!r} leaves the store: no '..', leading slash, URL or segment beginning with a dot"
        )
    return file_id


def open_store(url: str, *, create: bool = False) -> "Store":
    """The store at `url`; `create` makes the folder of a file:// URL.

    Raises InvalidConfig for another scheme or a missing folder.
    """
    if not url.startswith(SCHEMES):
        raise InvalidConfig(
            f"the storage URL {url!r} has none of the schemes {', '.join(SCHEMES)}",
            "Correct spec.storage of the Pipeline.",
        )
    try:
        backend = cast(Any, obstore.store).from_url(
            url, **({"mkdir": True} if create and url.startswith("file://") else {})
        )
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:
        raise InvalidConfig(
            f"the store {url} cannot be opened: {_first_line(error)}",
            "Look at spec.storage of the Pipeline, its volume and its credentials.",
        ) from error
    return Store(backend, url)


class Store:
    """One base URL. Paths are relative to it.

    Errors of the store itself propagate: the pod fails and is tried again.
    """

    def __init__(self, backend: Any, url: str = "memory://") -> None:
        self._backend, self.url = backend, url
        self._create_refused = False

    def version(self, path: str) -> Version | None:
        """What lies at `path` now; None where there is nothing. Raises PermissionError."""
        try:
            meta = self._backend.head(path)
        except _ABSENT:
            return None
        except obstore.exceptions.BaseError as error:
            if _forbidden(error):
                raise PermissionError(f"the file {path} may not be read by the worker") from error
            raise
        return Version(meta["size"], str(meta.get("e_tag") or meta["last_modified"].isoformat()))

    def reader(self, path: str) -> BinaryIO:
        """A buffered binary file for streaming. Raises FileNotFoundError."""
        try:
            return cast(
                BinaryIO,
                io.BufferedReader(
                    _Raw(obstore.open_reader(self._backend, path, buffer_size=_READ_BUFFER)), _READ_BUFFER
                ),
            )
        except _ABSENT as error:
            raise FileNotFoundError(path) from error

    def get(self, path: str) -> bytes | None:
        """The whole object; None where there is none."""
        try:
            return bytes(self._backend.get(path).bytes())
        except _ABSENT:
            return None

    def names(self, folder: str) -> list[str]:
        """Paths of all objects under `folder`, sorted."""
        return sorted(item["path"] for page in self._backend.list(prefix=folder) for item in page)

    def put(self, path: str, content: bytes) -> None:
        """Write atomically, replacing what is there."""
        self._backend.put(path, content, use_multipart=False)

    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Write atomically unless something is there; False where something was.

        Some stores refuse a conditional put. For them: look first, then write. Two workers may then both write, which
        does no harm, as a record's bytes depend on the input and the config alone.
        """
        if not self._create_refused:
            try:
                self._backend.put(path, content, mode="create", use_multipart=False)
                return True
            except obstore.exceptions.AlreadyExistsError:
                return False
            except obstore.exceptions.PreconditionError:
                return False
            except _REFUSES_CREATE as error:
                self._create_refused = not isinstance(
                    error, obstore.exceptions.GenericError
                )  # that may be a passing fault
                log.warning(
                    "the store refuses a conditional put; it is replaced by a look and a plain put",
                    store=self.url,
                    reason=_first_line(error),
                )
        if self.version(path) is not None:
            return False
        self.put(path, content)
        return True


class _Raw(io.RawIOBase):
    """obstore's reader as a file object that io and pyarrow accept."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._source.read(len(buffer))
        buffer[: len(content)] = memoryview(content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()


def _forbidden(error: Exception) -> bool:
    """Whether the store said no; LocalStore has no exception of its own for that."""
    return isinstance(error, obstore.exceptions.PermissionDeniedError) or "Permission denied" in str(error)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__
