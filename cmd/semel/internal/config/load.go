package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/semel-go/semel/semelhttp"
)

// Input is what [Load] gathers from.
type Input struct {
	// Path names the file. Empty: the variable SEMEL_CONFIG does, or there is
	// no file; none is looked for.
	Path string
	// Env has lines such as "SEMEL_LEASE=1m", as [os.Environ] gives them. A
	// variable with an empty value counts as not set.
	Env []string
	// Flags has the texts that flags gave, by the setting's name.
	Flags map[string][]string
}

// Load gathers every setting: flags over environment over file over defaults.
// It returns all that is wrong, joined; an error of the file system wraps
// [fs.PathError]. Warnings are for the operator and stop nothing.
//
// Each value is right by itself; what the proxy needs beyond that is for
// [Config.CheckProxy].
func Load(in Input) (cfg Config, warnings []string, err error) {
	env, warnings := readEnv(in.Env)
	l := loader{cfg: Config{origin: make(map[string]Source), texts: make(map[string][]string)}}
	path := in.Path
	if path == "" {
		path = env[EnvConfig]
	}
	var file rawFile
	if path != "" {
		if file, err = readFile(path); err != nil {
			return cfg, warnings, err
		}
	}
	for _, s := range Settings() {
		if s.Default != "" {
			l.apply(s, Source{}, []string{s.Default})
		}
	}
	l.file(path, file)
	for _, s := range Settings() {
		if text := env[s.Env()]; text != "" {
			l.apply(s, Source{kind: fromEnv, name: s.Env()}, []string{text})
		}
	}
	for _, s := range Settings() {
		if texts := in.Flags[s.Name]; len(texts) > 0 {
			l.apply(s, Source{kind: fromFlag, name: "--" + s.Flag()}, texts)
		}
	}
	l.preset()
	return l.cfg, warnings, errors.Join(l.errs...)
}

type loader struct {
	cfg  Config
	errs []error
}

func (l *loader) apply(s Setting, source Source, texts []string) {
	if err := s.set(&l.cfg, texts); err != nil {
		l.errs = append(l.errs, &ValueError{Setting: s.Name, Source: source, Err: err})
		return
	}
	l.cfg.origin[s.Name], l.cfg.texts[s.Name] = source, texts
}

// preset gives what nobody has set what the preset has, here and for the routes that have
// a preset of their own.
func (l *loader) preset() {
	own := semelhttp.Config{Preset: l.cfg.Preset}.WithPreset()
	for _, s := range Settings() {
		if s.preset == nil || !l.cfg.isLeft(s.Name) {
			continue
		}
		if text := s.preset(own); text != "" && text != s.Default {
			l.apply(s, Source{kind: fromPreset, name: own.Preset.String()}, []string{text})
		}
	}
	for i, r := range l.cfg.Routes {
		l.cfg.Routes[i].Change = r.usePreset(l.cfg)
	}
}

// isLeft reports whether nobody has set a setting.
func (c Config) isLeft(name string) bool {
	kind := c.origin[name].kind
	return kind == fromDefault || kind == fromPreset
}

func (l *loader) file(path string, file rawFile) {
	for _, v := range file.values {
		source := Source{kind: fromFile, name: path, line: v.line}
		s, ok := find(v.name)
		switch {
		case !ok:
			l.errs = append(l.errs, &SyntaxError{path, v.line, unknownName(v.name, fileNames()).Error()})
		case v.list && !s.List:
			l.errs = append(l.errs, &ValueError{Setting: s.Name, Source: source, Err: errOneValue})
		default:
			l.apply(s, source, v.texts)
		}
	}
	for _, raw := range file.routes {
		r, err := newRoute(path, raw)
		if err != nil {
			l.errs = append(l.errs, err)
			continue
		}
		l.cfg.Routes = append(l.cfg.Routes, r)
	}
}

func fileNames() []string {
	names := []string{"routes"}
	for _, s := range Settings() {
		names = append(names, s.Name)
	}
	return names
}

// readEnv picks the variables of the command and warns about those that only
// look like one.
func readEnv(lines []string) (env map[string]string, warnings []string) {
	known := []string{EnvConfig}
	for _, s := range Settings() {
		known = append(known, s.Env())
	}
	env = make(map[string]string)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		env[name] = value
		if err := unknownName(name, known); err != nil {
			warnings = append(warnings, fmt.Sprintf("environment: %v", err))
		}
	}
	return env, warnings
}

// unknownName returns nil if name is among known, or else an error that
// proposes the nearest.
func unknownName(name string, known []string) error {
	if slices.Contains(known, name) {
		return nil
	}
	if near := Nearest(name, known); near != "" {
		return fmt.Errorf("unknown setting %q, did you mean %q?", name, near)
	}
	return fmt.Errorf("unknown setting %q", name)
}

// Nearest returns the name among known that is at most two letters, and at most
// a third of all, from name, or "".
func Nearest(name string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if d := distance(name, k); d < least && 3*d <= max(len(name), len(k)) {
			best, least = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
