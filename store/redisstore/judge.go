package redisstore

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/semel-go/semel"
)

// facts is what one server told about itself. Empty strings are unknown.
type facts struct {
	addr      string
	clock     time.Time
	info      map[string]string // INFO
	config    map[string]string // CONFIG GET
	cluster   map[string]string // CLUSTER INFO
	sentinels int64
}

// parseInfo reads the lines "name:value" of INFO.
func parseInfo(text string) map[string]string {
	m := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			m[name] = value
		}
	}
	return m
}

func (f facts) server() string {
	switch {
	case f.info["valkey_version"] != "":
		return "Valkey " + f.info["valkey_version"]
	case f.info["redis_version"] != "":
		return "Redis " + f.info["redis_version"]
	}
	return "Redis or Valkey"
}

// policy is the eviction policy; managed services may forbid CONFIG.
func (f facts) policy() string {
	if p := f.config["maxmemory-policy"]; p != "" {
		return p
	}
	return f.info["maxmemory_policy"]
}

func (f facts) number(name string) int64 {
	n, _ := strconv.ParseInt(f.info[name], 10, 64)
	return n
}

// older says that the version is known to be before major.minor. Valkey tells
// the Redis version that it is compatible with.
func (f facts) older(major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(f.info["redis_version"], "%d.%d", &a, &b); n < 2 {
		return false
	}
	return a < major || a == major && b < minor
}

// judge turns facts into findings, those of each server in turn.
func judge(all []facts, cfg Config, cluster bool) []semel.Finding {
	var list []semel.Finding
	for _, f := range all {
		j := judging{facts: f, cfg: cfg, cluster: cluster}
		j.place()
		j.memory()
		j.persistence()
		j.replication()
		if len(all) > 1 {
			for i := range j.list {
				j.list[i].Value += " at " + f.addr
			}
		}
		list = append(list, j.list...)
	}
	return list
}

type judging struct {
	facts
	cfg     Config
	cluster bool
	list    []semel.Finding
}

// add appends a finding; without a word of advice it is fine.
func (j *judging) add(name, value string, level semel.Level, advice string) {
	if value == "" {
		value = "not known"
	}
	j.list = append(j.list, semel.Finding{Name: name, Value: value, Level: level, Advice: advice})
}

func (j *judging) fine(name, value string) { j.add(name, value, semel.Fine, "") }

// place: version, role, cluster.
func (j *judging) place() {
	if len(j.info) == 0 {
		j.add("INFO", "not permitted", semel.Weak, "Permit INFO to the user: role, memory and persistence cannot be checked without it.")
	}
	switch version := j.info["redis_version"]; {
	case j.older(6, 2):
		j.add("redis_version", version, semel.Broken, "Upgrade to Redis 6.2, Valkey 7.2 or newer: the scripts need SET with PXAT.")
	case j.cfg.SyncAOF && j.older(7, 2):
		j.add("redis_version", version, semel.Broken, "Upgrade to Redis 7.2, or turn SyncAOF off: WAITAOF is not there.")
	case version != "":
		j.fine("redis_version", version)
	}
	switch role := j.info["role"]; {
	case role != "" && role != "master":
		j.add("role", role, semel.Broken, "Connect to the master: a replica takes no writes.")
	case role != "":
		j.fine("role", role)
	}
	enabled := j.info["cluster_enabled"] == "1"
	switch state := j.cluster0("cluster_state"); {
	case enabled && !j.cluster:
		j.add("cluster_enabled", "1", semel.Broken, "Open it as redis+cluster://: one node has a part of the slots.")
	case j.cluster && len(j.info) > 0 && !enabled:
		j.add("cluster_enabled", "0", semel.Broken, "Open it as redis://: the server is no cluster.")
	case state == "fail":
		j.add("cluster_state", state, semel.Weak, "Bring the masters back: the cluster refuses every key meanwhile.")
	case state != "":
		j.fine("cluster_state", state)
	}
}

func (j *judging) cluster0(name string) string { return j.facts.cluster[name] }

