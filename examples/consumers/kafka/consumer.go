// Package kafka charges orders from a Kafka topic, each once.
//
// The key is the record's key, which the producer sets to the order's number: it says what is to happen
// once, however often that was produced. Topic, partition and offset would name the record
// instead. They do when a record is read again, after a rebalance or a crash; but a producer that
// is not idempotent, or an application that sends again, makes another record, and a topic that is made
// anew, or mirrored, gives known offsets to other records.
package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/semel-go/semel"
	"github.com/semel-go/semel/examples/consumers"
)

// Worker charges what a client reads.
type Worker struct {
	// Client needs [kgo.DisableAutoCommit] and [kgo.BlockRebalanceOnPoll].
	Client *kgo.Client
	Engine *semel.Engine
	Charge consumers.Handler
	// Dead and Parked are topics.
	Dead, Parked string
}

// Consume handles what the client reads until ctx ends or something fails. Who reads next begins behind
// the last commit. The partitions may go to another member after each record, and after each try of one that has
// to wait; one try has to end within the client's [kgo.RebalanceTimeout].
func (w Worker) Consume(ctx context.Context) error {
	for {
		fetches := w.Client.PollRecords(ctx, 1)
		if err := fetches.Err(); err != nil {
			return err
		}
		again := false
		for record := range fetches.RecordsAll() {
			verdict, err := w.consume(ctx, record)
			if err != nil {
				return err
			}
			if again = verdict == consumers.Again; again {
				w.rewind(record)
			}
		}
		w.Client.AllowRebalance()
		if again {
			if err := consumers.Pause(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
}

// rewind lets record be the next of its partition, for whoever has that then. It cannot be skipped: a commit counts
// for all records before it.
func (w Worker) rewind(record *kgo.Record) {
	w.Client.SetOffsets(map[string]map[int32]kgo.EpochOffset{
		record.Topic: {record.Partition: {Epoch: record.LeaderEpoch, Offset: record.Offset}},
	})
}

// consume is one try. Unless its verdict is Again the record is committed.
func (w Worker) consume(ctx context.Context, record *kgo.Record) (consumers.Verdict, error) {
	order := string(record.Key)
	verdict, err := consumers.Judge(semel.Do(ctx, w.Engine, consumers.Call("kafka/charge", order, record.Value),
		func(ctx context.Context) (string, error) { return w.Charge(ctx, order, record.Value) }))
	switch verdict {
	case consumers.Again:
		return verdict, nil
	case consumers.Dead:
		err = w.forward(ctx, record, w.Dead, err)
	case consumers.Parked:
		err = w.forward(ctx, record, w.Parked, err)
	case consumers.Done:
	}
	if err != nil {
		return verdict, err
	}
	return verdict, w.Client.CommitRecords(ctx, record) // after the outcome is stored, or is somebody's
}

// forward returns when the brokers have the copy.
func (w Worker) forward(ctx context.Context, record *kgo.Record, topic string, reason error) error {
	err := w.Client.ProduceSync(ctx, &kgo.Record{
		Topic: topic, Key: record.Key, Value: record.Value,
		Headers: append(record.Headers, kgo.RecordHeader{Key: "reason", Value: []byte(reason.Error())}),
	}).FirstErr()
	if err != nil {
		return fmt.Errorf("forward to %s: %w", topic, err)
	}
	return nil
}
