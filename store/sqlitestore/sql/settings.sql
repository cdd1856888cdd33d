-- To which file a connection leads, and how it writes there.
SELECT (SELECT file FROM pragma_database_list WHERE name = 'main'),
       (SELECT synchronous FROM pragma_synchronous),
       (SELECT timeout FROM pragma_busy_timeout)
