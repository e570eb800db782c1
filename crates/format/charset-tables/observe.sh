#!/usr/bin/env bash
# observe.sh - ask running servers what every code of every character set decodes to.
#
#   observe.sh OUT NAME SQL...     SQL is the client command of one server (`mysql.sh sql DIR`, `mariadb.sh sql DIR`)
#
# Writes OUT/NAME.codes (tab separated: character set, bytes, characters the server counts or -1 when it does not keep the bytes, UTF-8) and
# OUT/NAME.collations (id, character set). Needs the privilege to make and drop the schema `charset_observation`.
set -euo pipefail
out=$1 name=$2; shift 2
sql=("$@")

single='armscii8 ascii cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 dec8 geostd8 greek hebrew hp8 keybcs2 koi8r koi8u latin1 latin2 latin5 latin7 macce macroman swe7 tis620'
multi='big5 cp932 eucjpms euckr gb2312 gbk sjis ujis'
if [ "$("${sql[@]}" -NB -e "SELECT COUNT(*) FROM information_schema.character_sets WHERE character_set_name = 'gb18030'")" = 1 ]; then multi+=' gb18030'; fi

setup() {
  cat <<'SQL'
DROP DATABASE IF EXISTS charset_observation; CREATE DATABASE charset_observation; USE charset_observation;
CREATE TABLE d (h CHAR(1) CHARACTER SET ascii PRIMARY KEY);
INSERT INTO d VALUES ('0'),('1'),('2'),('3'),('4'),('5'),('6'),('7'),('8'),('9'),('A'),('B'),('C'),('D'),('E'),('F');
CREATE TABLE n (n INT PRIMARY KEY, b VARBINARY(2));
INSERT INTO n SELECT CONV(CONCAT(a.h, b.h, c.h, d.h), 16, 10) + 0, UNHEX(CONCAT(a.h, b.h, c.h, d.h)) FROM d a, d b, d c, d d;
SQL
}

ask() { # CHARSET BYTES TABLES WHERE
  echo "SELECT '$1', HEX(b), IF(HEX(c) = HEX(b), CHAR_LENGTH(c), -1), HEX(CONVERT(c USING utf8mb4))
          FROM (SELECT b, CAST(b AS CHAR CHARACTER SET $1) c FROM (SELECT $2 b FROM $3 WHERE $4) x) y;"
}

questions() {
  local c
  echo 'USE charset_observation;'
  for c in $single $multi utf8mb3 utf8mb4; do ask "$c" 'SUBSTR(b, 2, 1)' n 'n < 256'; done
  for c in $multi utf8mb3 utf8mb4; do ask "$c" b n 'n >= 32768'; done
  for c in ujis eucjpms; do ask "$c" "CONCAT(x'8F', b)" n 'n >= 32768'; done
  for c in utf8mb3 utf8mb4; do ask "$c" 'CONCAT(SUBSTR(p.b, 2, 1), q.b)' 'n p, n q' 'p.n BETWEEN 224 AND 239 AND q.n >= 32768'; done
  ask utf8mb4 'CONCAT(p.b, q.b)' 'n p, n q' 'p.n >= 61440 AND p.n < 63488 AND p.n % 256 BETWEEN 128 AND 191 AND q.n BETWEEN 32768 AND 49151 AND q.n % 256 BETWEEN 128 AND 191'
  case " $multi " in *' gb18030 '*)
    ask gb18030 'CONCAT(p.b, q.b)' 'n p, n q' 'p.n >= 32768 AND p.n % 256 BETWEEN 48 AND 57 AND q.n >= 32768 AND q.n % 256 BETWEEN 48 AND 57' ;; esac
  for c in ucs2 utf16 utf16le; do ask "$c" b n 1; done
  ask utf16 'CONCAT(p.b, q.b)' 'n p, n q' 'p.n BETWEEN 55296 AND 57343 AND q.n BETWEEN 55296 AND 57343'
  ask utf16le 'CONCAT(REVERSE(p.b), REVERSE(q.b))' 'n p, n q' 'p.n BETWEEN 55296 AND 57343 AND q.n BETWEEN 55296 AND 57343'
  ask utf32 'CONCAT(p.b, q.b)' 'n p, n q' 'p.n < 18'
  # whole strings, mixed from the hash of a number
  for c in $single $multi utf8mb3 utf8mb4; do ask "$c" 'CONCAT(SUBSTR(UNHEX(SHA2(n, 256)), 1, n % 9), SUBSTR(UNHEX(SHA2(n + 70000, 256)), 1, n % 3))' n 1; done
}

setup | "${sql[@]}"
questions | "${sql[@]}" -NB -q >"$out/$name.codes"
if [ "$("${sql[@]}" -NB -e "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'information_schema' AND
    LOWER(table_name) = 'collation_character_set_applicability' AND LOWER(column_name) = 'full_collation_name'")" = 1 ]; then
  table=collation_character_set_applicability              # MariaDB 10.10 and later: every uca1400 id
else table=collations; fi
"${sql[@]}" -NB -e "SELECT id, character_set_name FROM information_schema.$table ORDER BY id" >"$out/$name.collations"
echo 'DROP DATABASE charset_observation' | "${sql[@]}"
