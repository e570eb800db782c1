//! Unique values that move between rows: 5.

use spanferry_testkit::server::Engine;

use crate::support::bench;
use crate::survive;

/// Rows 1 to 40 of `u` hold the values 1 to 40 in `a`, pairs in (`b`, `c`), and texts that a prefix
/// index distinguishes.
async fn unique_values_move(engine: Engine, dialect: &'static str) {
    let servers = bench(engine).await;
    let functional = match engine {
        Engine::MySql => ", UNIQUE KEY fx ((a * 2))",
        Engine::MariaDb => "",
    };
    let schema = format!(
        "CREATE TABLE u (id INT PRIMARY KEY, a INT NULL, b INT NULL, c VARCHAR(20) NULL, p VARCHAR(40) NOT NULL, cover INT NOT NULL, \
           UNIQUE KEY ua (a), UNIQUE KEY ubc (b, c), UNIQUE KEY up (p(6)), KEY covering (a, cover){functional});
         INSERT INTO u WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 40) \
           SELECT i, i, i DIV 2, i % 2, CONCAT(LPAD(i, 6, '0'), ' rest'), 0 FROM n;
         "
    );
    let world = servers.as_ref().unwrap().world(dialect, &schema).await;
    let writer = world.writer(move |step| {
        let row = |offset: u64| (step * 7 + offset) % 40 + 1;
        let (x, y, z) = (row(0), row(11), row(23));
        let moves = match step % 6 {
            // Delete and insert: the value goes to a new key, then back.
            0 => vec![
                format!("SELECT a, b, c, p INTO @a, @b, @c, @p FROM u WHERE id = {x}"),
                format!("DELETE FROM u WHERE id = {x}"),
                format!("INSERT INTO u VALUES ({}, @a, @b, @c, @p, {step})", x + 1000),
                format!("UPDATE u SET id = {x} WHERE id = {}", x + 1000),
            ],
            // Swap of two.
            1 => vec![
                format!("SELECT a INTO @x FROM u WHERE id = {x}"),
                format!("SELECT a INTO @y FROM u WHERE id = {y}"),
                format!("UPDATE u SET a = NULL WHERE id = {x}"),
                format!("UPDATE u SET a = @x, cover = cover + 1 WHERE id = {y}"),
                format!("UPDATE u SET a = @y WHERE id = {x}"),
            ],
            // Chain of three, of both columns of the pair.
            2 => vec![
                format!("SELECT b, c INTO @xb, @xc FROM u WHERE id = {x}"),
                format!("SELECT b, c INTO @yb, @yc FROM u WHERE id = {y}"),
                format!("SELECT b, c INTO @zb, @zc FROM u WHERE id = {z}"),
                format!("UPDATE u SET b = NULL WHERE id IN ({x}, {y}, {z})"),
                format!("UPDATE u SET b = @xb, c = @xc WHERE id = {y}"),
                format!("UPDATE u SET b = @yb, c = @yc WHERE id = {z}"),
                format!("UPDATE u SET b = @zb, c = @zc WHERE id = {x}"),
            ],
            // NULLs, of which there may be many; the swapped value stays in hand meanwhile.
            3 => vec![
                format!("SELECT a INTO @x FROM u WHERE id = {x}"),
                format!("UPDATE u SET a = NULL WHERE id = {x}"),
                format!(
                    "INSERT INTO u VALUES ({}, NULL, NULL, NULL, 'n{:05}', 0)",
                    5_000 + step,
                    step
                ),
                format!("UPDATE u SET a = @x WHERE id = {x}"),
            ],
            // Texts that differ only in their first characters.
            4 => vec![
                format!("SELECT p INTO @x FROM u WHERE id = {x}"),
                format!("SELECT p INTO @y FROM u WHERE id = {y}"),
                format!("UPDATE u SET p = 'swap' WHERE id = {x}"),
                format!("UPDATE u SET p = @x WHERE id = {y}"),
                format!("UPDATE u SET p = @y WHERE id = {x}"),
            ],
            // All at once, in the order that MySQL itself needs.
            _ => vec![
                "UPDATE u SET a = a + 1000 WHERE id <= 40 AND a IS NOT NULL ORDER BY a DESC".to_owned(),
                "UPDATE u SET a = a - 1000 WHERE id <= 40 AND a IS NOT NULL ORDER BY a".to_owned(),
                "UPDATE u SET cover = cover + 1 WHERE id <= 40".to_owned(),
                format!(
                    "REPLACE INTO u VALUES ({}, NULL, NULL, NULL, 'n{:05}', 1)",
                    5_000 + step,
                    step.saturating_sub(2)
                ),
            ],
        };
        let mut statements = vec!["START TRANSACTION".to_owned()];
        statements.extend(moves);
        statements.push(if step % 10 == 9 { "ROLLBACK" } else { "COMMIT" }.to_owned());
        statements
    });
    survive(&world, writer).await;
    // Each of the forty values is still there once, at one row each.
    let mut values: Vec<String> = world
        .target_rows("u", &["a"])
        .await
        .into_iter()
        .flatten()
        .filter(|value| value != "NULL")
        .collect();
    values.sort_by_key(|value| value.parse::<i64>().unwrap());
    let expected: Vec<String> = (1..=40).map(|value| value.to_string()).collect();
    assert_eq!(values, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_05_unique_values_move_between_rows_mysql() {
    unique_values_move(Engine::MySql, "googlesql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_05_unique_values_move_between_rows_mysql_postgresql_dialect() {
    unique_values_move(Engine::MySql, "postgresql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killer_05_unique_values_move_between_rows_mariadb() {
    unique_values_move(Engine::MariaDb, "googlesql").await;
}
