package console

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts times in steps of a quarter of a power of two, from 1 µs to two minutes.
type histogram [histogramSize]atomic.Uint32

const histogramSize = 4*26 + 1

func (h *histogram) add(d time.Duration) { h[stepOf(d)].Add(1) }

func (h *histogram) empty() {
	for i := range h {
		h[i].Store(0)
	}
}

// stepOf finds the step of a time: its highest bit in microseconds and the two after it.
func stepOf(d time.Duration) int {
	n := uint64(max(d, 0)) / uint64(time.Microsecond)
	if n < 4 {
		return int(n)
	}
	high := bits.Len64(n) - 1
	return min(4*(high-1)+int(n>>(high-2)&3), histogramSize-1)
}

// stepEnd is the longest time of a step.
func stepEnd(step int) time.Duration {
	if step < 4 {
		return time.Duration(step+1) * time.Microsecond
	}
	high := step/4 + 1
	return time.Duration(uint64(4+step%4+1)<<(high-2)) * time.Microsecond //nolint:gosec // at most 2^26
}

// sum is several histograms together.
type sum struct {
	steps [histogramSize]uint64
	count uint64
}

func (s *sum) add(h *histogram) {
	for i := range h {
		n := uint64(h[i].Load())
		s.steps[i] += n
		s.count += n
	}
}

// quantile returns a time that a share of all did not exceed, at most a quarter too
// long; 0 without any.
func (s *sum) quantile(share float64) time.Duration {
	rank := uint64(share * float64(s.count))
	for i, n := range s.steps {
		if n > rank {
			return stepEnd(i)
		}
		rank -= n
	}
	return 0
}