// memory: a record that is evicted is lost.
func (j *judging) memory() {
	switch policy := j.policy(); policy {
	case "noeviction":
		j.fine("maxmemory-policy", policy)
	case "":
		j.add("maxmemory-policy", "", semel.Weak, "See to it that it is noeviction: neither CONFIG GET nor INFO tells, and an evicted record is a lost one.")
	default:
		j.add("maxmemory-policy", policy, semel.Broken, "Set it to noeviction: an evicted record is lost, and a retry runs again.")
	}
	limit, used := j.number("maxmemory"), j.number("used_memory")
	switch {
	case j.info["maxmemory"] == "":
	case limit == 0:
		j.add("maxmemory", "0", semel.Weak, "Set a limit below the machine's memory: without one the kernel kills the server, instead of Redis refusing writes.")
	case used >= limit/10*9:
		j.add("maxmemory", strconv.FormatInt(limit, 10), semel.Weak,
			fmt.Sprintf("Give it more memory: %d bytes are used, and reservations are refused when it is full.", used))
	default:
		j.fine("maxmemory", strconv.FormatInt(limit, 10))
	}
}

// persistence: what is left after a restart, and whether writes are refused.
func (j *judging) persistence() {
	aof, fsync := j.info["aof_enabled"], j.config["appendfsync"]
	switch {
	case aof == "":
	case aof == "0" && j.cfg.SyncAOF:
		j.add("appendonly", "no", semel.Broken, "Set it to yes, or turn SyncAOF off: there is no log to sync.")
	case aof == "0":
		j.add("appendonly", "no", semel.Weak, "Set it to yes: a restart forgets every record since the last snapshot.")
	default:
		j.fine("appendonly", "yes")
	}
	switch {
	case aof != "1":
	case fsync == "always":
		j.fine("appendfsync", fsync)
	case fsync == "":
		j.add("appendfsync", "", semel.Weak, "See to it that it is always: CONFIG GET is not permitted.")
	default:
		j.add("appendfsync", fsync, semel.Weak, "Set it to always: a power loss, or a full stop of the machine, forgets the last second or more.")
	}
	for _, name := range []string{"aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"} {
		if v := j.info[name]; v != "" && v != "ok" {
			j.add(name, v, semel.Weak, "See the server's log and its disk: Redis may refuse writes (MISCONF) until it can save again.")
		}
	}
}

// findingReplicas counts the replicas, by the name that INFO has for them.
const findingReplicas = "connected_slaves"

// lasting returns the findings that waiting does not change. Replicas come and
// go: while there are too few of them the steps fail by themselves.
func lasting(all []semel.Finding) []semel.Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f semel.Finding) bool { return f.Name == findingReplicas })
}

// replication: WAIT needs somebody who confirms.
func (j *judging) replication() {
	replicas, known := j.number(findingReplicas), j.info[findingReplicas] != ""
	switch value := strconv.FormatInt(replicas, 10); {
	case !known:
	case replicas < int64(j.cfg.Replicas):
		j.add(findingReplicas, value, semel.Broken,
			fmt.Sprintf("Connect %d replicas: reservations fail while fewer confirm.", j.cfg.Replicas))
	case replicas > 0 && j.cfg.Replicas == 0:
		j.add(findingReplicas, value, semel.Weak, "Set Replicas to 1 or more if one of them may be promoted: a failover forgets what it had not copied.")
	default:
		j.fine(findingReplicas, value)
	}
	if v := j.config["min-replicas-to-write"]; v != "" {
		j.fine("min-replicas-to-write", v)
	}
}

// gradeOf is B for one server that syncs every write and that nobody fails over.
func gradeOf(all []facts, cluster bool) semel.Grade {
	f := all[0]
	c := func(why string) semel.Grade { return semel.Grade{Letter: "C", Survives: why} }
	switch {
	case cluster:
		return c("A kill of the clients. A failover of a master may forget acknowledged records, and a retry then runs again.")
	case f.info[findingReplicas] != "0" || f.sentinels > 0:
		return c("A kill of the clients. The server has replicas or sentinels: a failover may forget acknowledged records, and a retry then runs again.")
	case f.info["aof_enabled"] != "1":
		return c("A kill of the clients. Without an append-only file a restart of the server forgets records, and a retry then runs again.")
	case f.config["appendfsync"] != "always":
		return c("A kill of the clients and of the server. The log is not known to be synced with every write: a power loss may forget acknowledged records.")
	}
	return semel.Grade{
		Letter:   "B",
		Survives: "A kill of the clients and of the server and, when the disk keeps what it has synced, a power loss; not the loss of the disk.",
	}
}
