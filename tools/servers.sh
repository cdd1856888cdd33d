#!/usr/bin/env bash
# Installs the foreign programs that tests drive: stripe-mock into .bin, and the
# servers of the stores, SPIN and the C compiler that it needs, and promtool, from
# Debian's packages. With --missing it only says which
# are not there: their tests are skipped, unless SEMEL_TEST_REQUIRE=all makes
# that a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stripe_mock=v0.203.0 # the version whose answers the tests know

# Program and Debian package. internal/servertest looks in the same places.
servers=(postgres:postgresql mariadbd:mariadb-server redis-server:redis-server pgbouncer:pgbouncer spin:spin promtool:prometheus)

there() {
	command -v "$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null ||
		[[ -x /usr/sbin/$1 || -x /usr/local/sbin/$1 ]]
}

compiles() { cc -include stdio.h -x c -o /dev/null - <<<'int main(void) { return 0; }' 2>/dev/null; }

missing=()
for pair in "${servers[@]}"; do
	there "${pair%%:*}" || missing+=("${pair#*:}")
done
compiles || missing+=(gcc libc6-dev)

if [[ ${1:-} == --missing ]]; then
	[[ -z ${SEMEL_TEST_REQUIRE:-} ]] || exit 0
	PATH="$PWD/.bin:$PATH" command -v stripe-mock >/dev/null || missing+=(stripe-mock)
	if ((${#missing[@]})); then
		echo "test: SKIPPED what drives ${missing[*]}, which is not installed: make servers"
	fi
	exit 0
fi

have=$(go version -m .bin/stripe-mock 2>/dev/null || true)
if [[ $have == *"github.com/stripe/stripe-mock"*"$stripe_mock"* ]]; then
	echo "servers: .bin/stripe-mock $stripe_mock is there"
else
	echo "servers: building stripe-mock $stripe_mock (about a minute)"
	mkdir -p .bin
	GOBIN="$PWD/.bin" go install "github.com/stripe/stripe-mock@$stripe_mock"
	echo "servers: installed .bin/stripe-mock $stripe_mock"
fi

if ((${#missing[@]} == 0)); then
	echo 'servers: PostgreSQL, MariaDB, Redis, pgbouncer, SPIN, promtool and a C compiler are there'
	exit 0
fi
if ! command -v apt-get >/dev/null; then
	echo "servers: install these with your package manager, on the PATH: ${missing[*]}" >&2
	echo 'servers: or name running servers in SEMEL_TEST_POSTGRES_DSN, SEMEL_TEST_MARIADB_DSN and SEMEL_TEST_REDIS_DSN' >&2
	exit 1
fi
as=()
[[ $(id -u) == 0 ]] || as=(sudo)
echo "servers: installing ${missing[*]} from Debian's packages"
"${as[@]}" apt-get update -q
"${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
echo "servers: installed ${missing[*]}; the tests start servers of their own and leave the system's alone"
