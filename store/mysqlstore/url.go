package mysqlstore

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The time-outs of the connections that Open makes, where the URL says nothing.
// A server that has stopped must not keep a step for ever.
const (
	dialTimeout = 5 * time.Second
	ioTimeout   = 30 * time.Second
)

// defaultConns bounds the pool that Open makes.
const defaultConns = 32

// target is where and how Open connects.
type target struct {
	driver   *mysql.Config
	maxConns int
}

// parseTarget reads a URL or a DSN of the driver. No error shows what might be
// a password.
func parseTarget(text string, cfg Config) (*target, error) {
	t := &target{maxConns: cfg.MaxConns}
	if t.maxConns == 0 {
		t.maxConns = defaultConns
	}
	var err error
	if isURL(text) {
		err = t.parseURL(text)
	} else if t.driver, err = mysql.ParseDSN(text); err != nil {
		err = errors.New("neither a URL mysql://USER:PASSWORD@HOST:PORT/DATABASE nor a DSN of go-sql-driver")
	}
	if err != nil {
		return nil, err
	}
	if t.driver.DBName == "" {
		return nil, errors.New("the URL names no database")
	}
	d := t.driver
	d.Logger = &mysql.NopLogger{} // what it would say is in the errors
	for _, timeout := range []struct {
		of    *time.Duration
		value time.Duration
	}{{&d.Timeout, dialTimeout}, {&d.ReadTimeout, ioTimeout}, {&d.WriteTimeout, ioTimeout}} {
		if *timeout.of == 0 {
			*timeout.of = timeout.value
		}
	}
	return t, nil
}

func isURL(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	return ok && (scheme == "mysql" || scheme == "mariadb")
}

// parseURL reads mysql://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS. The
// parameters are the driver's, and maxConns and socket.
func (t *target) parseURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("the URL cannot be read: write special characters of the password as %XX")
	}
	params, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("the parameters of the URL cannot be read")
	}
	if u.Fragment != "" {
		return errors.New("the URL has a fragment: write # as %23")
	}
	if strings.Contains(u.EscapedPath(), "@") { // a password that ended early, which errors would show as the database
		return errors.New("the URL has an @ behind its host: write it as %40, and / and ? in a password as %2F and %3F")
	}
	if v := params.Get("maxConns"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return fmt.Errorf("maxConns %q is not a number above 0", v)
		}
		t.maxConns = n
	}
	socket := params.Get("socket")
	params.Del("maxConns")
	params.Del("socket")
	// The driver reads its own parameters; its error shows nothing else.
	if t.driver, err = mysql.ParseDSN("/?" + params.Encode()); err != nil {
		return fmt.Errorf("the parameters of the URL: %w", err)
	}
	d := t.driver
	d.User = u.User.Username()
	d.Passwd, _ = u.User.Password()
	d.DBName = strings.TrimPrefix(u.Path, "/")
	switch {
	case socket != "" && u.Host != "":
		return errors.New("the URL names a host and a socket")
	case socket != "":
		d.Net, d.Addr = "unix", socket
	case u.Host == "":
		return errors.New("the URL names neither a host nor a socket")
	default:
		port := u.Port()
		if port == "" {
			port = "3306"
		}
		d.Net, d.Addr = "tcp", net.JoinHostPort(u.Hostname(), port)
	}
	return nil
}
