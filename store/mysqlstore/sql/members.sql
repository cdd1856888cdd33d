SELECT COUNT(*) FROM performance_schema.replication_group_members WHERE member_state = 'ONLINE'
