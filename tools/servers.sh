#!/usr/bin/env bash
# Installs the foreign programs that tests drive: stripe-mock and axe-core into .bin,
# the SDKs for Node into interop/sdk/node, and the servers of the stores, RabbitMQ, SPIN, the C compiler that it needs, Chromium and
# promtool from Debian's packages. With --missing it only says which are not there:
# their tests are skipped, unless SEMEL_TEST_REQUIRE=all makes that a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stripe_mock=v0.203.0 # the version whose answers the tests know
axe_core=4.14.1      # one file of its npm package, and the SHA-256 of that file
axe_sum=29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c

# Program and Debian package. internal/servertest looks in the same places.
servers=(postgres:postgresql mariadbd:mariadb-server redis-server:redis-server pgbouncer:pgbouncer rabbitmq-server:rabbitmq-server
	spin:spin chromium:chromium promtool:prometheus)

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

axe() { sha256sum --check --status <<<"$axe_sum  .bin/axe-core.min.js" 2>/dev/null; }

# The lock file fixes the SDKs and their sums; a copy of it says what is installed.
sdks() { command -v node >/dev/null && cmp -s interop/sdk/node/package-lock.json interop/sdk/node/node_modules/.installed.json; }

fetch_sdks() {
	npm ci --prefix interop/sdk/node --ignore-scripts --no-audit --no-fund --loglevel error
	cp interop/sdk/node/package-lock.json interop/sdk/node/node_modules/.installed.json
	echo 'servers: installed the SDKs for Node into interop/sdk/node'
}

if [[ ${1:-} == --missing ]]; then
	[[ -z ${SEMEL_TEST_REQUIRE:-} ]] || exit 0
	PATH="$PWD/.bin:$PATH" command -v stripe-mock >/dev/null || missing+=(stripe-mock)
	axe || missing+=(axe-core)
	sdks || missing+=('SDKs for Node')
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

# fetch_axe takes axe-core from npm, which checks the package, and keeps one file of it.
fetch_axe() {
	local into
	into=$(mktemp -d)
	(
		cd "$into"
		npm pack --silent "axe-core@$axe_core" >/dev/null
		tar -xzf "axe-core-$axe_core.tgz" package/axe.min.js
	)
	mkdir -p .bin
	mv "$into/package/axe.min.js" .bin/axe-core.min.js
	rm -r "$into"
	axe || {
		echo 'servers: axe-core has another sum than it should' >&2
		exit 1
	}
	echo "servers: installed .bin/axe-core.min.js $axe_core"
}

{ axe && sdks; } || command -v npm >/dev/null || missing+=(npm)

if ((${#missing[@]} == 0)); then
	echo 'servers: PostgreSQL, MariaDB, Redis, pgbouncer, RabbitMQ, SPIN, a C compiler, Chromium and promtool are there'
	axe || fetch_axe
	sdks || fetch_sdks
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
axe || fetch_axe
sdks || fetch_sdks
echo "servers: installed ${missing[*]}; the tests start servers of their own and leave the system's alone"
