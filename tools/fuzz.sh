#!/usr/bin/env bash
# Runs every fuzz target of every module for a while, one after the other.
#
#	tools/fuzz.sh [least time for each: 15s, 10m, 8h]
#
# A failure leaves its input under the package's testdata/fuzz, where plain
# "go test" runs it again: commit it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-15s}

case $time in
*[!0-9]*[smh] | [!0-9]* | '') seconds=0 ;;
*s) seconds=$((10#${time%s})) ;;
*m) seconds=$((10#${time%m} * 60)) ;;
*h) seconds=$((10#${time%h} * 3600)) ;;
*) seconds=0 ;;
esac
if [ "$seconds" -eq 0 ]; then
	echo "fuzz.sh: \"$time\" is not a time: give a whole number of seconds, minutes or hours, such as 15s, 10m, 8h" >&2
	exit 2
fi

# go test takes an interrupt as the end of its round and passes: end all here.
trap 'exit 130' INT

# fuzz PACKAGE TARGET runs one target until its time is over, in rounds of a
# counted number of inputs, each twice the one before. Go's own limit of time
# fails now and then without an input to blame ("context deadline exceeded",
# golang/go#75804, mended in Go 1.27); a number of inputs has no such race. What
# a round finds interesting is kept in Go's cache, where the next one begins.
fuzz() {
	local inputs=5000 end=$((SECONDS + seconds))
	while [ "$SECONDS" -lt "$end" ]; do
		go test -run '^$' -fuzz "^$2\$" -fuzztime "${inputs}x" "$1"
		inputs=$((inputs * 2))
	done
}

# A target is found by asking its package, not by reading files, so that build
# tags are obeyed.
packages=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' work)
count=0
for package in $packages; do
	targets=$(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true)
	for target in $targets; do
		echo "fuzz: $package $target for $time"
		fuzz "$package" "$target"
		count=$((count + 1))
	done
done
echo "fuzz: $count targets"
