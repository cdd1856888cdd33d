-- The last column tells whether bytes arrive as they were sent.
SELECT VERSION(), @@version_comment, COALESCE(DATABASE(), ''), {now}, HEX(?)
