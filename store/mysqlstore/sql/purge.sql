-- Through the primary key only, so that it locks rows in the order in which all
-- other steps lock them, and no gap.
DELETE s FROM {table} AS s FORCE INDEX (PRIMARY)
 WHERE s.slot IN ({ids}) AND s.state <> 1 AND s.expires_at <= {now}
