package console

import (
	"net/url"
	"strings"
	"time"

	"github.com/semel-go/semel"
)

// The sample data of the stories.

func sampleRecord(id string, now time.Time, age time.Duration, change func(*semel.Record)) semel.Record {
	created := now.Add(-age)
	rec := semel.Record{
		Key: semel.Key{Scope: "tenant-acme", ID: id}, State: semel.StateReserved, Attempts: 1, Fence: created.UnixMicro(),
		Fingerprint: semel.FingerprintOf([]byte(id)), Owner: "payments-7d9f6/1", Route: "POST /payments",
		CreatedAt: created, ExpiresAt: created.Add(24 * time.Hour), Token: semel.Token([]byte("semel sample-tok")),
	}
	if change != nil {
		change(&rec)
	}
	return rec
}

func sampleRunning(now time.Time) []semel.Record {
	return []semel.Record{
		sampleRecord("order-91", now, 200*time.Millisecond, nil),
		sampleRecord("order-90", now, 3*time.Second, func(r *semel.Record) { r.Route = "POST /refunds"; r.Key.Scope = "tenant-globex" }),
		sampleRecord("order-89", now, 12*time.Second, func(r *semel.Record) { r.Attempts = 2; r.Owner = "payments-b41c2/1" }),
		sampleLapsed(now),
	}
}

func sampleKept(now time.Time) []semel.Record {
	kept := func(id string, age time.Duration, status int) semel.Record {
		return sampleRecord(id, now, age, func(r *semel.Record) { r.State, r.Response.Status = semel.StateCompleted, status })
	}
	return []semel.Record{
		kept("order-77", 4*time.Minute, 201), kept("order-76", 5*time.Minute, 201), kept("order-75", 9*time.Minute, 422),
		sampleRecord("order-74", now, 11*time.Minute, func(r *semel.Record) { r.State, r.Attempts = semel.StateFree, 3 }),
		kept("order-73", 2*time.Hour, 201), kept("order-72", 20*time.Hour, 500),
	}
}

func sampleLapsed(now time.Time) semel.Record {
	return sampleRecord("order-42", now, 47*time.Minute, func(r *semel.Record) { r.Lapsed, r.Attempts, r.Lapses = true, 3, 1 })
}

func sampleWork(now time.Time) []semel.Record {
	lapsed := func(id, route, scope string, age time.Duration) semel.Record {
		return sampleRecord(id, now, age, func(r *semel.Record) { r.Lapsed, r.Route, r.Key.Scope = true, route, scope })
	}
	return []semel.Record{
		lapsed("order-7", "POST /payments", "tenant-globex", 26*time.Hour),
		sampleLapsed(now),
		lapsed("order-57", "POST /payouts/{account}/transfers", "tenant-initech", 3*time.Minute),
	}
}

func sampleResolved(now time.Time) semel.Record {
	return sampleRecord("order-31", now, 3*time.Hour, func(r *semel.Record) {
		r.State, r.Attempts, r.Response.Status = semel.StateCompleted, 2, 201
		r.Reason = "ann@bank.example: charge 17 is in the ledger, case 4711"
	})
}

func sampleHostile(now time.Time) []semel.Record {
	return []semel.Record{
		sampleRecord("a", now, time.Second, func(r *semel.Record) {
			r.Owner, r.Route = `<script>alert("owner")</script>`, `" onmouseover="alert(1)`
		}),
		sampleRecord("b", now, time.Minute, func(r *semel.Record) {
			r.Owner, r.Key.Scope = "\u202egnp.exe\u202c", "\x1b[2J\xff\xfe\x00 evil"
		}),
		sampleRecord("c", now, time.Hour, func(r *semel.Record) {
			r.Owner, r.Route = strings.Repeat("W", 1<<20), strings.Repeat("long-", 51)
		}),
		sampleRecord("d", now, 30*time.Hour, func(r *semel.Record) {
			r.Key.Scope, r.Owner = "عميل رقم ٧", "支付服务/1"
		}),
	}
}

