#!/usr/bin/env bash
# One pytest run over all tests on a cluster of this machine; called by `make test`.
# A cluster that is up already is used and left up; one that this script starts is ended, also on failure.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if ! "$python" -m tests.cluster env >/dev/null 2>&1; then
    trap '"$python" -m tests.cluster down' EXIT
fi
"$python" -m tests.cluster up
if [ "${EXISTING_CLUSTER:-}" != 1 ]; then # there, BATCH_IMAGE_OPERATOR and BATCH_IMAGE_WORKER name them
    "$python" -m tests.cluster images
fi
export BATCH_REQUIRE_CLUSTER=1
.venv/bin/pytest "$@"
