// Package redisstore keeps records in Redis or Valkey.
package redisstore
