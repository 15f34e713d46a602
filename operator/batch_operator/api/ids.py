"""Identifiers as the API writes them: TypeIDs made from uids, so that they need no store and never change."""

from uuid import UUID, uuid5

import uuid_utils
from typeid import TypeID


def job_id(uid: str) -> str:
    """metadata.uid -> ``job_…``."""
    return str(TypeID.from_uuid(uuid_utils.UUID(uid), "job"))


def error_uid(job_uid: str, code: str, message: str) -> str:
    """``err_…``: the same for the same error of the same job."""
    return str(TypeID.from_uuid(uuid_utils.UUID(str(uuid5(UUID(job_uid), f"{code}\n{message}"))), "err"))
