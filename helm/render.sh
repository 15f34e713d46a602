#!/bin/sh
# Renders the chart to plain manifests: helm/render.sh DIRECTORY writes install.yaml and pipelines.yaml there.
# `make generate` calls it for manifests/, `make verify` and the chart's tests for a scratch directory.
# HELM names the helm program (default: helm).
set -eu
here=$(dirname "$0")
out=${1:?usage: helm/render.sh DIRECTORY}
helm=${HELM:-helm}
namespace=batch-operator-system

render() { # further arguments go to helm; --kube-version, because helm otherwise guesses one of its own
    "$helm" template batch-operator "$here/batch-operator" --namespace "$namespace" --kube-version 1.34.0 "$@"
}

mkdir -p "$out"
{
    cat <<HEADER
# Rendered from helm/batch-operator by \`make generate\`; edit the chart, not this file.
# Everything but the built-in pipelines (pipelines.yaml); docs/installation.md says how to apply both.
apiVersion: v1
kind: Namespace
metadata:
  name: $namespace
  labels:
    app.kubernetes.io/part-of: batch-operator
    pod-security.kubernetes.io/enforce: restricted
HEADER
    render --no-hooks
} > "$out/.install.yaml"
{
    cat <<HEADER
# Rendered from helm/batch-operator by \`make generate\`; edit the chart, not this file.
# The built-in pipelines, apart from install.yaml: kubectl looks up every object's kind before it makes the first one,
# so a pipeline cannot come in the same apply as its CRD. A published pipeline is immutable: after a change of image or
# storage here, \`kubectl replace --force -f\` puts the new one in its place (jobs that have begun keep the old one).
HEADER
    # the Helm hook annotations, its only ones, mean nothing here
    render --show-only templates/pipelines.yaml | sed -e '/^  annotations:$/d' -e '/^    helm\.sh\/hook/d'
} > "$out/.pipelines.yaml"
mv "$out/.install.yaml" "$out/install.yaml"
mv "$out/.pipelines.yaml" "$out/pipelines.yaml"
