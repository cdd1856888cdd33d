package natsstore

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// address is what a URL of [Open] says.
type address struct {
	scheme string
	user   *url.Userinfo
	hosts  []string
	stream string
	params url.Values
}

// parseAddress takes a URL apart. net/url does not know lists of hosts. No
// error repeats a part that may be a password.
func parseAddress(text string) (*address, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || scheme != "nats" && scheme != "tls" {
		return nil, errors.New(`natsstore: the address must begin with "nats://" or "tls://"`)
	}
	a := &address{scheme: scheme}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 && strings.Contains(path+query, "@") { // what follows may be half a password
		return nil, errors.New("natsstore: the address has a / or ? before its @: in a password they are %2F and %3F")
	}
	if at >= 0 {
		if err := a.setUser(authority[:at]); err != nil {
			return nil, err
		}
	}
	if err := a.setHosts(authority[at+1:]); err != nil {
		return nil, err
	}
	stream, err := url.PathUnescape(path)
	if err != nil {
		return nil, errors.New("natsstore: the name of the stream in the address is not escaped properly")
	}
	a.stream = stream
	if a.params, err = url.ParseQuery(query); err != nil {
		return nil, errors.New("natsstore: the parameters of the address are not escaped properly")
	}
	return a, a.checkParams()
}

func (a *address) setUser(text string) error {
	if strings.Contains(text, "@") {
		return errors.New("natsstore: the address has more than one @: user and password stand once, before all hosts, and an @ in them is %40")
	}
	name, password, both := strings.Cut(text, ":")
	name, err := url.PathUnescape(name)
	if err == nil {
		password, err = url.PathUnescape(password)
	}
	if err != nil {
		return errors.New("natsstore: user or password in the address are not escaped properly")
	}
	a.user = url.User(name)
	if both {
		a.user = url.UserPassword(name, password)
	}
	return nil
}

func (a *address) setHosts(list string) error {
	for host := range strings.SplitSeq(list, ",") {
		if host == "" {
			return errors.New("natsstore: the address lacks a host")
		}
		if strings.LastIndexByte(host, ':') <= strings.LastIndexByte(host, ']') { // no port
			host += ":4222"
		}
		name, port, err := net.SplitHostPort(host)
		if err != nil {
			return errors.New("natsstore: a host of the address is not HOST or HOST:PORT")
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || name == "" || strings.ContainsAny(name, " /\\@%[]") {
			return errors.New("natsstore: a host of the address is not HOST or HOST:PORT")
		}
		a.hosts = append(a.hosts, net.JoinHostPort(name, port))
	}
	return nil
}

// checkParams refuses what Open would not look at.
func (a *address) checkParams() error {
	for name, values := range a.params {
		if len(values) != 1 {
			return fmt.Errorf("natsstore: the parameter %q is there %d times", name, len(values))
		}
		var err error
		switch name {
		case "replicas", "max_bytes":
			_, err = strconv.ParseUint(values[0], 10, 62)
		case "sync_always":
			_, err = strconv.ParseBool(values[0])
		case "subject", "creds", "ca", "cert", "key":
			if values[0] == "" {
				err = errors.New("it is empty")
			}
		default:
			return fmt.Errorf("natsstore: the address has an unknown parameter %q", name)
		}
		if err != nil {
			return fmt.Errorf("natsstore: the parameter %q has no proper value", name)
		}
	}
	if a.params.Has("cert") != a.params.Has("key") {
		return errors.New("natsstore: the parameters cert and key need one another")
	}
	return nil
}

// config adds what the address says to what cfg leaves open.
func (a *address) config(cfg Config) Config {
	if cfg.Stream == "" {
		cfg.Stream = a.stream
	}
	if cfg.Subject == "" {
		cfg.Subject = a.params.Get("subject")
	}
	if cfg.Replicas == 0 {
		cfg.Replicas, _ = strconv.Atoi(a.params.Get("replicas"))
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes, _ = strconv.ParseInt(a.params.Get("max_bytes"), 10, 64)
	}
	if always, err := strconv.ParseBool(a.params.Get("sync_always")); err == nil && always {
		cfg.SyncAlways = true
	}
	return cfg
}

// servers is the list in the form of nats.Connect, without the user: errors of
// the client may repeat it.
func (a *address) servers() string {
	urls := make([]string, len(a.hosts))
	for i, host := range a.hosts {
		urls[i] = a.scheme + "://" + host
	}
	return strings.Join(urls, ",")
}

// options are those of the connection that the address tells.
func (a *address) options() []nats.Option {
	var all []nats.Option
	if a.user != nil {
		if password, both := a.user.Password(); both {
			all = append(all, nats.UserInfo(a.user.Username(), password))
		} else {
			all = append(all, nats.Token(a.user.Username()))
		}
	}
	for name, option := range map[string]func(file string) nats.Option{
		"creds": func(file string) nats.Option { return nats.UserCredentials(file) },
		"ca":    func(file string) nats.Option { return nats.RootCAs(file) },
		"cert":  func(file string) nats.Option { return nats.ClientCert(file, a.params.Get("key")) },
	} {
		if file := a.params.Get(name); file != "" {
			all = append(all, option(file))
		}
	}
	return all
}
