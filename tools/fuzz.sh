#!/usr/bin/env bash
# Runs every fuzz target of every module, one after the other, for FUZZTIME each.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fuzztime=${FUZZTIME:-10s}

# `go test -list` prints the targets of a package and then its "ok" line.
list=$(go test -list '^Fuzz' work)
targets=() package=()
while read -r word name _; do
	case $word in
	Fuzz*) package+=("$word") ;;
	ok)
		for target in "${package[@]}"; do targets+=("$name $target"); done
		package=()
		;;
	esac
done <<<"$list"
[[ ${#targets[@]} -gt 0 ]] || {
	echo 'fuzz: there is no fuzz target, which cannot be right' >&2
	exit 1
}

for target in "${targets[@]}"; do
	echo "fuzz: $target for $fuzztime"
	go test -run '^$' -fuzz "^${target#* }\$" -fuzztime "$fuzztime" "${target% *}"
done
echo "fuzz: ${#targets[@]} targets, nothing found"
