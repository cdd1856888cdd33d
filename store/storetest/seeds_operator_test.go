package storetest

import (
	"context"
	"fmt"

	"github.com/semel-go/semel"
)

var resealSeeds = []seed{
	{"a reseal does nothing", func(m *mutant) {
		m.reseal = func(context.Context, semel.Holder, []byte, []byte) error { return nil }
	}, []string{"reseal/replaces", "reseal/lost"}},
	{"a reseal keeps the old body", func(m *mutant) {
		m.reseal = func(ctx context.Context, h semel.Holder, header, _ []byte) error {
			return m.Store.Reseal(ctx, h, header, m.look(ctx, h.Key).Response.Body)
		}
	}, []string{"reseal/replaces"}},
	{"a reseal keeps the old header", func(m *mutant) {
		m.reseal = func(ctx context.Context, h semel.Holder, _, body []byte) error {
			return m.Store.Reseal(ctx, h, m.look(ctx, h.Key).Response.Header, body)
		}
	}, []string{"reseal/replaces"}},
	{"a reseal ignores the token", func(m *mutant) {
		m.reseal = func(ctx context.Context, h semel.Holder, header, body []byte) error {
			if rec := m.look(ctx, h.Key); rec.State == semel.StateCompleted {
				h.Token = rec.Token
			}
			return m.Store.Reseal(ctx, h, header, body)
		}
	}, []string{"reseal/lost"}},
	{"a reseal completes", func(m *mutant) {
		m.reseal = func(ctx context.Context, h semel.Holder, header, body []byte) error {
			_ = m.Store.Complete(ctx, semel.Completion{Key: h.Key, Token: h.Token})
			return m.Store.Reseal(ctx, h, header, body)
		}
	}, []string{"reseal/lost"}},
}

// audits changes what Audit is given.
func audits(change func(e *semel.AuditEntry)) func(*mutant) {
	return func(m *mutant) {
		m.audit = func(ctx context.Context, e semel.AuditEntry) (semel.AuditEntry, error) {
			change(&e)
			return m.Store.Audit(ctx, e)
		}
	}
}

// trails changes what Trail is asked for, and what it answers.
func trails(ask func(f *semel.AuditFilter), change func([]semel.AuditEntry) []semel.AuditEntry) func(*mutant) {
	return func(m *mutant) {
		m.trail = func(ctx context.Context, f semel.AuditFilter) (entries []semel.AuditEntry) {
			ask(&f)
			for e := range m.Store.Trail(ctx, f) {
				entries = append(entries, e)
			}
			return change(entries)
		}
	}
}

func asTheyAre(entries []semel.AuditEntry) []semel.AuditEntry { return entries }

var auditSeeds = []seed{
	{"an entry has no key", audits(func(e *semel.AuditEntry) { e.Key = semel.Key{} }), []string{"audit/trail"}},
	{"an entry has no reason", audits(func(e *semel.AuditEntry) { e.Reason = "" }), []string{"audit/trail"}},
	{"a text is cut at 255 bytes", audits(func(e *semel.AuditEntry) { e.Actor = e.Actor[:min(255, len(e.Actor))] }), []string{"audit/trail"}},
	{"a text that is too long is cut", audits(func(e *semel.AuditEntry) {
		e.Actor, e.Action = e.Actor[:min(1024, len(e.Actor))], e.Action[:min(1024, len(e.Action))]
		e.Reason, e.Result = e.Reason[:min(1024, len(e.Reason))], e.Result[:min(1024, len(e.Result))]
	}), []string{"audit/too-long"}},
	{"the oldest entry comes first", trails(func(*semel.AuditFilter) {}, func(entries []semel.AuditEntry) []semel.AuditEntry {
		var turned []semel.AuditEntry
		for i := range entries {
			turned = append(turned, entries[len(entries)-1-i])
		}
		return turned
	}), []string{"audit/trail", "audit/filter"}},
	{"a trail ignores the slot", trails(func(f *semel.AuditFilter) { f.Key = semel.Key{} }, asTheyAre), []string{"audit/filter"}},
	{"a trail ignores the place", trails(func(f *semel.AuditFilter) { f.Before = 0 }, asTheyAre), []string{"audit/filter"}},
	{"a trail repeats the place", trails(func(f *semel.AuditFilter) {
		if f.Before > 0 {
			f.Before++
		}
	}, asTheyAre), []string{"audit/filter"}},
	{"a trail has no limit", trails(func(f *semel.AuditFilter) { f.Limit = 0 }, asTheyAre), []string{"audit/filter"}},
	{"one of many entries is lost", func(m *mutant) {
		m.audit = func(ctx context.Context, e semel.AuditEntry) (semel.AuditEntry, error) {
			if e.Actor == fmt.Sprint("ops ", 7) {
				return e, nil
			}
			return m.Store.Audit(ctx, e)
		}
	}, []string{"audit/together"}},
	{"a purge removes the trail", trails(func(*semel.AuditFilter) {}, func([]semel.AuditEntry) []semel.AuditEntry { return nil }), []string{"audit/outlives"}},
}
