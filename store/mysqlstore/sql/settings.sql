SHOW VARIABLES WHERE Variable_name IN (
    'autocommit', 'binlog_format', 'group_replication_consistency', 'group_replication_group_name',
    'group_replication_single_primary_mode', 'innodb_doublewrite', 'innodb_flush_log_at_trx_commit',
    'innodb_flush_method', 'innodb_lock_wait_timeout', 'innodb_read_only', 'log_bin', 'max_allowed_packet',
    'read_only', 'rpl_semi_sync_master_enabled', 'rpl_semi_sync_master_timeout',
    'rpl_semi_sync_master_wait_no_slave', 'rpl_semi_sync_master_wait_point',
    'rpl_semi_sync_source_enabled', 'rpl_semi_sync_source_timeout',
    'rpl_semi_sync_source_wait_no_replica', 'rpl_semi_sync_source_wait_point', 'sql_mode', 'super_read_only',
    'sync_binlog', 'transaction_isolation', 'transaction_read_only', 'tx_isolation', 'tx_read_only',
    'wait_timeout', 'wsrep_on')
