-- ARGV: 1 the largest ID that is wanted, 2 how many. Returns entries, the latest
-- first. It is a script because a client may send plain reads to a replica.
return redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', ARGV[2])