func sampleRevealed() *revealedView {
	return &revealedView{
		Key: datum{Shown: "order-31"}, Status: 201, Answer: true, Bytes: 56,
		Fields: []field{
			{datum{Shown: "Content-Type"}, datum{Shown: "application/json"}},
			{datum{Shown: "Location"}, datum{Shown: "/payments/17"}},
		},
		Text: "{\n  \"id\": 17,\n  \"amount\": 2500,\n  \"currency\": \"EUR\"\n}\n",
	}
}

// sampleTrail is a trail, the latest entry first.
func sampleTrail(now time.Time) []semel.AuditEntry {
	key := semel.Key{Scope: "tenant-acme", ID: "order-31"}
	var trail []semel.AuditEntry
	add := func(age time.Duration, e semel.AuditEntry, result string) {
		e.ID, e.At = int64(len(trail))+1, now.Add(-age)
		trail = append(trail, e)
		if result == "" {
			return
		}
		e.Begun, e.Result = e.ID, result
		e.ID, e.At = int64(len(trail))+1, e.At.Add(40*time.Millisecond)
		trail = append(trail, e)
	}
	add(50*time.Hour, semel.AuditEntry{Actor: "root@db-1", Action: semel.ActionPurge, Reason: "disk"}, semel.AuditDone)
	add(26*time.Hour, semel.AuditEntry{Actor: "olaf@bank.example", Action: semel.ActionRelease, Key: semel.Key{Scope: "tenant-acme", ID: "order-8"}, Fence: 1795555520000000, Reason: "no charge at the provider, case 4699"}, "")
	add(25*time.Hour, semel.AuditEntry{Actor: "keys@kms-job", Action: semel.ActionRotate, Reason: "quarter 4"}, "failed: semel: list: the store did not answer in time")
	add(100*time.Minute, semel.AuditEntry{Actor: "ann@bank.example", Action: semel.ActionComplete, Key: key, Fence: now.Add(-3 * time.Hour).UnixMicro(), Reason: "charge 17 is in the ledger, case 4711"}, semel.AuditDone)
	add(8*time.Minute, semel.AuditEntry{Actor: "olaf@bank.example", Action: semel.ActionReveal, Key: key, Fence: now.Add(-3 * time.Hour).UnixMicro(), Reason: "dispute of customer 88, case 4711"}, semel.AuditDone)
	for i, j := 0, len(trail)-1; i < j; i, j = i+1, j-1 {
		trail[i], trail[j] = trail[j], trail[i]
	}
	return trail
}

// sampleMeter has a quarter of an hour behind it, with a bad moment in it.
func sampleMeter(now time.Time) *Meter {
	clock := now.Add(-time.Hour)
	m := newMeter(func() time.Time { return clock })
	for i := range bucketCount {
		clock = now.Add(-time.Duration(bucketCount-i) * bucketTime)
		wave := 60 + 25*((i*7)%11)/10 + 20*min(i%60, 60-i%60)/30
		bad := i > 108 && i < 122
		slow := time.Duration(1+i%5) * 100 * time.Microsecond
		for n := range wave {
			e := semel.Event{Kind: semel.Reserved, Took: 400*time.Microsecond + time.Duration(n%9)*slow/4}
			switch {
			case bad && n%4 == 0:
				e = semel.Event{Err: semel.ErrTimeout, Took: 90 * time.Millisecond}
			case bad && n%5 == 1:
				e.Kind = semel.InFlight
			case n%6 == 2:
				e.Kind = semel.Replay
			case n%37 == 5:
				e.Kind = semel.InFlight
			case n%61 == 7:
				e.Kind = semel.Conflict
			case i > 122 && n%43 == 9:
				e.Kind, e.Lapsed = semel.InFlight, true
			}
			m.reserved(e)
			if e.Kind == semel.Reserved {
				m.completed(semel.Event{Took: 900*time.Microsecond + time.Duration(n%13)*slow/2})
			}
		}
	}
	m.now = func() time.Time { return now }
	return m
}

func sampleFurther(c *Console, path string, now time.Time) *further {
	return c.onward(path, url.Values{"q": {"3f2a9c0b17de"}}, semel.Place{CreatedAt: now.Add(-7 * time.Hour)}, now)
}
