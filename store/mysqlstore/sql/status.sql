SHOW GLOBAL STATUS WHERE Variable_name IN (
    'Rpl_semi_sync_master_clients', 'Rpl_semi_sync_master_status',
    'Rpl_semi_sync_source_clients', 'Rpl_semi_sync_source_status', 'wsrep_cluster_size')
