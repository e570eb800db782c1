//! The shop's tables and the rows they start with.

use std::fmt::Write as _;

use mysql_async::prelude::Queryable;
use mysql_async::{Error, Pool};

use crate::random::Random;

/// The schema; it holds nothing that MariaDB 10.5 and later would read otherwise, so both servers
/// take the same text.
const SCHEMA: &str = include_str!("../../fixtures/shop/mysql.sql");
/// Rows of one INSERT statement: long enough that the round trip does not count, short of any
/// packet limit.
const INSERT_ROWS: u64 = 500;

const WORDS: [&str; 16] = [
    "amber",
    "böig",
    "cedar",
    "délice",
    "ember",
    "fjord",
    "grape",
    "hügel",
    "indigo",
    "jade",
    "kiwi",
    "lotus",
    "мята",
    "north",
    "椅子",
    "🍐 pear",
];

/// How many rows each table starts with; keys run from 1 to the count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Rows of `category`.
    pub categories: u64,
    /// Rows of `warehouse`.
    pub warehouses: u64,
    /// Rows of `product`.
    pub products: u64,
    /// Rows of `customer`.
    pub customers: u64,
    /// Rows of `purchase`; `purchase_line` has two for each.
    pub purchases: u64,
    /// Rows of `article`; `comment` has four for each.
    pub articles: u64,
    /// Rows of `session`.
    pub sessions: u64,
    /// Rows of `coupon`.
    pub coupons: u64,
    /// Rows of `audit_event`.
    pub audit_events: u64,
}

impl Rows {
    /// A shop of about `total` rows, and at least one of everything.
    pub fn about(total: u64) -> Self {
        let part = |per_thousand: u64| (total * per_thousand / 1000).max(10);
        Self {
            categories: part(1).min(200),
            warehouses: 4,
            products: part(20),
            customers: part(100),
            purchases: part(140),
            articles: part(5),
            sessions: part(20),
            coupons: part(10),
            audit_events: part(64),
        }
    }

    /// Rows of all tables together.
    pub fn total(&self) -> u64 {
        let catalogue = self.categories + self.warehouses + self.products * (1 + self.warehouses);
        let sales = self.customers * 2 + self.purchases * 4;
        let rest = self.articles * 5 + self.sessions + self.coupons + self.audit_events;
        catalogue + sales + rest
    }
}

/// Creates the schema `name` with the shop's tables, all empty.
pub async fn create(pool: &Pool, name: &str) -> Result<(), Error> {
    let mut connection = pool.get_conn().await?;
    connection
        .query_drop(format!("CREATE DATABASE `{name}`; USE `{name}`; {SCHEMA}"))
        .await
}

/// Fills the empty tables of the pool's default schema, with equal values for equal seeds (times
/// apart that the server sets). The groups of tables are written side by side, parents first.
pub async fn fill(pool: &Pool, rows: &Rows, seed: u64) -> Result<(), Error> {
    let random = Random::new(seed);
    let catalogue = fill_tables(pool, catalogue(rows), random.fork(1));
    let sales = fill_tables(pool, sales(rows), random.fork(2));
    let rest = fill_tables(pool, rest(rows), random.fork(3));
    tokio::try_join!(catalogue, sales, rest).map(|_| ())
}

/// Writes the values of one row, without parentheses, for its number from 1 on.
type WriteRow = Box<dyn Fn(&mut String, u64, &mut Random) + Send>;

/// One table's rows to come.
struct Filling {
    columns: &'static str,
    count: u64,
    write: WriteRow,
}

impl Filling {
    fn new(
        columns: &'static str,
        count: u64,
        write: impl Fn(&mut String, u64, &mut Random) + Send + 'static,
    ) -> Self {
        Self {
            columns,
            count,
            write: Box::new(write),
        }
    }
}

async fn fill_tables(pool: &Pool, tables: Vec<Filling>, mut random: Random) -> Result<(), Error> {
    let mut connection = pool.get_conn().await?;
    connection
        .query_drop("SET NAMES utf8mb4, time_zone = '+00:00'")
        .await?;
    for table in tables {
        let mut next = 1;
        while next <= table.count {
            let last = table.count.min(next + INSERT_ROWS - 1);
            let mut statement = format!("INSERT INTO {} VALUES ", table.columns);
            for number in next..=last {
                statement.push_str(if number == next { "(" } else { "),(" });
                (table.write)(&mut statement, number, &mut random);
            }
            statement.push(')');
            connection.query_drop(statement).await?;
            next = last + 1;
        }
    }
    Ok(())
}

