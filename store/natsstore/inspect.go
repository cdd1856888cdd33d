package natsstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/semel-go/semel"
)

// Inspect implements [semel.Inspector]. The store need not be fit to serve.
func (s *Store) Inspect(ctx context.Context) (semel.Inspection, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := s.connected(); err != nil {
		return semel.Inspection{}, failed("inspect", err)
	}
	found := semel.Inspection{Server: "NATS " + s.nc.ConnectedServerVersion()}
	_, info, err := s.ask(ctx)
	if gone, ok := errors.AsType[*SchemaError](err); ok {
		found.Findings = []semel.Finding{s.serverVersion(), broken("stream", "missing", gone.Error())}
		return found, nil
	}
	if err != nil {
		return semel.Inspection{}, failed("inspect", err)
	}
	s.setGrade(info)
	found = s.inspection(info)
	found.Findings = append(found.Findings, s.trailFinding(ctx))
	return found, nil
}

// trailFinding is about the stream of the trail, without which the store serves and
// operators are refused.
func (s *Store) trailFinding(ctx context.Context) semel.Finding {
	const name = "audit stream"
	stream, err := s.openTrail(ctx)
	if err != nil {
		return weak(name, "unusable", err.Error())
	}
	c := stream.CachedInfo().Config
	if !reflect.DeepEqual(s.trail(c.Replicas).want(c), c) {
		return weak(name, "changed", "migrate: as it is, entries may be lost")
	}
	return fine(name, s.trailStream())
}

func (s *Store) inspection(info *jetstream.StreamInfo) semel.Inspection {
	found := semel.Inspection{Server: "NATS " + s.nc.ConnectedServerVersion(), Clock: info.TimeStamp}
	found.Findings = append(s.findings(info), s.cluster(info)...)
	found.Findings = append(found.Findings, s.client()...)
	return found
}

func fine(name, value string) semel.Finding { return semel.Finding{Name: name, Value: value} }

func weak(name, value, advice string) semel.Finding {
	return semel.Finding{Name: name, Value: value, Level: semel.Weak, Advice: advice}
}

func broken(name, value, advice string) semel.Finding {
	return semel.Finding{Name: name, Value: value, Level: semel.Broken, Advice: advice}
}

// findings are what the promise rests on: the server and the stream.
func (s *Store) findings(info *jetstream.StreamInfo) []semel.Finding {
	c := &info.Config
	all := []semel.Finding{s.serverVersion(), s.schema(c)}
	all = append(all, s.shape(c)...)
	all = append(all, s.durability(c)...)
	return all
}

// serverVersion is of the server at the other end of the connection.
func (s *Store) serverVersion() semel.Finding {
	version := s.nc.ConnectedServerVersion()
	if !atLeast(version, 2, 11) {
		return broken("server", version, "use NATS 2.11 or newer: older ones do not delete single messages by their age")
	}
	return fine("server", version)
}

// atLeast compares a version like "2.11.4-RC.1".
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, errA := strconv.Atoi(parts[0])
	b, errB := strconv.Atoi(parts[1])
	return errA == nil && errB == nil && (a > major || a == major && b >= minor)
}

func (s *Store) schema(c *jetstream.StreamConfig) semel.Finding {
	have, err := s.version(c.Metadata)
	if err != nil {
		return broken("schema", strconv.Itoa(have), err.Error())
	}
	return fine("schema", strconv.Itoa(have))
}

// shape are the settings without which a step does not do what it says.
func (s *Store) shape(c *jetstream.StreamConfig) []semel.Finding {
	var all []semel.Finding
	check := func(ok bool, name string, value any, advice string) {
		f := fine(name, fmt.Sprint(value))
		if !ok {
			f.Level, f.Advice = semel.Broken, advice
		}
		all = append(all, f)
	}
	check(len(c.Subjects) == 1 && c.Subjects[0] == s.cfg.Subject+".*", "subjects", strings.Join(c.Subjects, " "),
		"the stream must listen to "+s.cfg.Subject+".* and nothing else")
	check(c.MaxMsgsPerSubject == perSubject, "max_msgs_per_subject", c.MaxMsgsPerSubject,
		"it must be 2: with 1 a kill of the server brings back reservations that are long over")
	check(c.AllowRollup, "allow_rollup_hdrs", c.AllowRollup, "it must be true: every write removes the one before by a roll-up")
	check(c.MaxAge == 0, "max_age", c.MaxAge, "it must be 0: reservations would be forgotten by age")
	check(c.Retention == jetstream.LimitsPolicy, "retention", c.Retention, "it must be limits: consumers would delete records")
	check(c.Discard == jetstream.DiscardNew || c.MaxMsgs <= 0 && c.MaxBytes <= 0, "discard", c.Discard,
		"it must be new: a full stream would drop records")
	check(c.AllowMsgTTL, "allow_msg_ttl", c.AllowMsgTTL, "it must be true: writes with a retention are refused")
	check(!c.AllowDirect && !c.MirrorDirect, "allow_direct", c.AllowDirect || c.MirrorDirect,
		"it must be false: clients would read from replicas that lag")
	check(!c.NoAck, "no_ack", c.NoAck, "it must be false: nobody would know what is stored")
	check(!c.Sealed, "sealed", c.Sealed, "a sealed stream takes no records")
	check(c.Mirror == nil && len(c.Sources) == 0, "sources", len(c.Sources) > 0 || c.Mirror != nil, "records must come from the store alone")
	check(c.SubjectTransform == nil, "subject_transform", c.SubjectTransform != nil, "it must be empty: records would be looked for elsewhere")
	check(c.PersistMode == jetstream.DefaultPersistMode, "persist_mode", c.PersistMode, "it must be default: async acknowledges before it writes")
	check(c.SubjectDeleteMarkerTTL == 0, "subject_delete_marker_ttl", c.SubjectDeleteMarkerTTL,
		"it must be 0: with markers the server does not delete what rolled up")
	if !c.DenyDelete {
		all = append(all, weak("deny_delete", "false", "set it to true, or a client that deletes a message forgets its reservation"))
	}
	return all
}

