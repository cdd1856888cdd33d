package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"

	"github.com/semel-go/semel/cmd/semel/internal/config"
)

// tlsServer reads what clients meet; nil without TLS.
func tlsServer(cfg config.Config) (*tls.Config, error) {
	if cfg.TLSCert == "" {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	cert, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, outside("want a certificate with its chain, and the private key that belongs to it, in PEM",
			"%s: %w", cfg.Where("tls_cert"), err)
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if cfg.TLSClientCA != "" {
		if out.ClientCAs, err = readPool(cfg, "tls_client_ca", cfg.TLSClientCA); err != nil {
			return nil, err
		}
		out.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return out, nil
}

// tlsUpstream reads what an https upstream meets; nil for the system's roots and nothing
// to show.
func tlsUpstream(cfg config.Config) (*tls.Config, error) {
	if cfg.UpstreamCA == "" && cfg.UpstreamCert == "" {
		return nil, nil //nolint:nilnil // the default is no error
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if cfg.UpstreamCA != "" {
		if out.RootCAs, err = readPool(cfg, "upstream_ca", cfg.UpstreamCA); err != nil {
			return nil, err
		}
	}
	if cfg.UpstreamCert != "" {
		cert, err := tls.LoadX509KeyPair(cfg.UpstreamCert, cfg.UpstreamKey)
		if err != nil {
			return nil, outside("want a certificate with its chain, and the private key that belongs to it, in PEM",
				"%s: %w", cfg.Where("upstream_cert"), err)
		}
		out.Certificates = []tls.Certificate{cert}
	}
	return out, nil
}

// readPool reads the certificates of authorities.
func readPool(cfg config.Config, setting, path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, outside("", "%s: %w", cfg.Where(setting), err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, outside("want BEGIN CERTIFICATE blocks", "%s: %w", cfg.Where(setting), errors.New(path+" has no certificate in PEM"))
	}
	return pool, nil
}
