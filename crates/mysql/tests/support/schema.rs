//! A schema in which every part of a table's definition occurs that both servers print.

/// For both servers.
const BOTH: &str = r"CREATE DATABASE v CHARACTER SET latin1 COLLATE latin1_general_cs;
USE v;
CREATE TABLE parents (id INT UNSIGNED NOT NULL AUTO_INCREMENT, code CHAR(3) CHARACTER SET ascii NOT NULL, `a``b` VARCHAR(40) NOT NULL DEFAULT 'it''s \\ x' COMMENT 'x, ''y'' )',
 total DECIMAL(10,2) DEFAULT 0.5, many BIGINT DEFAULT -7, made TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), at DATETIME DEFAULT '2024-01-01 00:00:00', bits BIT(3) DEFAULT b'101',
 kind ENUM('a','it''s','b,c','(d)','\\e') NOT NULL DEFAULT 'b,c', many_kinds SET('x','y') CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, y YEAR DEFAULT 2024, f FLOAT(7,3) DEFAULT 1.5, d DOUBLE DEFAULT 1e10,
 PRIMARY KEY (id, code), UNIQUE KEY by_code (code), UNIQUE KEY By_Many (many, total), KEY `a` (`a``b`(5)), FULLTEXT KEY words (`a``b`)) COMMENT 'of ''a'' shop';
CREATE TABLE kids (id BIGINT PRIMARY KEY, parent INT UNSIGNED, code CHAR(3) CHARACTER SET ascii, boss BIGINT, other INT, word VARCHAR(9), CONSTRAINT to_parent FOREIGN KEY (parent, code) REFERENCES parents (id, code) ON DELETE CASCADE ON UPDATE SET NULL,
 CONSTRAINT `to self` FOREIGN KEY (boss) REFERENCES kids (id), CONSTRAINT positive CHECK (id > 0 AND other <> 3), CHECK (word <> 'it''s')) CHARACTER SET utf8mb4;
CREATE TABLE texts_of_all (id INT PRIMARY KEY, a VARCHAR(10), b VARCHAR(10) CHARACTER SET utf8mb3, c TEXT CHARACTER SET sjis, d CHAR(5) COLLATE latin1_bin, e LONGTEXT CHARACTER SET utf16 COLLATE utf16_bin, f VARCHAR(9) CHARACTER SET binary,
 g TINYTEXT, h CHAR(4) CHARACTER SET gbk, i VARCHAR(7) CHARACTER SET utf8mb4, j NCHAR(4)) DEFAULT CHARSET=latin2;
CREATE TABLE computed (id INT PRIMARY KEY, s VARCHAR(20), twice INT AS (id * 2) STORED, named VARCHAR(40) AS (CONCAT(s, 'x\n', 'it''s')) VIRTUAL, place POINT NOT NULL, SPATIAL KEY (place), KEY (twice), CHECK (s <> 'x\\y')) CHARACTER SET utf8mb4;
CREATE TABLE kept_in_memory (id INT, k INT, PRIMARY KEY (id), KEY (k), KEY t USING BTREE (k)) ENGINE=MEMORY;
CREATE TABLE no_key (a INT, b TEXT);
CREATE TABLE parts (id INT NOT NULL, d DATE NOT NULL, PRIMARY KEY (id, d)) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE);
CREATE TABLE `odd name %.` (`select` INT PRIMARY KEY, `é €` INT)";

const MYSQL: &str = r"CREATE TABLE newer (id INT PRIMARY KEY, hidden INT INVISIBLE DEFAULT 9, u CHAR(36) DEFAULT (UUID()), t TEXT DEFAULT (CONCAT('a', 'it''s')), j JSON, s VARCHAR(20), place GEOMETRY NOT NULL SRID 4326, v VECTOR(3),
 KEY down (s DESC, id), KEY f ((id + 1)), KEY g ((LOWER(s)), (CAST(j->'$.a' AS UNSIGNED))), KEY unseen (s) INVISIBLE, CONSTRAINT loose CHECK (id < 9) NOT ENFORCED) CHARACTER SET utf8mb4";
const MARIADB: &str = r"CREATE TABLE newer (id INT PRIMARY KEY, hidden INT INVISIBLE DEFAULT 9, u UUID DEFAULT UUID(), t TEXT DEFAULT CONCAT('a', 'it''s'), j JSON, k JSON NOT NULL DEFAULT '{}', s VARCHAR(200) COMPRESSED, i4 INET4, i6 INET6,
 n INT CHECK (n > 2), KEY down (id DESC), KEY unseen (n) IGNORED) CHARACTER SET utf8mb4;
CREATE TABLE versioned (id INT PRIMARY KEY, v INT) WITH SYSTEM VERSIONING";

/// Statements that create the schema `v`.
pub(crate) fn statements(mariadb: bool) -> String {
    format!("{BOTH};\n{}", if mariadb { MARIADB } else { MYSQL })
}
