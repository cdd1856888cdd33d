#!/usr/bin/env bash
# Installs the foreign programs that tests drive into .bin, where the tests look
# after the PATH. With --missing it only says which are not there: their tests
# are skipped, unless SEMEL_TEST_REQUIRE=all makes that a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stripe_mock=v0.203.0 # the version whose answers the tests know

if [[ ${1:-} == --missing ]]; then
	if [[ -z ${SEMEL_TEST_REQUIRE:-} ]] && ! PATH="$PWD/.bin:$PATH" command -v stripe-mock >/dev/null; then
		echo 'test: SKIPPED what drives stripe-mock, which is not installed: make servers'
	fi
	exit 0
fi

have=$(go version -m .bin/stripe-mock 2>/dev/null || true)
if [[ $have == *"github.com/stripe/stripe-mock"*"$stripe_mock"* ]]; then
	echo "servers: .bin/stripe-mock $stripe_mock is there"
	exit 0
fi
echo "servers: building stripe-mock $stripe_mock (about a minute)"
mkdir -p .bin
GOBIN="$PWD/.bin" go install "github.com/stripe/stripe-mock@$stripe_mock"
echo "servers: installed .bin/stripe-mock $stripe_mock"
