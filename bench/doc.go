// Package bench measures Semel against its peers and the raw limits.
package bench
