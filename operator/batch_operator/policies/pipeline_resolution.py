"""Which object of the registry a job runs (design section 1, "Resolution").

An exact version is looked for in the job's namespace, then among the ClusterPipelines. Without a version,
the latest published one counts: of the namespace if it has any of that key, else of the cluster.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import semver

from batch_operator.api.v1alpha1.conditions import Reason
from batch_operator.policies.verdict import Stalled
from batch_operator.snapshot import PipelineRecord

_SUGGESTION = "See what there is with: kubectl get pipelines,clusterpipelines"


def resolve(
    pipelines: Iterable[PipelineRecord], key: str, version: str | None, *, pinned: bool = False
) -> PipelineRecord | Stalled:
    """`pipelines`: the registry's objects visible from the job's namespace. `pinned`: the version was resolved
    before, so that it counts in whatever state it is now."""
    of_key = [pipeline for pipeline in pipelines if pipeline.key == key]
    if not of_key:
        return Stalled(Reason.PIPELINE_NOT_FOUND, f"pipeline_key '{key}' not found in registry", _SUGGESTION)
    usable = of_key if pinned else [p for p in of_key if p.spec.get("status") == "published"]
    usable = [pipeline for pipeline in usable if _parsed(str(pipeline.spec.get("version"))) is not None]
    if version is not None:
        usable = [pipeline for pipeline in usable if pipeline.spec.get("version") == version]
    if not usable:
        return _not_usable(of_key, key, version)
    scope = [pipeline for pipeline in usable if pipeline.namespace] or usable
    newest = max(scope, key=_precedence)
    twins = sorted(p.name for p in scope if p.spec.get("version") == newest.spec.get("version"))
    if len(twins) > 1:
        where = f"namespace {newest.namespace}" if newest.namespace else "the cluster"
        return Stalled(
            Reason.AMBIGUOUS_PIPELINE,
            f"pipeline '{key}' {newest.spec.get('version')} stands more than once in {where}: {', '.join(twins)}",
            "Delete all of these objects but one.",
        )
    return newest


def _not_usable(of_key: Sequence[PipelineRecord], key: str, version: str | None) -> Stalled:
    known = ", ".join(sorted(f"{p.spec.get('version')} ({p.spec.get('status')})" for p in of_key))
    if version is None:
        message = f"pipeline_key '{key}' has no published version; there is {known}"
    else:
        message = f"pipeline_version '{version}' of '{key}' is not published; there is {known}"
    return Stalled(Reason.PIPELINE_NOT_FOUND, message, _SUGGESTION)


def _precedence(pipeline: PipelineRecord) -> tuple[semver.Version, str]:
    version = str(pipeline.spec.get("version"))
    parsed = _parsed(version)
    assert parsed is not None, "those that are no versions are not usable"
    return parsed, version


@lru_cache(maxsize=1024)
def _parsed(version: str) -> semver.Version | None:
    """None: it is none. Every job asks for all versions of its pipeline again."""
    return semver.Version.parse(version) if semver.Version.is_valid(version) else None