/// Appends formatted text; a `String` takes everything.
macro_rules! put {
    ($out:expr, $($argument:tt)*) => {
        write!($out, $($argument)*).expect("writing to a string does not fail")
    };
}

fn catalogue(rows: &Rows) -> Vec<Filling> {
    let (categories, warehouses, products) = (rows.categories, rows.warehouses, rows.products);
    vec![
        Filling::new(
            "category (id, parent_id, name, position)",
            categories,
            |out, number, random| {
                let parent = if number == 1 {
                    "NULL".to_owned()
                } else {
                    random.between(1, number - 1).to_string()
                };
                put!(
                    out,
                    "{number},{parent},'{} {number}',{}",
                    random.pick(&WORDS),
                    random.below(100)
                );
            },
        ),
        Filling::new(
            "warehouse (id, name, opens, built)",
            warehouses,
            |out, number, random| {
                put!(
                    out,
                    "{number},'warehouse {number}','0{}:30:00',{}",
                    random.below(10),
                    random.between(1970, 2024)
                );
            },
        ),
        Filling::new(
            "product (id, category_id, sku, name, description, price, weight_kg, rating, attributes, thumbnail, \
             features, flags, available_from)",
            products,
            move |out, number, random| product(out, number, categories, random),
        ),
        Filling::new(
            "stock (product_id, warehouse_id, quantity, reserved)",
            products * warehouses,
            move |out, number, random| {
                let (product, warehouse) = ((number - 1) / warehouses + 1, (number - 1) % warehouses + 1);
                put!(
                    out,
                    "{product},{warehouse},{},{}",
                    random.between(0, 5000),
                    random.below(20)
                );
            },
        ),
    ]
}

fn product(out: &mut String, number: u64, categories: u64, random: &mut Random) {
    let category = random.between(1, categories);
    put!(
        out,
        "{number},{category},'SKU-{number:08}','{} {} {number}',",
        random.pick(&WORDS),
        random.pick(&WORDS)
    );
    if random.chance(80) {
        put!(out, "'{}',", sentence(random, 12));
    } else {
        out.push_str("NULL,");
    }
    put!(
        out,
        "{}.{:02},{}.{:03},{}.5,",
        random.between(1, 900),
        random.below(100),
        random.below(40),
        random.below(1000),
        random.below(5)
    );
    put!(
        out,
        "'{{\"colour\": \"{}\", \"sizes\": [{}, {}], \"eco\": {}}}',",
        random.pick(&WORDS),
        random.below(50),
        random.below(50),
        random.chance(50)
    );
    let length = usize::try_from(random.between(0, 160)).expect("a small number fits");
    put!(out, "{},", hexadecimal(&random.bytes(length)));
    put!(
        out,
        "'{}',{},'{}'",
        random.pick(&["", "new", "new,eco", "sale,heavy"]),
        random.below(256),
        date(random)
    );
}

fn sales(rows: &Rows) -> Vec<Filling> {
    let (customers, purchases, products) = (rows.customers, rows.purchases, rows.products);
    vec![
        Filling::new(
            "customer (id, login, name, kind, credit, newsletter, born, created_at)",
            customers,
            |out, number, random| {
                let kind = random.pick(&["private", "business", "reseller"]);
                put!(
                    out,
                    "{number},'user{number}','{} {}','{kind}',",
                    random.pick(&WORDS),
                    random.pick(&WORDS)
                );
                put!(
                    out,
                    "{}.{:04},{},'{}','{}'",
                    random.below(9000),
                    random.below(10_000),
                    random.below(2),
                    date(random),
                    instant(random)
                );
            },
        ),
        Filling::new(
            "address (id, customer_id, street, city, postcode, country)",
            customers,
            |out, number, random| {
                put!(
                    out,
                    "{number},{number},'{} street {}','{}',",
                    random.pick(&WORDS),
                    random.below(200),
                    random.pick(&WORDS)
                );
                put!(
                    out,
                    "'{:05}','{}'",
                    random.below(100_000),
                    random.pick(&["DE", "FR", "AT", "PL"])
                );
            },
        ),
        Filling::new(
            "purchase (id, customer_id, number, status, total, note, placed_at)",
            purchases,
            move |out, number, random| {
                let note = if random.chance(30) {
                    format!("'{}'", sentence(random, 8))
                } else {
                    "NULL".to_owned()
                };
                let status = random.pick(&["open", "paid", "sent", "returned"]);
                put!(
                    out,
                    "{number},{},'N{number:09}','{status}',",
                    random.between(1, customers)
                );
                put!(
                    out,
                    "{}.{:02},{note},'{}'",
                    random.below(5000),
                    random.below(100),
                    instant(random)
                );
            },
        ),
        Filling::new(
            "purchase_line (purchase_id, line, sku, quantity, unit_price)",
            purchases * 2,
            move |out, number, random| {
                let (purchase, line) = ((number - 1) / 2 + 1, (number - 1) % 2 + 1);
                let product = random.between(1, products);
                put!(
                    out,
                    "{purchase},{line},'SKU-{product:08}',{},{}.{:02}",
                    random.between(1, 20),
                    random.below(900),
                    random.below(100)
                );
            },
        ),
        Filling::new(
            "payment (id, purchase_id, reference, amount, details, booked_at)",
            purchases,
            |out, number, random| {
                put!(out, "{number},{number},{},", hexadecimal(&random.bytes(16)));
                put!(
                    out,
                    "{}.{:02},'{{\"method\": \"card\", \"try\": {}}}','{}'",
                    random.below(5000),
                    random.below(100),
                    random.below(4),
                    instant(random)
                );
            },
        ),
    ]
}

