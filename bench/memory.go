package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/store/memstore"
)

// memoryGroup measures the steps of the store in memory, and what a record takes.
func memoryGroup(ctx context.Context, e *env) (section, error) {
	pairNS, replayNS, reserved, completed := series{}, series{}, sample{}, sample{}
	keys := textKeys(e.size.records)
	cores := coreCounts()
	for round := range e.rounds {
		e.progress("round %d of %d", round+1, e.rounds)
		for _, n := range cores {
			perPair, perReplay, err := memorySteps(ctx, keys, n)
			if err != nil {
				return section{}, err
			}
			pairNS.add(coresName(n), perPair)
			replayNS.add(coresName(n), perReplay)
		}
		r, c, err := memoryHeap(ctx, keys)
		if err != nil {
			return section{}, err
		}
		reserved, completed = append(reserved, r), append(completed, c)
	}
	steps := table{columns: []string{"ns a pair", "ns a replay"}}
	for _, n := range cores {
		steps.rows = append(steps.rows, row{coresName(n), []cell{{pairNS[coresName(n)], 0}, {replayNS[coresName(n)], 0}}})
	}
	heap := table{
		columns: []string{"reserved", "completed"},
		rows:    []row{{"heap bytes a record", []cell{{reserved, 0}, {completed, 0}}}},
	}
	return section{
		title:  "The store in memory",
		method: fmt.Sprintf(memoryMethod, number(float64(e.size.records), 0), perCore),
		tables: []table{steps, heap},
		goals:  []goal{atMost("memory ≤ 300 B a record besides its key text and its response", completed, 300, 0)},
	}, nil
}

const memoryMethod = `%s records. A pair is Reserve and Complete of a new key, a replay is Reserve of a completed one; %d goroutines a core call the
store and nothing else, with keys, tokens and fingerprints made before. Nanoseconds are wall time divided by all steps. The
heap is what stays after a collection, without the text of the key and the bytes of the response: the store keeps those as
they are handed over, and they weigh what they weigh anywhere.`

// perCore is how many goroutines there are for each core.
const perCore = 32

func coreCounts() []int {
	if runtime.NumCPU() < 2 {
		return []int{1}
	}
	return []int{1, 2}
}

func coresName(n int) string {
	if n == 1 {
		return "1 core"
	}
	return fmt.Sprintf("%d cores", n)
}

func textKeys(n int) []semel.Key {
	var m keyMaker
	keys := make([]semel.Key, n)
	for i := range keys {
		keys[i] = m.next()
	}
	return keys
}

// memoryReservation asks for the key with a token that follows from i.
func memoryReservation(key semel.Key, i int) semel.Reservation {
	r := semel.Reservation{
		Key: key, Lease: semel.DefaultLease, Margin: semel.DefaultMargin,
		Retention: semel.DefaultRetention, Owner: "bench/1",
	}
	binary.BigEndian.PutUint64(r.Token[:], uint64(i)+1)
	return r
}

func memoryReserve(ctx context.Context, s *memstore.Store, key semel.Key, i int) error {
	r := memoryReservation(key, i)
	held, err := s.Reserve(ctx, r)
	if err == nil && held.Token != r.Token {
		err = errors.New("a new key is not ours")
	}
	return err
}

func memoryComplete(ctx context.Context, s *memstore.Store, key semel.Key, i int) error {
	c := semel.Completion{Key: key, Response: kept, Retention: semel.DefaultRetention}
	binary.BigEndian.PutUint64(c.Token[:], uint64(i)+1)
	return s.Complete(ctx, c)
}

// memorySteps returns the nanoseconds of a pair and of a replay on so many cores.
func memorySteps(ctx context.Context, keys []semel.Key, cores int) (perPair, perReplay float64, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
	s := memstore.New(memstore.Config{})
	runtime.GC()
	perPair, err = spreadOut(len(keys), cores*perCore, func(i int) error {
		if err := memoryReserve(ctx, s, keys[i], i); err != nil {
			return err
		}
		return memoryComplete(ctx, s, keys[i], i)
	})
	if err != nil {
		return 0, 0, err
	}
	perReplay, err = spreadOut(len(keys), cores*perCore, func(i int) error {
		held, err := s.Reserve(ctx, memoryReservation(keys[i], len(keys)+i))
		if err == nil && held.State != semel.StateCompleted {
			err = fmt.Errorf("a completed key is %s", held.State)
		}
		return err
	})
	return perPair, perReplay, err
}

// spreadOut calls f with 0 to n-1 from so many goroutines and returns the
// nanoseconds a call, all goroutines together.
func spreadOut(n, goroutines int, f func(i int) error) (float64, error) {
	var wg sync.WaitGroup
	errs := make([]error, goroutines)
	start := time.Now()
	for g := range goroutines {
		wg.Go(func() {
			for i := g; i < n && errs[g] == nil; i += goroutines {
				errs[g] = f(i)
			}
		})
	}
	wg.Wait()
	return float64(time.Since(start).Nanoseconds()) / float64(n), errors.Join(errs...)
}

// memoryHeap returns the heap bytes of a reserved and of a completed record.
func memoryHeap(ctx context.Context, keys []semel.Key) (reserved, completed float64, err error) {
	before := heapInUse()
	s := memstore.New(memstore.Config{})
	for i, key := range keys {
		if err := memoryReserve(ctx, s, key, i); err != nil {
			return 0, 0, err
		}
	}
	reserved = (heapInUse() - before) / float64(len(keys))
	for i, key := range keys {
		if err := memoryComplete(ctx, s, key, i); err != nil {
			return 0, 0, err
		}
	}
	completed = (heapInUse() - before) / float64(len(keys))
	runtime.KeepAlive(s)
	return reserved, completed, nil
}

func heapInUse() float64 {
	runtime.GC()
	runtime.GC() // the first one leaves what finalizers and pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
