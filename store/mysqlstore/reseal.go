package mysqlstore

import (
	"context"

	"github.com/semel-go/semel"
)

// Reseal implements [semel.Resealer]. It is one statement, which delivers the verdict
// too. A response that does not fit into the server's max_allowed_packet is
// [semel.ErrTooLarge].
func (s *Store) Reseal(ctx context.Context, holder semel.Holder, header, body []byte) error {
	return s.step(ctx, "reseal", func(ctx context.Context, q querier) error { return s.reseal(ctx, q, holder, header, body) })
}

func (s *Store) reseal(ctx context.Context, q querier, holder semel.Holder, header, body []byte) error {
	sealed := semel.Response{Header: header, Body: body}
	if err := s.fits(sealed); err != nil {
		return err
	}
	slot := holder.Key.Slot()
	res, err := q.ExecContext(ctx, s.sql.reseal, nonEmpty(header), nonEmpty(body), slot[:], holder.Token[:])
	if err != nil {
		return s.tooLarge(ctx, sealed, err)
	}
	// Rows that changed tell nothing: the same response again changes none.
	fence, err := res.LastInsertId()
	return lostUnless(fence > 0, err)
}
