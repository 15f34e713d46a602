#!/usr/bin/env bash
# Runs a command against a cluster of this machine, with images of this checkout; called by the Makefile.
# A cluster that is up already is used and left up; one that this script starts is ended, also on failure, and
# without a word where that succeeds: the command's last line is the last one. CLUSTERS=2: with a second one beside it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
down() {
    words=$("$python" -m tests.cluster down "$@" 2>&1) || echo "$words" >&2
}
if ! "$python" -m tests.cluster env >/dev/null 2>&1; then
    trap down EXIT
else
    trap 'down --second' EXIT
fi
"$python" -m tests.cluster up
if [ "${CLUSTERS:-1}" = 2 ]; then
    "$python" -m tests.cluster up --second
fi
if [ "${EXISTING_CLUSTER:-}" != 1 ]; then # there, BATCH_IMAGE_OPERATOR and BATCH_IMAGE_WORKER name them
    "$python" -m tests.cluster images
fi
export BATCH_REQUIRE_CLUSTER=1
"$@"
