#!/usr/bin/env bash
# The rules of the house about dependencies. Each command's output is kept in a
# variable first, so that a command that fails never looks like a clean answer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
	printf 'deps: %s\n' "$*" >&2
	exit 1
}

# none PATTERN TEXT MESSAGE fails when a line of TEXT matches PATTERN.
none() {
	local found
	if found=$(grep -E -- "$1" <<<"$2"); then
		fail "$3: $(tr '\n' ' ' <<<"$found")"
	fi
}

# Test harnesses may import testing; programs that measure are not shipped.
harness='/(internal/servertest|semelcrash|store/natsstore/natstest|store/storetest)$'
unshipped='/(bench|console/browsertest|examples|examples/consumers|interop|proof)$'

own=$(GOWORK=off go list -m)
all=$(GOWORK=off go list -m all)
[[ $all == "$own" ]] || fail "the root module requires something: $(tr '\n' ' ' <<<"$all")"
echo 'deps: the root module requires nothing'

core=$(GOWORK=off go list -deps .)
none '^net(/|$)' "$core" 'the core knows a transport'
echo 'deps: the core knows no transport'

workspace=$(go list -m -f '{{.Dir}}')
mapfile -t modules <<<"$workspace"
present=$(find "$PWD" -name go.mod -not -path "$PWD/tools/*" -not -path '*/testdata/*' -exec dirname {} \; | sort)
[[ $present == "$(sort <<<"$workspace")" ]] ||
	fail "go.work and the go.mod files differ: $(diff <(sort <<<"$workspace") - <<<"$present" | grep '^[<>]' | tr '\n' ' ')"
echo "deps: go.work lists all ${#modules[@]} modules"

for dir in "${modules[@]}"; do
	name=${dir#"$PWD"}
	(
		cd "$dir"
		export GOWORK=off
		go build -o /dev/null ./... || fail "the module .$name does not build alone"
		go mod tidy -diff || fail "the module .$name is not tidy"
		echo "deps: .$name builds alone and is tidy"
		[[ ! $name =~ $unshipped ]] || exit 0
		packages=$(go list ./...)
		shipped=$(grep -Ev "$harness" <<<"$packages")
		mapfile -t shipped <<<"$shipped"
		imports=$(go list -deps "${shipped[@]}")
		none '^testing(/|$)' "$imports" "test code ships in the module .$name"
		echo "deps: .$name ships no test code"
	)
done
