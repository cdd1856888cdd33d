-- One row that says which schema the tables have.
CREATE TABLE IF NOT EXISTS {versions} (
    id      TINYINT NOT NULL PRIMARY KEY,
    version INT     NOT NULL
) ENGINE = InnoDB;
