package redisstore

import (
	"crypto/sha1" //nolint:gosec // the name that EVALSHA knows a script by
	_ "embed"
	"encoding/hex"
)

// A script is one step on one key. It reads, decides and writes on the server,
// in one piece, by the server's clock.
type script struct {
	source string
	sha    string
}

var (
	//go:embed lua/record.lua
	luaRecord string
	//go:embed lua/reserve.lua
	luaReserve string
	//go:embed lua/begin.lua
	luaBegin string
	//go:embed lua/complete.lua
	luaComplete string
	//go:embed lua/release.lua
	luaRelease string
	//go:embed lua/renew.lua
	luaRenew string
	//go:embed lua/resolve.lua
	luaResolve string
	//go:embed lua/peek.lua
	luaPeek string
	//go:embed lua/reseal.lua
	luaReseal string
	//go:embed lua/audit.lua
	luaAudit string
	//go:embed lua/trail.lua
	luaTrail string
)

var (
	reserveScript  = newScript(luaReserve)
	beginScript    = newScript(luaBegin)
	completeScript = newScript(luaComplete)
	releaseScript  = newScript(luaRelease)
	renewScript    = newScript(luaRenew)
	resolveScript  = newScript(luaResolve)
	peekScript     = newScript(luaPeek)
	resealScript   = newScript(luaReseal)
	auditScript    = named(luaAudit) // whose key holds no record
	trailScript    = named(luaTrail)

	scripts = []*script{
		reserveScript, beginScript, completeScript, releaseScript, renewScript, resolveScript, peekScript, resealScript,
		auditScript, trailScript,
	}
)

func newScript(step string) *script {
	return named(luaRecord + step)
}

func named(source string) *script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // as above
	return &script{source: source, sha: hex.EncodeToString(sum[:])}
}
