SELECT (SELECT min(id) FROM {slots}), (SELECT max(id) FROM {slots})
