package redisstore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/internal/servertest"
	"github.com/semel-go/semel/store/redisstore"
	"github.com/semel-go/semel/store/storetest"
)

// The promises of every store.
func TestConformance(t *testing.T) {
	t.Parallel()
	server := servertest.Redis(t)
	storetest.Suite{Expires: true, Open: func(t *testing.T) semel.Store {
		t.Helper()
		return open(t, server.DSN(), redisstore.Config{})
	}}.Run(t)
}

// A prefix with every byte that SCAN's MATCH gives a meaning to costs none.
func TestConformancePrefix(t *testing.T) {
	t.Parallel()
	server := servertest.Redis(t)
	storetest.Suite{Expires: true, Open: func(t *testing.T) semel.Store {
		t.Helper()
		return open(t, server.DSN(), redisstore.Config{Prefix: `[a-z]*?\^` + "\x00\xff" + servertest.Name(t)})
	}}.Run(t)
}

// A cluster keeps all of them.
func TestConformanceCluster(t *testing.T) {
	t.Parallel()
	url := clusterURL(servertest.NewRedisCluster(t, 3))
	storetest.Suite{Expires: true, Open: func(t *testing.T) semel.Store {
		t.Helper()
		return open(t, url, redisstore.Config{})
	}}.Run(t)
}

// TLS changes nothing; without it nobody gets through.
func TestTLS(t *testing.T) {
	t.Parallel()
	addr := tlsProxy(t, servertest.Redis(t).Addr())
	s := open(t, "rediss://"+addr+"?skip_verify=true", redisstore.Config{})
	r := ask("a")
	grant(t, s, r)
	must(t, "complete", s.Complete(t.Context(), completion(r)))
	replay(t, s, r)
	untrusted := open(t, "rediss://"+addr, redisstore.Config{})
	if _, err := untrusted.Reserve(t.Context(), ask("b")); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got error %v, want a certificate that is not trusted", err)
	}
}

// tlsProxy ends TLS in front of a server.
func tlsProxy(t *testing.T, target string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, "key", err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, "certificate", err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}},
	})
	must(t, "listen", err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	return l.Addr().String()
}

func clusterURL(nodes []*servertest.Server) string {
	hosts := make([]string, len(nodes))
	for i, n := range nodes {
		hosts[i] = n.Addr()
	}
	return "redis+cluster://" + strings.Join(hosts, ",")
}
