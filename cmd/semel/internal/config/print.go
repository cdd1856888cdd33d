package config

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Printed is one setting as it holds now, for people and for programs.
type Printed struct {
	Name string `json:"name"`
	// Values are as they were written, without passwords.
	Values []string `json:"values"`
	// Source is where they were written.
	Source string `json:"source"`
}

// PrintedRoute is a route as the file has it.
type PrintedRoute struct {
	Source   string    `json:"source"`
	Settings []Printed `json:"settings"`
}

// Print returns every setting that has a value, in the order of the help, and the routes.
func (c Config) Print() (settings []Printed, routes []PrintedRoute) {
	for _, s := range Settings() {
		if texts := c.texts[s.Name]; len(texts) > 0 {
			settings = append(settings, Printed{s.Name, maskAll(s, texts), c.origin[s.Name].String()})
		}
	}
	for _, r := range c.Routes {
		p := PrintedRoute{Source: r.source.String()}
		for _, v := range r.raw.values {
			s, _ := find(v.name)
			source := Source{kind: fromFile, name: r.source.name, line: v.line}
			p.Settings = append(p.Settings, Printed{v.name, maskAll(s, v.texts), source.String()})
		}
		routes = append(routes, p)
	}
	return settings, routes
}

// YAML is Print as a file that Load reads, but for what is masked, with the sources as
// comments.
func (c Config) YAML() ([]byte, error) {
	settings, routes := c.Print()
	root := &yaml.Node{Kind: yaml.MappingNode}
	addAll(root, settings)
	if len(routes) > 0 {
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, r := range routes {
			one := &yaml.Node{Kind: yaml.MappingNode}
			addAll(one, r.Settings)
			list.Content = append(list.Content, one)
		}
		root.Content = append(root.Content, text("routes"), list)
	}
	return yaml.Marshal(root)
}

func addAll(to *yaml.Node, settings []Printed) {
	for _, p := range settings {
		value := text(p.Values[0])
		s, _ := find(p.Name)
		if s.List {
			value = &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
			for _, v := range p.Values {
				value.Content = append(value.Content, text(v))
			}
		}
		value.LineComment = p.Source
		to.Content = append(to.Content, text(p.Name), value)
	}
}

func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

const masked = "xxxxx"

// maskAll returns the values of a setting without what only the process may know.
func maskAll(s Setting, texts []string) []string {
	var all []string
	for _, t := range texts {
		switch {
		case strings.Contains(t, "://"):
			all = append(all, maskURL(t))
		case s.List && !s.Whole:
			for part := range strings.SplitSeq(t, ",") {
				all = append(all, strings.TrimSpace(part))
			}
		default:
			all = append(all, t)
		}
	}
	if !s.List && len(all) > 1 { // a flag that was repeated: the last counts
		return all[len(all)-1:]
	}
	return all
}

// secretWords are in the names of parameters whose values only the process may know, or
// which lead to a secret.
var secretWords = []string{"listen_url", "pass", "pwd", "secret", "token", "key", "auth", "sig", "cred", "jwt"}

// maskURL hides a password, a user who is a token, and parameters that are called like
// a secret.
func maskURL(s string) string {
	scheme, _, _ := strings.Cut(s, "://")
	u, err := url.Parse(strings.ReplaceAll(s, keyPlaceholder, placeholderWord))
	if err != nil {
		return scheme + "://" + masked
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), masked)
	} else if u.User != nil && (u.Scheme == "nats" || u.Scheme == "tls") { // NATS takes it for a token
		u.User = url.User(masked)
	}
	query := strings.Split(u.RawQuery, "&")
	for i, pair := range query {
		name, value, has := strings.Cut(pair, "=")
		if has && value != placeholderWord && isSecret(name) {
			query[i] = name + "=" + masked
		}
	}
	u.RawQuery = strings.Join(query, "&")
	return strings.ReplaceAll(u.String(), placeholderWord, keyPlaceholder)
}

// placeholderWord stands for the placeholder where a URL cannot have its braces.
const placeholderWord = "semel-key-placeholder"

// isSecret reports whether a parameter is called like a secret. One that cannot be read
// is taken for one.
func isSecret(param string) bool {
	name, err := url.QueryUnescape(param)
	name = strings.ToLower(name)
	return err != nil || slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
}

// Fixed are the settings that a running proxy cannot change.
func Fixed() []string {
	return []string{
		"listen", "admin", "store", "migrate", "lease", "margin", "sweep", "read_timeout", "secret_file", "hash_keys", "log_format",
		"max_waiters", "max_waiters_per_key", "wait_hints",
		"console", "console_tokens", "console_name", "console_user_header", "console_user_from", "console_writers",
		"console_host", "console_origin",
		"otlp_endpoint", "otlp_steps",
	}
}

// identifying are the settings that say which request a record is of.
func identifying() []string {
	return []string{"scope", "key_header", "key_query", "key_member", "shadow"}
}

// Reidentifies returns the names of the settings, and of the routes, under which next
// may find the records of c no more, or those of another request. A route that comes or
// goes counts where any route differs in this: its requests were of another one.
func (c Config) Reidentifies(next Config) []string {
	names := c.Differs(next, identifying())
	before, after := c.identities(), next.identities()
	all := maps.Clone(before)
	maps.Copy(all, after)
	differ := slices.ContainsFunc(slices.Collect(maps.Values(all)), func(said string) bool { return said != "" })
	for _, pattern := range slices.Sorted(maps.Keys(all)) {
		was, had := before[pattern]
		is, has := after[pattern]
		if was != is || had != has && differ {
			names = append(names, "match "+pattern)
		}
	}
	return names
}

// identities returns what the routes say about the identity of requests, by pattern.
func (c Config) identities() map[string]string {
	all := make(map[string]string)
	for _, r := range c.Routes {
		var said []string
		for _, v := range r.raw.values {
			if v.name == "bypass" || slices.Contains(identifying(), v.name) {
				said = append(said, v.name+"="+strings.Join(v.texts, ","))
			}
		}
		if own := r.presetHeaders(); own != nil && !slices.EqualFunc(own, c.KeyHeaders, strings.EqualFold) {
			said = append(said, "key_header="+strings.Join(own, ","))
		}
		slices.Sort(said)
		all[r.Pattern] = strings.Join(said, "\n")
	}
	return all
}

// Differs returns the names of those that are not the same in two configurations.
func (c Config) Differs(other Config, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.Equal(c.texts[name], other.texts[name])
	})
}
