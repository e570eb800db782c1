//! Keys of every shape, and keys that change: 1, 3, 8, 9, 10.

use spanferry_testkit::server::Engine;

use crate::support::bench;
use crate::{one, survive, survive_held_up};

/// 25,000 rows make two ranges at first; more come with the load's own pace.
const NUMBERS: &str = "CREATE TABLE numbers (n INT PRIMARY KEY);
    INSERT INTO numbers VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
    INSERT INTO numbers SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 1 \
      FROM numbers a, numbers b, numbers c, numbers d, numbers e \
      WHERE e.n < 3 AND a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n BETWEEN 9 AND 24999;
    ";

fn with_numbers(schema: &str) -> String {
    format!("{NUMBERS}{schema}\nDROP TABLE numbers;\n")
}

async fn keys_move(engine: Engine) {
    let servers = bench(engine).await;
    let schema = with_numbers(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, v INT NOT NULL, pad VARCHAR(100) NOT NULL);
         INSERT INTO t SELECT n * 10, 0, REPEAT('x', 80) FROM numbers WHERE n > 0;",
    );
    let mut world = servers.as_ref().unwrap().world("googlesql", &schema).await;
    let pool = world.server.pool(Some(&world.schema));
    let mut open = pool.get_conn().await.unwrap();
    mysql_async::prelude::Queryable::query_drop(&mut open, "START TRANSACTION")
        .await
        .unwrap();
    for statement in [
        "UPDATE t SET id = 3, v = -1 WHERE id = 249990",
        "UPDATE t SET id = 900003, v = -2 WHERE id = 20",
    ] {
        mysql_async::prelude::Queryable::query_drop(&mut open, statement)
            .await
            .unwrap();
    }
    // Low to high, high to low, and back again whence it came.
    let writer = world.writer(|step| {
        one(match step % 4 {
            0 => format!(
                "UPDATE t SET id = {}, v = v + 1 WHERE id = {}",
                1_000_000 + step,
                30 + step * 10
            ),
            1 => format!(
                "UPDATE t SET id = {step}, v = v + 1 WHERE id = {}",
                249_980 - step * 10
            ),
            2 => format!(
                "UPDATE t SET id = {}, v = v + 1 WHERE id = {}",
                28 + step * 10,
                999_998 + step
            ),
            _ => format!(
                "UPDATE t SET id = {}, v = v + 1 WHERE id = {}",
                2_000_000 + step,
                step - 2
            ),
        })
    });
    survive_held_up(&mut world, writer, 200, async |_| {
        mysql_async::prelude::Queryable::query_drop(&mut open, "COMMIT")
            .await
            .unwrap();
    })
    .await;
    drop(open);
    pool.disconnect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_01_keys_move_between_ranges_mysql() {
    keys_move(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_01_keys_move_between_ranges_mariadb() {
    keys_move(Engine::MariaDb).await;
}

/// Fixed binary keys end in zero bytes that the binary log strips; variable ones with and without
/// them are different keys.
async fn binary_keys(engine: Engine) {
    let servers = bench(engine).await;
    let schema = "CREATE TABLE f (k BINARY(4) PRIMARY KEY, v INT NOT NULL);
        CREATE TABLE w (k VARBINARY(6), n BINARY(3), v INT NOT NULL, PRIMARY KEY (k, n));
        INSERT INTO f VALUES (0x00000000, 1), (0x61000000, 1), (0x61620000, 1), (0x61006200, 1), (0xFFFFFF00, 1), (0x20000000, 1);
        INSERT INTO w VALUES ('', '', 1), (0x00, '', 1), (0x0000, 0x61, 1), (0x61, 0x6100, 1), (0x6100, 0x61, 1), (0x610000, 0x616100, 1), (0x6120, 0x61, 1);
        ";
    let world = servers.as_ref().unwrap().world("googlesql", schema).await;
    let writer = world.writer(|step| {
        let n = step % 250 + 1;
        vec![
            format!("INSERT INTO f VALUES (CONCAT(CHAR({n}), 0x000000), {step}) ON DUPLICATE KEY UPDATE v = {step}"),
            format!("INSERT INTO w VALUES (CONCAT(CHAR({n}), REPEAT(0x00, {})), 0x0100, {step}) ON DUPLICATE KEY UPDATE v = {step}", step % 4),
            format!("UPDATE f SET v = {step} WHERE k = 0x61000000"),
            format!("UPDATE w SET v = {step} WHERE k = 0x6100"),
            format!("DELETE FROM w WHERE k = CONCAT(CHAR({}), 0x00)", (step + 125) % 250 + 1),
            format!("UPDATE f SET k = CONCAT(0x7A00, CHAR({n}), 0x00) WHERE k = CONCAT(CHAR({n}), 0x000000) AND v % 3 = 0"),
            "DELETE FROM f WHERE k > 0x7A00FA00 AND k < 0x7B000000".to_owned(),
            format!("DELETE FROM f WHERE k = CONCAT(0x7A00, CHAR({}), 0x00)", (step + 1) % 250 + 1),
        ]
    });
    survive(&world, writer).await;
    // `Ev//AA==` would do as well as a text; what matters is that all four bytes are there.
    let rows = world.target_rows("f", &["k", "v"]).await;
    assert!(
        rows.contains(&vec!["////AA==".to_owned(), "1".to_owned()]),
        "{rows:?}"
    );
    assert!(
        rows.contains(&vec!["AAAAAA==".to_owned(), "1".to_owned()]),
        "{rows:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_03_binary_keys_with_trailing_zeros_mysql() {
    binary_keys(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_03_binary_keys_with_trailing_zeros_mariadb() {
    binary_keys(Engine::MariaDb).await;
}

/// Signed, unsigned and decimal keys at both ends and far apart, snowflake ids, one huge value
/// alone.
async fn sparse_keys(engine: Engine) {
    let servers = bench(engine).await;
    let schema = with_numbers(
        "CREATE TABLE s (id BIGINT PRIMARY KEY, v INT NOT NULL);
         INSERT INTO s SELECT n * 922337203685477 - 4611686018427387904, n FROM numbers WHERE n < 2000;
         INSERT INTO s VALUES (-9223372036854775808, 1), (9223372036854775807, 1), (-1, 1);
         CREATE TABLE u (id BIGINT UNSIGNED PRIMARY KEY, v INT NOT NULL);
         INSERT INTO u SELECT 1420070400000 * 4194304 + n * 8589934592, n FROM numbers WHERE n < 22000;
         INSERT INTO u VALUES (0, 1), (9223372036854775807, 1);
         CREATE TABLE d (id DECIMAL(20,0) PRIMARY KEY, v INT NOT NULL);
         INSERT INTO d VALUES (-99999999999999999999, 1), (99999999999999999999, 1), (18446744073709551615, 1), (0, 1);
         CREATE TABLE h (id BIGINT UNSIGNED PRIMARY KEY, v INT NOT NULL);
         INSERT INTO h VALUES (9223372036854775806, 1);",
    );
    let mut world = servers.as_ref().unwrap().world("googlesql", &schema).await;
    let writer = world.writer(|step| {
        let far = 9_223_372_036_854_775_000 - step * 1_000_003;
        vec![
            format!("INSERT INTO s VALUES (-{far}, {step}), ({far}, {step})"),
            format!("INSERT INTO u VALUES ({far}, {step}), ({}, {step})", step + 1),
            format!("INSERT INTO d VALUES (-{far}0, {step}), ({far}1, {step})"),
            format!("UPDATE s SET v = {step} WHERE id IN (-9223372036854775808, 9223372036854775807)"),
            format!("UPDATE h SET v = {step} WHERE id = 9223372036854775806"),
            format!("DELETE FROM s WHERE id = -{}", far + 5_000_015),
        ]
    });
    survive_held_up(&mut world, writer, 100, async |_| {}).await;
    let rows = world.target_rows("s", &["id"]).await;
    assert_eq!(rows[0], ["-9223372036854775808"]);
    assert_eq!(rows[rows.len() - 1], ["9223372036854775807"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_08_sparse_keys_mysql() {
    sparse_keys(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_08_sparse_keys_mariadb() {
    sparse_keys(Engine::MariaDb).await;
}

/// A composite key with a constant first column, text keys under a collation that has an order of
/// its own, UUIDs both ways.
async fn composite_and_text_keys(engine: Engine) {
    let servers = bench(engine).await;
    let collation = match engine {
        Engine::MySql => "utf8mb4_0900_ai_ci",
        Engine::MariaDb => "utf8mb4_unicode_ci",
    };
    let schema = with_numbers(&format!(
        "CREATE TABLE c (tenant INT, day DATE, number INT, v INT NOT NULL, PRIMARY KEY (tenant, day, number));
         INSERT INTO c SELECT 7, '2024-01-01' + INTERVAL n % 3 DAY, n, 0 FROM numbers WHERE n < 22000;
         CREATE TABLE w (word VARCHAR(60) COLLATE {collation} PRIMARY KEY, v INT NOT NULL);
         INSERT INTO w SELECT CONCAT(ELT(n % 6 + 1, 'a', 'Ä', 'ß', '日本', 'z_', '%'), '-', n), 0 FROM numbers WHERE n < 22000;
         CREATE TABLE g (id CHAR(36) CHARACTER SET ascii PRIMARY KEY, v INT NOT NULL);
         INSERT INTO g SELECT INSERT(INSERT(INSERT(INSERT(LEFT(SHA2(n, 256), 32), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), 24, 0, '-'), 0 FROM numbers WHERE n < 3000;
         CREATE TABLE b (id BINARY(16) PRIMARY KEY, v INT NOT NULL);
         INSERT INTO b SELECT UNHEX(LEFT(SHA2(n, 256), 32)), 0 FROM numbers WHERE n < 3000;",
    ));
    let mut world = servers.as_ref().unwrap().world("googlesql", &schema).await;
    let writer = world.writer(|step| {
        let n = step * 37 % 22_000;
        vec![
            format!("UPDATE c SET v = v + 1 WHERE tenant = 7 AND number = {n}"),
            format!(
                "UPDATE c SET number = number + 100000 WHERE tenant = 7 AND number = {}",
                n + 1
            ),
            format!("INSERT INTO w VALUES ('ẞtep \\' \" \\\\ {step}', {step})"),
            format!("DELETE FROM w WHERE v = 0 LIMIT {}", step % 3),
            format!("UPDATE g SET v = {step} WHERE id LIKE '{:02x}%'", step % 256),
            format!(
                "UPDATE b SET v = {step} WHERE id = UNHEX(LEFT(SHA2({}, 256), 32))",
                n % 3_000
            ),
            format!(
                "DELETE FROM b WHERE id = UNHEX(LEFT(SHA2({}, 256), 32))",
                n % 3_000 + 1
            ),
        ]
    });
    survive_held_up(&mut world, writer, 100, async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_09_composite_text_and_uuid_keys_mysql() {
    composite_and_text_keys(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_09_composite_text_and_uuid_keys_mariadb() {
    composite_and_text_keys(Engine::MariaDb).await;
}

/// Inserts beyond the highest key while the last, open range is read.
async fn inserts_at_the_end(engine: Engine) {
    let servers = bench(engine).await;
    let schema = with_numbers(
        "CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY, v INT NOT NULL);
         INSERT INTO t (v) SELECT n FROM numbers;",
    );
    let mut world = servers.as_ref().unwrap().world("googlesql", &schema).await;
    let writer = world.writer(|step| {
        vec![
            format!("INSERT INTO t (v) VALUES ({step}), ({step}), ({step})"),
            "DELETE FROM t ORDER BY id DESC LIMIT 1".to_owned(),
            format!("UPDATE t SET v = -{step} ORDER BY id DESC LIMIT 2"),
        ]
    });
    survive_held_up(&mut world, writer, 200, async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_10_inserts_beyond_the_last_range_mysql() {
    inserts_at_the_end(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_10_inserts_beyond_the_last_range_mariadb() {
    inserts_at_the_end(Engine::MariaDb).await;
}
