package main

import (
	"math"
	"slices"
)

// sample holds one figure of each round.
type sample []float64

// median returns the middle value, or NaN without any. One slow round, which a
// shared machine always has, does not move it.
func (s sample) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	if mid := len(sorted) / 2; len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[len(sorted)/2-1] + sorted[len(sorted)/2]) / 2
}

// span returns the smallest and the largest value.
func (s sample) span() (low, high float64) {
	if len(s) == 0 {
		return math.NaN(), math.NaN()
	}
	return slices.Min(s), slices.Max(s)
}

// over divides round by round, so that what slowed a whole round cancels out.
func (s sample) over(base sample) sample {
	ratios := make(sample, min(len(s), len(base)))
	for i := range ratios {
		ratios[i] = s[i] / base[i]
	}
	return ratios
}

// scale multiplies every value, to change its unit.
func (s sample) scale(by float64) sample {
	scaled := make(sample, len(s))
	for i, v := range s {
		scaled[i] = by * v
	}
	return scaled
}

// quantile returns the value below which the share q of the sorted values lies.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// turned returns all, in the opposite order in every other round, so that going
// first is nobody's advantage.
func turned[T any](round int, all []T) []T {
	if round%2 == 1 {
		slices.Reverse(all)
	}
	return all
}

// series collects samples by name, one value a round.
type series map[string]sample

func (s series) add(name string, value float64) { s[name] = append(s[name], value) }