fn rest(rows: &Rows) -> Vec<Filling> {
    let customers = rows.customers;
    vec![
        Filling::new(
            "article (slug, title, body, published_at)",
            rows.articles,
            |out, number, random| {
                put!(
                    out,
                    "'article-{number}','{} {}','{}','{}'",
                    random.pick(&WORDS),
                    random.pick(&WORDS),
                    sentence(random, 60),
                    instant(random)
                );
            },
        ),
        Filling::new(
            "comment (article_slug, number, author, text, written_at)",
            rows.articles * 4,
            |out, number, random| {
                let (article, comment) = ((number - 1) / 4 + 1, (number - 1) % 4 + 1);
                put!(
                    out,
                    "'article-{article}',{comment},'{}','{}','{}'",
                    random.pick(&WORDS),
                    sentence(random, 15),
                    instant(random)
                );
            },
        ),
        Filling::new(
            "session (token, customer_id, basket)",
            rows.sessions,
            move |out, _, random| {
                put!(
                    out,
                    "{},{},'[{}, {}]'",
                    hexadecimal(&random.bytes(16)),
                    random.between(1, customers),
                    random.below(900),
                    random.below(900)
                );
            },
        ),
        Filling::new(
            "coupon (code, slot, discount, valid_until)",
            rows.coupons,
            |out, number, random| {
                put!(
                    out,
                    "'C{number}',{number},{}.{:02},'{}'",
                    random.below(60),
                    random.below(100),
                    date(random)
                );
            },
        ),
        Filling::new(
            "audit_event (id, kind, message, happened_at)",
            rows.audit_events,
            |out, number, random| {
                put!(
                    out,
                    "{number},'{}','{}','{}'",
                    random.pick(&["order", "cancel", "price", "login"]),
                    sentence(random, 6),
                    instant(random)
                );
            },
        ),
    ]
}

/// `words` words with a space between; no quote or backslash among them.
pub(super) fn sentence(random: &mut Random, words: u64) -> String {
    let mut text = String::new();
    for index in 0..words {
        if index > 0 {
            text.push(' ');
        }
        let word: &str = random.pick::<&str>(&WORDS);
        text.push_str(word);
    }
    text
}

/// A binary string literal.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 3);
    text.push_str("x'");
    for byte in bytes {
        put!(text, "{byte:02x}");
    }
    text.push('\'');
    text
}

/// A date in the years 1970 to 2024.
pub(super) fn date(random: &mut Random) -> String {
    format!(
        "{}-{:02}-{:02}",
        random.between(1970, 2024),
        random.between(1, 12),
        random.between(1, 28)
    )
}

/// A date and time with microseconds, within the range of TIMESTAMP in every zone.
pub(super) fn instant(random: &mut Random) -> String {
    let day = format!(
        "{}-{:02}-{:02}",
        random.between(1971, 2024),
        random.between(1, 12),
        random.between(1, 28)
    );
    let (hour, minute, second) = (random.below(24), random.below(60), random.below(60));
    format!(
        "{day} {hour:02}:{minute:02}:{second:02}.{:06}",
        random.below(1_000_000)
    )
}

#[cfg(test)]
mod tests {
    use super::Rows;

    #[test]
    fn a_shop_has_about_the_rows_asked_for() {
        for total in [30_000, 300_000, 1_000_000] {
            let rows = Rows::about(total).total();
            assert!(rows.abs_diff(total) * 10 < total, "{rows} rows for {total}");
        }
        let smallest = Rows::about(1);
        assert!(smallest.products >= 1 && smallest.coupons >= 2);
    }
}
