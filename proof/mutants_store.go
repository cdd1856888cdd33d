package proof

func memoryMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{"memory: " + name, "store/memstore/" + file, before, after, "store/memstore", test}
	}
	return []Mutant{
		mutant("who takes over the blameless takes over all", "record.go",
			"r.TakeOverBlameless && rec.blameless()", "r.TakeOverBlameless", "^TestConformance$/^(deferred|begin)$"),
		mutant("a promise makes up for a lapse", "record.go",
			"rec.deferred && rec.lapses == 0", "rec.deferred", "^TestConformance$/^deferred$"),
		mutant("a take-over of the blameless is a lapse", "memstore.go",
			"if rec.blameless() { // nothing is unknown", "if false {", "^TestConformance$/^deferred$"),
		mutant("a promise outlives its reservation", "record.go",
			"rec.state, rec.response, rec.deferred = semel.StateCompleted, r, false",
			"rec.state, rec.response = semel.StateCompleted, r", "^TestConformance$/^deferred$"),
		mutant("a foreign token begins", "memstore.go",
			"		return semel.ErrLost\n	}\n	rec.deferred = false",
			"		if rec == nil {\n			return semel.ErrLost\n		}\n	}\n	rec.deferred = false", "^TestConformance$/^(begin|foreign)$"),
		mutant("a reason stays when the slot is taken", "record.go",
			"rec.response, rec.reason = semel.Response{}, nil", "rec.response = semel.Response{}", "^TestConformance$/^resolve$"),
		mutant("a record is larger than it must be", "record.go",
			"reason      *string", "reason      *string; _ [8]byte", "^TestRecordSize$"),
	}
}
