package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/semel-go/semel/cmd/semel/internal/proxy"
)

// showing settings are about the pages for operators.
func showing() []Setting {
	return []Setting{
		{
			Name: "console", Bool: true, Default: "false",
			Usage: "serve pages for operators at /console/ of admin: whoever reaches it may look, nobody may change anything",
			set:   one(parseBool, func(c *Config) *bool { return &c.Console }),
		},
		{
			Name: "console_tokens", Arg: "PATH", Usage: "serve the pages to those who sign in by this file: a name, read or write, and a token on each line; without console, which lets everybody look",
			set: one(parseText, func(c *Config) *string { return &c.ConsoleTokens }),
		},
		{
			Name: "console_name", Arg: "TEXT", Usage: "what the pages are about, such as \"payments, production\"",
			set: one(parseText, func(c *Config) *string { return &c.ConsoleName }),
		},
		{
			Name: "console_user_header", Arg: "NAME",
			Usage: "serve the pages behind a proxy that signs people in and says in this field who they are; with console_user_from",
			set:   one(ParseToken, func(c *Config) *string { return &c.ConsoleUserHeader }),
		},
		{
			Name: "console_user_from", Arg: "PREFIX", List: true,
			Usage: "the addresses of that proxy, such as 10.0.0.7 or 10.1.0.0/16; nobody else is believed; repeatable",
			set:   many(parsePrefix, func(c *Config) *[]netip.Prefix { return &c.ConsoleUserFrom }),
		},
		{
			Name: "console_writers", Arg: "NAME", List: true, Whole: true,
			Usage: "the users of that proxy who may act; the others may look; repeatable, not split at commas",
			set:   whole(parseText, func(c *Config) *[]string { return &c.ConsoleWriters }),
		},
		{
			Name: "console_host", Arg: "HOST", List: true,
			Usage: "the names by which people reach the pages, without a port; others are refused; repeatable",
			set:   many(parseHostName, func(c *Config) *[]string { return &c.ConsoleHosts }),
		},
		{
			Name: "console_origin", Arg: "ORIGIN", List: true,
			Usage: "accept forms from this origin too, where a proxy in front changes the host: https://ops.example.com; repeatable",
			set:   many(parseOrigin, func(c *Config) *[]string { return &c.ConsoleOrigins }),
		},
	}
}

// HasConsole reports whether the pages for operators are served.
func (c Config) HasConsole() bool {
	return c.Console || c.ConsoleTokens != "" || c.ConsoleUserHeader != ""
}

// checkConsole finds settings of the pages that do not fit together.
func (c Config) checkConsole() []error {
	var errs []error
	bad := func(name, text string) {
		errs = append(errs, &ValueError{Setting: name, Source: c.origin[name], Err: errors.New(text)})
	}
	if c.HasConsole() && c.Admin == "" {
		name := given(c.ConsoleUserHeader, "console_user_header", "console")
		bad(given(c.ConsoleTokens, "console_tokens", name), "the console is served on admin, which is off")
	}
	if (c.ConsoleUserHeader == "") != (len(c.ConsoleUserFrom) == 0) {
		bad(given(c.ConsoleUserHeader, "console_user_header", "console_user_from"), "console_user_header and console_user_from need one another")
	}
	if name := c.ConsoleUserHeader; name != "" && proxy.MadeAnew(name) {
		bad("console_user_header", "the field "+name+" cannot say who signed in: it is of the connection")
	}
	for _, p := range c.ConsoleUserFrom {
		if p.Bits() == 0 {
			bad("console_user_from", "under "+p.String()+" everybody would be believed to be that proxy")
		}
	}
	if len(c.ConsoleWriters) > 0 && c.ConsoleUserHeader == "" {
		bad("console_writers", "it names users of console_user_header, which is not set")
	}
	for _, list := range []struct {
		name string
		has  bool
	}{{"console_host", len(c.ConsoleHosts) > 0}, {"console_origin", len(c.ConsoleOrigins) > 0}} {
		if list.has && !c.HasConsole() {
			bad(list.name, "no console is served: set console, console_tokens or console_user_header")
		}
	}
	return errs
}

// parsePrefix reads an address, or a prefix of addresses.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q is not an address such as 10.0.0.7 or a prefix such as 10.1.0.0/16", s)
	}
	return p, nil
}

// parseHostName reads the name of a host as a browser sends it, without a port.
func parseHostName(s string) (string, error) {
	if _, err := netip.ParseAddr(s); err == nil {
		return s, nil
	}
	if strings.ContainsAny(s, ":/@") {
		return "", fmt.Errorf("%q is not a host without a port", s)
	}
	return parseHost(s)
}

// parseOrigin reads an origin (RFC 6454 section 6.2).
func parseOrigin(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "", notURL(err)
	case u.User != nil:
		return "", errURLUser
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || s != u.Scheme+"://"+u.Host:
		return "", fmt.Errorf("%q is not an origin such as https://ops.example.com", s)
	}
	return s, nil
}
