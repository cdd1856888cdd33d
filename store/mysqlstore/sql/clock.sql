-- The server's clock, from which ages count.
SELECT {now}
