package proof

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

//go:embed spin/*.pml
var spinModel embed.FS

// variant is one search through the model.
type variant struct {
	name string
	// settings are NAME=VALUE, see spin/settings.pml.
	settings string
	// violates is the promise that must break; empty when all must hold.
	violates string
}

// TestSpin searches each variant of the model: I1 to I9, I14 and L1 hold where
// they are promised, and break where they are not and where a mistake is made.
func TestSpin(t *testing.T) {
	tools := spinTools(t)
	for _, v := range variants {
		name := v.name
		if v.violates != "" {
			name += ", " + v.violates
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkSettings(t, v.settings)
			if err := tools.check(t, v); err != nil {
				t.Error(err)
			}
		})
	}
}

// What the table says must be able to be wrong.
func TestSpinFindsWrongRows(t *testing.T) {
	tools := spinTools(t)
	for _, v := range []struct {
		variant
		says string
	}{
		{variant{"a mistake that is said to hold", "MUTANT=OWN_AFTER_LOST POLICY=RERUN ATTEMPTS=2", ""}, "violated: assertion"},
		{variant{"another promise than the one that breaks", "MUTANT=RELEASE_DELETES ATTEMPTS=2", "I5"}, "I5 holds"},
		{variant{"progress that is said to hold", "MUTANT=LEASE_WITHOUT_TOKEN LIVE=1 POLICY=RERUN ATTEMPTS=2", ""}, "violated: acceptance cycle"},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			if err := tools.check(t, v.variant); err == nil {
				t.Error("the row passes")
			} else if !strings.Contains(err.Error(), v.says) {
				t.Errorf("%.200s, want it to say %q", err, v.says)
			}
		})
	}
}

// checkSettings finds misspellings, which the preprocessor takes for 0.
func checkSettings(t *testing.T, settings string) {
	t.Helper()
	known, err := spinModel.ReadFile("spin/settings.pml")
	if err != nil {
		t.Fatal(err)
	}
	for s := range strings.FieldsSeq(settings) {
		name, value, _ := strings.Cut(s, "=")
		number := regexp.MustCompile(`^\d$`).MatchString(value)
		if !bytes.Contains(known, []byte("#ifndef "+name+"\n")) ||
			!number && !regexp.MustCompile(`(?m)^#define `+value+` +\d`).Match(known) {
			t.Errorf("%s is no setting of the model", s)
		}
	}
}

// spinPrograms are the paths of SPIN and of a C compiler.
type spinPrograms struct{ spin, cc string }

// spinTools finds them. Without them the test is skipped, as tests without a
// server are.
func spinTools(t *testing.T) spinPrograms {
	t.Helper()
	find := func(programs ...string) string {
		for _, name := range programs {
			if path, err := exec.LookPath(name); err == nil {
				return path
			}
		}
		if os.Getenv("SEMEL_TEST_REQUIRE") == "all" {
			t.Fatalf("%s is not installed", programs[0])
		}
		t.Skipf("the state machine is NOT CHECKED: %s is not installed: make servers", programs[0])
		return ""
	}
	return spinPrograms{find("spin"), find("cc", "gcc", "clang")}
}

// The bounds of one search. The largest that must come to its end needs a tenth.
const (
	spinPatience = 3 * time.Minute
	spinMemory   = "-DMEMLIM=1024" // MiB
	spinDepth    = "-m20000"
)

// check searches v and says what is not as the row says.
func (p spinPrograms) check(t *testing.T, v variant) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), spinPatience)
	defer cancel()
	s := spinSearch{programs: p, variant: v, dir: filepath.Join(t.TempDir(), "spin")}
	if err := os.CopyFS(filepath.Dir(s.dir), spinModel); err != nil {
		return err
	}
	out, err := s.run(ctx)
	if err != nil {
		return err
	}
	found := regexp.MustCompile(`(?m)^pan:1: (.*?) \(at depth`).FindStringSubmatch(out)
	switch {
	case found != nil && v.violates == "":
		return fmt.Errorf("violated: %s\n%s", found[1], s.trail(ctx))
	case found != nil:
		return s.breaks(ctx, found[1])
	case !strings.Contains(out, "errors: 0\n") || regexp.MustCompile(`(?i)not completed|too small|out of memory`).MatchString(out):
		return fmt.Errorf("the search did not come to its end:\n%s", out)
	case v.violates != "":
		return fmt.Errorf("%s holds, want it violated", v.violates)
	}
	return nil
}

// spinSearch is one variant in a folder of its own.
type spinSearch struct {
	programs spinPrograms
	variant  variant
	dir      string
}

// breaks says whether what was found is what the row says. ONLY leaves no other
// assertion than that.
func (s spinSearch) breaks(ctx context.Context, found string) error {
	want := "assertion violated ("
	if s.variant.violates == "L1" {
		want = "acceptance cycle"
	}
	if !strings.HasPrefix(found, want) {
		return fmt.Errorf("found %q, want %s violated\n%s", found, s.variant.violates, s.trail(ctx))
	}
	return nil
}

// live reports whether the search is for L1, which is a claim about cycles.
func (s spinSearch) live() bool { return strings.Contains(s.variant.settings, "LIVE=1") }

// defines are the settings as arguments of SPIN.
func (s spinSearch) defines() []string {
	args := []string{"-P" + s.programs.cc + " -E -x c"}
	for set := range strings.FieldsSeq(s.variant.settings) {
		args = append(args, "-D"+set)
	}
	if v := s.variant.violates; v != "" && v != "L1" {
		args = append(args, "-DONLY="+v)
	}
	return args
}

// run makes a verifier, compiles it and runs it, and returns what it says.
func (s spinSearch) run(ctx context.Context) (string, error) {
	// Optimizing takes longer than it gains.
	compile := []string{"-O0", "-w", spinMemory, "-o", "pan", "pan.c"}
	search := []string{spinDepth}
	if s.live() {
		compile = append(compile, "-DNFAIR=3")
		search = append(search, "-a", "-f")
	} else {
		compile = append(compile, "-DSAFETY")
	}
	if s.variant.violates == "" {
		search = append(search, "-w20")
	} else {
		search = append(search, "-w16", "-E") // short; and nobody minds who waits for ever after a mistake
	}
	if out, err := s.exec(ctx, s.programs.spin, append(s.defines(), "-a", "semel.pml")...); err != nil {
		return "", fmt.Errorf("spin: %w\n%s", err, out)
	}
	if out, err := s.exec(ctx, s.programs.cc, compile...); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", s.programs.cc, err, out)
	}
	out, err := s.exec(ctx, filepath.Join(s.dir, "pan"), search...)
	if err != nil {
		return "", fmt.Errorf("pan: %w\n%s", err, out)
	}
	return out, nil
}

// trail is the end of the way to what was found.
func (s spinSearch) trail(ctx context.Context) string {
	out, err := s.exec(ctx, s.programs.spin, append(s.defines(), "-t", "-p", "semel.pml")...)
	if err != nil {
		return fmt.Sprintf("no trail: %v\n%s", err, out)
	}
	lines := strings.Split(out, "\n")
	return strings.Join(lines[max(0, len(lines)-150):], "\n")
}

func (s spinSearch) exec(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}
