package proof

// sealMutants break what keeps answers and keys secret.
func sealMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{name, file, before, after, ".", test}
	}
	http := func(name, file, before, after, test string) Mutant {
		return Mutant{name, "semelhttp/" + file, before, after, "semelhttp", test}
	}
	all := []Mutant{
		mutant("a sealed answer opens under another status", "seal.go",
			"	return appendPrefixed(b, fmt.Sprint(status))\n", "	_ = status\n	return b\n", "^TestDamagedRecordIsNeverReplayed$"),
		mutant("a sealed header opens as a body", "seal.go",
			"	b = appendPrefixed(b, field)\n", "	_ = field\n", "^TestDamagedRecordIsNeverReplayed$"),
		mutant("what does not open is no damage", "seal.go",
			`err = fmt.Errorf("%w: %w", ErrDamaged, err)`, `err = fmt.Errorf("%w", err)`, "^TestUnopenedIsReported$"),
		mutant("a key service that is down looks like damage", "seal.go",
			"if err != nil && !errors.Is(err, ErrKeyUnavailable) {", "if err != nil {", "^TestUnopenedIsReported$"),
		mutant("nobody observes what does not open", "seal.go",
			"	_, end := e.observe(ctx, Op{Step: StepOpen, Route: held.Route, key: held.Key})\n", "	end := func(Event) {}\n", "^TestUnopenedIsReported$"),
		mutant("an attempt runs although its answer could not be sealed", "engine.go",
			"if err := e.prepare(start, r.Lease); err != nil {", "if err := e.prepare(start, r.Lease); false && err != nil {", "^TestUnreadySealer$"),
		mutant("a transaction runs although its answer could not be sealed", "intx.go",
			"if err := e.prepare(time.Now(), r.Lease); err != nil {", "if err := e.prepare(time.Now(), r.Lease); false && err != nil {", "^TestUnreadySealer$"),
		mutant("an attempt runs without a lease after a slow sealer", "seal.go",
			"if elapsed(start, time.Now())+tick(lease) >= lease {", "if false {", "^TestSlowSealer$"),
		mutant("a scope is kept in clear", "hashkeys.go",
			`Scope: hex.EncodeToString(e.keyed("semel/1 scope", key.Scope)),`, "Scope: key.Scope,", "^TestHashedKeysAreAllThatIsStored$"),
		mutant("an id is hashed without its scope", "hashkeys.go",
			`e.keyed("semel/1 key", key.Scope, key.ID)`, `e.keyed("semel/1 key", key.ID)`, "^TestHashedPartsAreApart$"),
		mutant("hashed parts run together", "hashkeys.go",
			"b = appendPrefixed(b, part)", "b = append(b, part...)", "^TestHashedPartsAreApart$"),
		mutant("keys are hashed without the secret", "hashkeys.go",
			"hmac.New(sha256.New, e.cfg.Secret)", "hmac.New(sha256.New, nil)", "^TestHashedKeysAreKeys$"),
		mutant("a fingerprint is kept in clear", "hashkeys.go",
			`Fingerprint(e.keyed("semel/1 fingerprint", string(call.Fingerprint[:])))`, "call.Fingerprint", "^TestHashedKeysAreAllThatIsStored$"),
		mutant("a key in a transaction is hashed twice", "intx.go",
			"out, err := e.begin(ctx, t.call)", "out, err := e.Begin(ctx, t.call)", "^TestHashedKeysInTransactions$"),
		mutant("a transaction stores its key in clear", "intx.go",
			"	if err := e.admit(&call); err != nil {", "	if err := call.Key.Validate(); err != nil {", "^TestHashedKeysInTransactions$"),
		mutant("a sweep hashes a stored key again", "sweep.go",
			"out, err := e.begin(ctx, Call{ // what", "out, err := e.Begin(ctx, Call{ // what", "^TestHashedKeysAreAllThatIsStored$"),
		mutant("keys are hashed under a secret that can be guessed", "hashkeys.go",
			"c.HashKeys && len(c.Secret) < minHashSecret", "false", "^TestHashKeysNeedsASecret$"),
		http("a damaged answer is reported without its reference", "answer.go",
			"m.refuse(w, r, ProblemRecordDamaged, m.reference(stored))", "m.refuse(w, r, ProblemRecordDamaged, nil)", "^TestUnopenedAnswer$"),
		http("a refusal names a record that is not there", "answer.go",
			"	return m.reference(m.engine.StoredKey(key))", "	return m.reference(key)", "^TestHashedKeysInRefusals$"),
		http("a client is told that nothing was done, as the key service is down", "answer.go",
			"case errors.Is(err, semel.ErrKeyUnavailable):", "case false:", "^TestKeyServiceIsDown$"),
		http("a request inside its own transaction is not recognised", "transaction.go",
			"c.claim.Key() != m.engine.StoredKey(key) {", "c.claim.Key() != key {", "^TestHashedKeys$"),
	}
	return append(all, keyringMutants()...)
}

