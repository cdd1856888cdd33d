// Package mysqlstore keeps records in MySQL or MariaDB.
package mysqlstore
