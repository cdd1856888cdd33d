package proof

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkTime bounds the check of one key's history. One that takes longer is
// counted as undecided.
const checkTime = 10 * time.Second

// maxDrawn is after how many illegal histories a check ends.
const maxDrawn = 3

// Verdict is what checking a run found.
type Verdict struct {
	Histories, Undecided int
	// Illegal counts the histories that no correct store can have. The check ends
	// after a few.
	Illegal int
	// Drawn names files that show some of them; open them in a browser.
	Drawn []string
	Took  time.Duration
}

// String is one line for the log.
func (v Verdict) String() string {
	return fmt.Sprintf("%d histories checked in %v, %d undecided, %d illegal",
		v.Histories, v.Took.Round(time.Millisecond), v.Undecided, v.Illegal)
}

// Check decides of each key's history whether a correct slot can have it, until
// a few are illegal. Those are drawn into dir, named after name; without a dir
// they are not. The history must have ended.
func (r *Run) Check(dir, name string) (Verdict, error) {
	parts, err := r.History.parts()
	if err != nil {
		return Verdict{}, err
	}
	begun := time.Now()
	v := Verdict{Histories: len(parts)}
	for i, result := range checkAll(parts) {
		switch result {
		case porcupine.Ok:
		case porcupine.Unknown:
			v.Undecided++
		case porcupine.CheckResult(""):
			v.Histories--
		case porcupine.Illegal:
			v.Illegal++
			if dir != "" {
				file := filepath.Join(dir, fmt.Sprintf("%s-%d.html", name, i))
				v.Drawn = append(v.Drawn, file)
				err = errors.Join(err, draw(file, parts[i]))
			}
		}
	}
	v.Took = time.Since(begun)
	return v, err
}

// checkAll checks two histories at a time. What it did not come to has no result.
func checkAll(parts [][]porcupine.Operation) []porcupine.CheckResult {
	results := make([]porcupine.CheckResult, len(parts))
	var next, illegal atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(parts)); i = next.Add(1) - 1 {
				if illegal.Load() >= maxDrawn {
					return
				}
				results[i] = porcupine.CheckOperationsTimeout(modelOf(parts[i]), parts[i], checkTime)
				if results[i] == porcupine.Illegal {
					illegal.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return results
}

// draw writes the picture of an illegal history: how far it can be ordered.
func draw(file string, history []porcupine.Operation) error {
	model := modelOf(history)
	_, info := porcupine.CheckOperationsVerbose(model, history, checkTime)
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(porcupine.Visualize(model, info, f), f.Close())
}
