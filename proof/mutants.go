package proof

// Mutants returns every guard that is known to be watched, with the test that
// watches it. Whoever adds a guard adds its mutant.
func Mutants() []Mutant {
	var all []Mutant
	for _, group := range [][]Mutant{
		coreMutants(), httpMutants(), httpTxMutants(), proxyMutants(), observeMutants(), memoryMutants(),
		sqliteMutants(), sqliteOperatorMutants(), sqliteTxMutants(), pgMutants(), mysqlMutants(), redisMutants(), natsMutants(),
		sqlMutants(), mysqlTxMutants(), crashMutants(), ledgerMutants(), harnessMutants(), recordHintMutants(), exampleMutants(), sealMutants(), doorMutants(),
		operatorMutants(), consoleMutants(), waitMutants(), commandMutants(),
		presetMutants(), interopMutants(), grpcMutants(), verifyMutants(), watermillMutants(), hintMutants(), frameworkMutants(),
		unseenMutants(), promiseMutants(), ownMutants(), laterMutants(), toldMutants(),
	} {
		all = append(all, group...)
	}
	return all
}
