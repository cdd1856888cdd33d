package proof

// commandMutants break what the sidecar's command makes of its settings, and what it tells.
func commandMutants() []Mutant {
	mutant := func(name, file, before, after, dir, test string) Mutant {
		return Mutant{"command: " + name, "cmd/semel/" + file, before, after, "cmd/semel" + dir, test}
	}
	return []Mutant{
		mutant("a wait for the whole is forgotten", "internal/cli/proxy.go",
			"Retention: cfg.Retention, Wait: cfg.Wait,", "Retention: cfg.Retention,", "/internal/cli", "^TestWholeAsRoute$"),
		mutant("the lease of the whole is forgotten", "internal/cli/proxy.go",
			"to.Lease, to.Margin, to.MaxRun, to.Retention = cfg.Lease,", "to.Lease, to.Margin, to.MaxRun, to.Retention = to.Lease,", "/internal/cli", "^TestWholeAsRoute$"),
		mutant("a reload does not reach the console", "internal/cli/reload.go",
			"	r.holds.Store(&cfg)\n", "	r.holds = new(atomic.Pointer[config.Config])\n	r.holds.Store(&cfg)\n", "", "^TestScripts$/^console_route$"),
	}
}