func keyringMutants() []Mutant {
	mutant := func(name, file, before, after, test string) Mutant {
		return Mutant{name, "keyring/" + file, before, after, "keyring", test}
	}
	zstd := func(name, before, after, test string) Mutant {
		return Mutant{name, "adapter/semelzstd/sealer.go", before, after, "adapter/semelzstd", test}
	}
	return []Mutant{
		mutant("the record is not bound as additional data", "envelope.go",
			"make([]byte, 0, len(head)+len(aad)), head...), aad...)", "make([]byte, 0, len(head)), head...), aad[:0]...)", "^TestRecordIsBound$"),
		mutant("the key id is not authenticated", "envelope.go",
			"make([]byte, 0, len(head)+len(aad)), head...), aad...)", "make([]byte, 0, len(aad)), head[:0]...), aad...)", "^TestEveryByteCounts$"),
		mutant("the first key seals, not the primary one", "keyring.go",
			"primary: cfg.Primary, head: head(cfg.Primary, nil),", "primary: cfg.Keys[0].ID, head: head(cfg.Keys[0].ID, nil),", "^TestEngineRewraps$"),
		mutant("every field has the same key", "xaes.go",
			"		copy(m1[4:], half)\n", "		_ = half\n", "^TestVectors$"),
		mutant("both halves of the derived key are one", "xaes.go",
			"[]byte{0, i + 1, 'X', 0}", "[]byte{0, 1, 'X', 0}", "^TestVectors$"),
		mutant("the subkey loses a bit", "xaes.go",
			"carry * 0b10000111", "0", "^TestVectors$"),
		mutant("half of the nonce is always the same", "xaes.go",
			"	_, _ = rand.Read(out[half:]) // never fails", "	_ = rand.Read // never fails", "^TestNoncesAreFresh$"),
		mutant("what was never sealed is read, though nobody wanted it", "keyring.go",
			"return k.plain && !isEnvelope(header)", "return !isEnvelope(header)", "^TestRecordIsBound$|^TestAcceptPlain$"),
		mutant("a sealed record is read as it is", "keyring.go",
			"return k.plain && !isEnvelope(header)", "return k.plain", "^TestAcceptPlain$"),
		mutant("what is stale stays so", "keyring.go",
			"e.kind != kindDirect || e.id != k.primary", `e.id == ""`, "^TestRotation$"),
		mutant("a keyring prints its keys", "keyring.go",
			`"keyring:"+k.primary)`, `"keyring:"+k.primary+fmt.Sprint(k.keys[k.primary].k1)+"correct")`, "^TestKeysDoNotPrint$"),
		mutant("a keyring file may be read by everybody", "file.go",
			"mode&0o007 != 0", "mode&0o002 != 0", "^TestFile$"),
		mutant("an error shows a secret", "file.go",
			`fmt.Errorf("the first word is no id: want 1 to %d of a-z, 0-9 and -", MaxIDLen)`, `fmt.Errorf("the first word is no id: %s", words[0])`, "^TestParseRefuses$"),
		mutant("the last of two primary keys seals", "file.go",
			`case primary && cfg.Primary != "":`, "case false:", "^TestParseRefuses$"),
		mutant("the bits behind a secret do not matter", "file.go",
			"base64.StdEncoding.Strict()", "base64.StdEncoding", "^TestParseRefuses$"),
		mutant("a data key seals for ever", "wrapped.go",
			"k.uses >= w.cfg.MaxUses || now.Sub(k.made) >= w.cfg.MaxAge", "false", "^TestWrappedBounds$|^TestWrappedOutage$"),
		mutant("a data key opens for ever", "opener.go",
			"mine := o == nil || time.Since(o.made) >= w.cfg.MaxAge", "mine := o == nil", "^TestWrappedBounds$|^TestWrappedOutage$"),
		mutant("unwrapped keys fill the memory", "opener.go",
			"if len(w.known) < w.cfg.MaxKeys {", "if true {", "^TestWrappedBounds$"),
		mutant("a short outage of the key service is noticed", "wrapped.go",
			"		case asked.err != nil && k != nil:\n", "		case false:\n", "^TestWrappedOutage$"),
		mutant("a key service that is down is asked for every field", "wrapped.go",
			"			w.again = time.Now().Add(w.cfg.Timeout)\n", "", "^TestWrappedOutage$"),
		mutant("a key service that is down is damage", "wrapper.go",
			"		return nil, fmt.Errorf(\"%w: %w\", semel.ErrKeyUnavailable, err)\n	case len(secret) != keySize:", "		return nil, fmt.Errorf(\"%w: %w\", ErrDamaged, err)\n	case len(secret) != keySize:", "^TestWrappedOutage$"),
		mutant("a call that panics keeps all others", "wrapped.go",
			"		w.next = nil\n", "		if !errors.Is(asked.err, errNoReturn) {\n			w.next = nil\n		}\n", "^TestWrappedNonsense$"),
		mutant("one who is stuck in the key service keeps the others", "wrapped.go",
			"	case <-late:\n		return false\n	}", "	}", "^TestWrappedAsksOnce$"),
		zstd("a bomb goes off", "zstd.WithDecoderMaxMemory(most)", "zstd.WithDecoderMaxMemory(most<<10)", "^TestBomb$"),
		zstd("a field may lose its mark", `"semelzstd/1"...), append([]byte{form}, aad...)...)`, `aad...), form*0)[:len(aad)]`, "^TestMarkIsBound$"),
		zstd("a field may change its form", "append([]byte{form}, aad...)...)", "append([]byte{form * 0}, aad...)...)", "^TestMarkIsBound$"),
		zstd("what is compressed is read as it is", "	if isMarked(header) {\n		return false\n	}\n	reader", "	reader", "^TestComesBack$|^TestSwitchingOn$"),
	}
}
