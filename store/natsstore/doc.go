// Package natsstore keeps records in NATS JetStream.
package natsstore
