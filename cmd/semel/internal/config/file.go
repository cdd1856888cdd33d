package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile is the largest configuration file in bytes.
const maxFile = 1 << 20

// SyntaxError is a file that is not what the command reads.
type SyntaxError struct {
	File string
	Line int // 0 when there is none to name
	Msg  string
}

// Error returns "file:line: message".
func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return e.File + ":" + strconv.Itoa(e.Line) + ": " + e.Msg
}

// rawFile is a file whose form is right: names and texts with their lines.
type rawFile struct {
	values []rawValue
	routes []rawRoute
}

type rawValue struct {
	name  string
	texts []string
	list  bool // written as a list
	line  int
}

type rawRoute struct {
	line   int
	values []rawValue
}

var errOneValue = errors.New("want one value, not a list")

func readFile(path string) (rawFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return rawFile{}, err
	}
	defer func() { _ = f.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return rawFile{}, err
	}
	if len(text) > maxFile {
		return rawFile{}, &SyntaxError{path, 0, fmt.Sprintf("more than %d bytes", maxFile)}
	}
	return parseFile(path, text)
}

// parseFile reads one YAML document: a mapping of names to scalars or lists of
// scalars, and "routes", a list of such mappings. Anchors, aliases and tags are
// refused, as are names that come twice.
func parseFile(path string, text []byte) (rawFile, error) {
	p := parser{path}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return rawFile{}, nil // nothing but comments
	case err != nil:
		return rawFile{}, p.fromYAML(err)
	}
	switch err := dec.Decode(&more); {
	case err == nil:
		return rawFile{}, p.at(&more, "a second document begins")
	case !errors.Is(err, io.EOF):
		return rawFile{}, p.fromYAML(err)
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return rawFile{}, nil
	}
	var file rawFile
	err := p.mapping(root, func(name string, key, node *yaml.Node) error {
		if name == "routes" {
			var err error
			file.routes, err = p.routes(node)
			return err
		}
		v, err := p.value(name, key, node)
		file.values = append(file.values, v)
		return err
	})
	return file, err
}

// parser turns YAML nodes into texts; it carries the file's name for errors.
type parser struct{ path string }

func (p parser) at(n *yaml.Node, format string, args ...any) error {
	return &SyntaxError{p.path, n.Line, fmt.Sprintf(format, args...)}
}

// fromYAML moves the line that package yaml writes into its message.
func (p parser) fromYAML(err error) error {
	parts := regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`).FindStringSubmatch(err.Error())
	if parts == nil {
		return &SyntaxError{p.path, 0, err.Error()}
	}
	line, _ := strconv.Atoi(parts[1]) // none is 0
	msg := parts[2]
	if strings.HasPrefix(msg, "mapping values are not allowed") {
		msg += `: put a value with a colon at its end into quotes, as in name: "value:"`
	}
	return &SyntaxError{p.path, line, msg}
}

func (p parser) mapping(n *yaml.Node, visit func(name string, key, value *yaml.Node) error) error {
	if err := p.plain(n); err != nil {
		return err
	}
	if n.Kind != yaml.MappingNode {
		return p.at(n, "want a mapping, as in listen: 127.0.0.1:8080")
	}
	seen := make(map[string]int)
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if err := p.plain(key); err != nil {
			return err
		}
		if key.Kind != yaml.ScalarNode {
			return p.at(key, "a name must be one word")
		}
		if line := seen[key.Value]; line != 0 {
			return p.at(key, "%s is set again, after line %d", key.Value, line)
		}
		seen[key.Value] = key.Line
		if err := visit(key.Value, key, value); err != nil {
			return err
		}
	}
	return nil
}

// plain refuses what makes a reader look elsewhere to know a value.
func (p parser) plain(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.AliasNode:
		return p.at(n, "aliases are not allowed")
	case n.Anchor != "":
		return p.at(n, "anchors are not allowed")
	case n.Style&yaml.TaggedStyle != 0:
		return p.at(n, "tags are not allowed")
	}
	return nil
}

func (p parser) value(name string, key, n *yaml.Node) (rawValue, error) {
	v := rawValue{name: name, line: key.Line}
	if err := p.plain(n); err != nil {
		return v, err
	}
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		v.list, items = true, n.Content
	}
	if len(items) == 0 {
		return v, p.at(key, "%s: the list is empty", name)
	}
	for _, item := range items {
		if err := p.plain(item); err != nil {
			return v, err
		}
		if item.Kind != yaml.ScalarNode {
			return v, p.at(item, "%s: want one value", name)
		}
		if item.Tag == "!!null" {
			return v, p.at(key, "%s has no value", name)
		}
		v.texts = append(v.texts, item.Value)
	}
	return v, nil
}

func (p parser) routes(n *yaml.Node) ([]rawRoute, error) {
	if err := p.plain(n); err != nil {
		return nil, err
	}
	if n.Kind != yaml.SequenceNode {
		return nil, p.at(n, "routes: want a list of mappings, each with match")
	}
	routes := make([]rawRoute, len(n.Content))
	for i, item := range n.Content {
		routes[i].line = item.Line
		err := p.mapping(item, func(name string, key, node *yaml.Node) error {
			v, err := p.value(name, key, node)
			routes[i].values = append(routes[i].values, v)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return routes, nil
}
