package semelwatermill

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"
)

// ErrNoScope: the message does not say whose key it is. It is refused.
var ErrNoScope = errors.New("semelwatermill: the message has no scope")

// ErrNoKey: the message has no key. It is refused: nothing runs unguarded.
var ErrNoKey = errors.New("semelwatermill: the message has no key")

// ScopeFunc says which consumer a key belongs to, as 1 to semel.MaxScopeLen bytes. Two
// handlers that get one message and have one scope are one: the second replays what the first
// has produced, and never runs. An error refuses the message. It must be safe for
// concurrent use.
//
// The scopes that this package makes begin with a letter for their kind, so that two kinds
// never meet in one slot.
type ScopeFunc func(msg *message.Message) (string, error)

// ByHandler takes the name of the router's handler, which Watermill wants to be the only one
// of its name in a router. A handler that gets another name forgets its keys. Where
// several programs share a store take [ByGroup].
func ByHandler() ScopeFunc {
	return func(msg *message.Message) (string, error) {
		name, err := handlerName(msg)
		return "n:" + name, err
	}
}

// ByGroup takes the group and the name of the router's handler. The group is what names the
// program to the broker: its consumer group, its queue.
func ByGroup(group string) ScopeFunc {
	prefix := "g:" + strconv.Itoa(len(group)) + ":" + group + ":"
	return func(msg *message.Message) (string, error) {
		name, err := handlerName(msg)
		return prefix + name, err
	}
}

func handlerName(msg *message.Message) (string, error) {
	name := message.HandlerNameFromCtx(msg.Context())
	if name == "" {
		return "", fmt.Errorf("%w: its context names no handler of a router", ErrNoScope)
	}
	return name, nil
}

// KeyFunc says what a message is known by, as 1 to semel.MaxKeyLen bytes. An error refuses the
// message. It must be safe for concurrent use.
type KeyFunc func(msg *message.Message) (string, error)

// KeyFromUUID takes the UUID of the message, which its publisher made. Every delivery of the message has
// it; a second publish of the same thing is another message and runs. It is as good as
// the subscriber: one that makes up a UUID when it finds none makes up another at each
// delivery, and guards nothing.
func KeyFromUUID() KeyFunc {
	return func(msg *message.Message) (string, error) {
		if msg.UUID == "" {
			return "", fmt.Errorf("%w: its UUID is empty", ErrNoKey)
		}
		return msg.UUID, nil
	}
}

// KeyFromMetadata takes a metadata field, such as an order number: it says what is to happen once,
// however often that is published. Names count byte for byte.
func KeyFromMetadata(name string) KeyFunc {
	return func(msg *message.Message) (string, error) {
		id := msg.Metadata.Get(name)
		if id == "" {
			return "", fmt.Errorf("%w: its metadata %q is empty", ErrNoKey, name)
		}
		return id, nil
	}
}
