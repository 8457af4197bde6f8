#!/usr/bin/env bash
# Runs every fuzz target of every module for a while, one after the other.
#
#	tools/fuzz.sh [time for each, as go test -fuzztime takes it]
#
# A failure leaves its input under the package's testdata/fuzz, where plain
# "go test" runs it again: commit it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-15s}

# A target is found by asking its package, not by reading files, so that build
# tags are obeyed.
packages=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' work)
count=0
for package in $packages; do
	targets=$(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true)
	for target in $targets; do
		echo "fuzz: $package $target for $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
		count=$((count + 1))
	done
done
echo "fuzz: $count targets"
