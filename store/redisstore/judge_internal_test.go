package redisstore

import (
	"maps"
	"strings"
	"testing"

	"github.com/semel-go/semel"
)

// fitFacts is a server as it should be.
func fitFacts() facts {
	return facts{
		addr: "h:1",
		info: map[string]string{
			"redis_version": "7.0.15", "role": "master", "maxmemory": "1000", "used_memory": "10", "maxmemory_policy": "noeviction",
			"aof_enabled": "1", "aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok", "connected_slaves": "0", "cluster_enabled": "0",
		},
		config: map[string]string{"maxmemory-policy": "noeviction", "appendfsync": "always", "min-replicas-to-write": "0"},
	}
}

// A server as it should be has nothing but fine findings, and grade B.
func TestJudgeFit(t *testing.T) {
	t.Parallel()
	for _, f := range judge([]facts{fitFacts()}, Config{}, false) {
		if f.Level != semel.Fine || f.Advice != "" || f.Name == "" || f.Value == "" {
			t.Errorf("got finding %+v, want a fine one", f)
		}
	}
	if g := gradeOf([]facts{fitFacts()}, false); g.Letter != "B" {
		t.Errorf("got grade %q, want B", g)
	}
}

// One thing that is not as it should be is one finding with advice.
func TestJudge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		info, config map[string]string
		change       func(*facts)
		cfg          Config
		cluster      bool
		finding      string
		level        semel.Level
		grade        string
	}{
		"replica":        {info: map[string]string{"role": "slave"}, finding: "role", level: semel.Broken, grade: "B"},
		"eviction":       {config: map[string]string{"maxmemory-policy": "allkeys-lru"}, finding: "maxmemory-policy", level: semel.Broken, grade: "B"},
		"CONFIG refused": {config: map[string]string{"maxmemory-policy": ""}, info: map[string]string{"maxmemory_policy": "volatile-lru"}, finding: "maxmemory-policy", level: semel.Broken, grade: "B"},
		"nobody tells":   {config: map[string]string{"maxmemory-policy": ""}, info: map[string]string{"maxmemory_policy": ""}, finding: "maxmemory-policy", level: semel.Weak, grade: "B"},
		"old":            {info: map[string]string{"redis_version": "6.0.16"}, finding: "redis_version", level: semel.Broken, grade: "B"},
		"no WAITAOF":     {cfg: Config{SyncAOF: true}, finding: "redis_version", level: semel.Broken, grade: "B"},
		"no log to sync": {cfg: Config{SyncAOF: true}, info: map[string]string{"redis_version": "7.2.0", "aof_enabled": "0"}, finding: "appendonly", level: semel.Broken, grade: "C"},
		"no log":         {info: map[string]string{"aof_enabled": "0"}, finding: "appendonly", level: semel.Weak, grade: "C"},
		"everysec":       {config: map[string]string{"appendfsync": "everysec"}, finding: "appendfsync", level: semel.Weak, grade: "C"},
		"fsync unknown":  {config: map[string]string{"appendfsync": ""}, finding: "appendfsync", level: semel.Weak, grade: "C"},
		"no limit":       {info: map[string]string{"maxmemory": "0"}, finding: "maxmemory", level: semel.Weak, grade: "B"},
		"nearly full":    {info: map[string]string{"used_memory": "950"}, finding: "maxmemory", level: semel.Weak, grade: "B"},
		"log fails":      {info: map[string]string{"aof_last_write_status": "err"}, finding: "aof_last_write_status", level: semel.Weak, grade: "B"},
		"failover":       {info: map[string]string{"connected_slaves": "1"}, finding: "connected_slaves", level: semel.Weak, grade: "C"},
		"too few":        {info: map[string]string{"connected_slaves": "1"}, cfg: Config{Replicas: 2}, finding: "connected_slaves", level: semel.Broken, grade: "C"},
		"a node":         {info: map[string]string{"cluster_enabled": "1"}, finding: "cluster_enabled", level: semel.Broken, grade: "B"},
		"no cluster":     {cluster: true, finding: "cluster_enabled", level: semel.Broken, grade: "C"},
		"cluster down": {
			cluster: true, info: map[string]string{"cluster_enabled": "1"}, change: func(f *facts) { f.cluster = map[string]string{"cluster_state": "fail"} },
			finding: "cluster_state", level: semel.Weak, grade: "C",
		},
	} {
		f := fitFacts()
		maps.Copy(f.info, c.info)
		maps.Copy(f.config, c.config)
		if c.change != nil {
			c.change(&f)
		}
		var odd []semel.Finding
		for _, found := range judge([]facts{f}, c.cfg, c.cluster) {
			if found.Level != semel.Fine {
				odd = append(odd, found)
			}
		}
		if len(odd) != 1 || odd[0].Name != c.finding || odd[0].Level != c.level || odd[0].Advice == "" {
			t.Errorf("%s: got %+v, want one finding about %s that is %v", name, odd, c.finding, c.level)
		}
		if g := gradeOf([]facts{f}, c.cluster); g.Letter != c.grade || g.Survives == "" {
			t.Errorf("%s: got grade %+v, want %s", name, g, c.grade)
		}
	}
}

// Sentinels mean that somebody may fail the server over.
func TestSentinelsAreGradeC(t *testing.T) {
	t.Parallel()
	f := fitFacts()
	f.sentinels = 3
	if g := gradeOf([]facts{f}, false); g.Letter != "C" || !strings.Contains(g.Survives, "failover") {
		t.Errorf("got grade %+v, want C", g)
	}
}

// Valkey says what it is.
func TestServerNames(t *testing.T) {
	t.Parallel()
	for want, info := range map[string]map[string]string{
		"Redis 7.0.15":    {"redis_version": "7.0.15"},
		"Valkey 8.0.1":    {"redis_version": "7.2.4", "valkey_version": "8.0.1"},
		"Redis or Valkey": {},
	} {
		if got := (facts{info: info}).server(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