// durability are the settings that decide on the grade.
func (s *Store) durability(c *jetstream.StreamConfig) []semel.Finding {
	var all []semel.Finding
	switch {
	case c.Storage == jetstream.FileStorage:
		all = append(all, fine("storage", "file"))
	case s.cfg.AcceptMemory:
		all = append(all, weak("storage", "memory", "use file: the records end with the servers"))
	default:
		all = append(all, broken("storage", "memory", "use file, or accept with Config.AcceptMemory that the records end with the servers"))
	}
	if replicas := strconv.Itoa(c.Replicas); c.Replicas < 3 {
		all = append(all, weak("num_replicas", replicas, "use 3 in a cluster: the loss of one disk loses every record"))
	} else {
		all = append(all, fine("num_replicas", replicas))
	}
	if s.cfg.SyncAlways {
		all = append(all, fine("sync_interval", "always (the operator's word)"))
	} else {
		all = append(all, weak("sync_interval", "unknown",
			"it must be always on every server, and Config.SyncAlways say so: by default a coordinated power loss loses acknowledged writes of two minutes"))
	}
	if c.MaxBytes > 0 {
		all = append(all, fine("max_bytes", strconv.FormatInt(c.MaxBytes, 10)))
	}
	return all
}

// cluster is about the servers that keep the stream.
func (s *Store) cluster(info *jetstream.StreamInfo) []semel.Finding {
	if info.Cluster == nil || info.Config.Replicas < 2 {
		return nil
	}
	all := []semel.Finding{fine("leader", info.Cluster.Leader)}
	if info.Cluster.Leader == "" {
		all[0] = broken("leader", "none", "bring back enough servers for a majority")
	}
	for _, r := range info.Cluster.Replicas {
		switch {
		case r.Offline:
			all = append(all, weak("replica "+r.Name, "offline", "bring it back: until then one failure less is survived"))
		case !r.Current:
			all = append(all, weak("replica "+r.Name, fmt.Sprintf("%d operations behind", r.Lag), "wait until it is current before another server is stopped"))
		default:
			all = append(all, fine("replica "+r.Name, "current"))
		}
	}
	return all
}

// enginesResponse is what an engine keeps by default, and its header.
const enginesResponse = 1<<20 + 64<<10

// client is about the connection.
func (s *Store) client() []semel.Finding {
	limit := s.nc.MaxPayload()
	payload := fine("max_payload", strconv.FormatInt(limit, 10))
	if limit < enginesResponse {
		payload = weak("max_payload", strconv.FormatInt(limit, 10),
			"set it to 2MB on the servers, or keep smaller responses: one of a mebibyte, the usual limit, does not fit")
	}
	all := []semel.Finding{payload}
	if s.nc.Opts.ReconnectBufSize >= 0 {
		all = append(all, weak("reconnect buffer", strconv.Itoa(s.nc.Opts.ReconnectBufSize),
			"connect with nats.ReconnectBufSize(-1): a step that was given up may happen after the connection is back"))
	}
	return all
}

// worst is the least that the store accepts.
var worst = semel.Grade{
	Letter:   "C",
	Survives: "Kills of the server, if the stream is in files; a power loss loses acknowledged writes of up to two minutes.",
}

// Grade implements [semel.Grader]. Before the first Validate or Inspect it is C.
// It is B with [Config.SyncAlways] and a stream in files, and the sentence tells
// one server from three.
func (s *Store) Grade() semel.Grade {
	if g := s.grade.Load(); g != nil {
		return *g
	}
	return worst
}

func (s *Store) setGrade(info *jetstream.StreamInfo) {
	g := gradeOf(&info.Config, s.cfg.SyncAlways)
	s.grade.Store(&g)
}

func gradeOf(c *jetstream.StreamConfig, syncAlways bool) semel.Grade {
	switch {
	case c.Storage != jetstream.FileStorage:
		return semel.Grade{Letter: "C", Survives: "Nothing beyond the servers' memory."}
	case !syncAlways && c.Replicas >= 3:
		return semel.Grade{
			Letter:   "C",
			Survives: "The loss of a minority of the servers; a power loss of all of them loses acknowledged writes of up to two minutes.",
		}
	case !syncAlways:
		return worst
	case c.Replicas >= 3:
		return semel.Grade{
			Letter:   "B",
			Survives: "The loss of a minority of the servers and, as the operator says that they sync always, a power loss of all.",
		}
	}
	return semel.Grade{
		Letter:   "B",
		Survives: "Kills of the server and, as the operator says that it syncs always, a power loss; not the loss of its disk.",
	}
}
