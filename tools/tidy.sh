#!/usr/bin/env bash
# Tidies the go.mod of every module, or with -diff says what tidying would
# change and fails if that is anything.
#
#	tools/tidy.sh [-diff]
#
# Each module is looked at without the workspace, as somebody sees it who
# downloads that module alone.
set -euo pipefail
cd "$(dirname "$0")/.."
dirs=$(go list -m -f '{{.Dir}}')
for dir in $dirs; do
	(cd "$dir" && GOWORK=off go mod tidy "$@")
done
