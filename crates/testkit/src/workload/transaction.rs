//! The transactions of the shop's application.

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Error};

use super::Rows;
use super::data::{date, hexadecimal, instant, sentence};
use crate::random::Random;

/// What a transaction does. Each is written so that any interleaving with others is either fine or
/// refused by the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// New purchase with lines and payment; takes from the stock; one event.
    PlaceOrder,
    /// Purchase and payment change together.
    PayOrder,
    /// A purchase and all that hangs on it go, children first.
    CancelOrder,
    /// A purchase gets another primary key, its children move along.
    RenumberOrder,
    /// New customer and address; the first address is undone by a savepoint.
    RegisterCustomer,
    /// A customer goes with addresses and purchases and their children.
    CloseCustomer,
    /// Two coupons swap their unique slots by way of NULL.
    SwapCoupons,
    /// Three coupons pass their unique slots on in a circle.
    RotateCoupons,
    /// A text primary key changes, to and fro.
    RenameCoupon,
    /// Two products swap their unique numbers by way of NULL.
    SwapProductNumbers,
    /// Part of a composite primary key changes.
    MoveStock,
    /// New article with comments.
    PublishArticle,
    /// New comment of an old article.
    Comment,
    /// An article gets another text key, its comments move along.
    RenameArticle,
    /// An article goes with its comments.
    RetractArticle,
    /// Many rows at once.
    Reprice,
    /// Text, JSON, blob, bits and set of one row.
    EditProduct,
    /// A binary primary key changes.
    RenewSession,
    /// A row is deleted and inserted again under its key.
    RewriteSession,
    /// A signed key jumps to the other side of zero.
    FlipEvent,
}

/// All kinds with how often each comes, relative to the others.
const MIX: [(Kind, u64); 20] = [
    (Kind::PlaceOrder, 30),
    (Kind::PayOrder, 18),
    (Kind::CancelOrder, 8),
    (Kind::RenumberOrder, 2),
    (Kind::RegisterCustomer, 6),
    (Kind::CloseCustomer, 2),
    (Kind::SwapCoupons, 6),
    (Kind::RotateCoupons, 4),
    (Kind::RenameCoupon, 4),
    (Kind::SwapProductNumbers, 4),
    (Kind::MoveStock, 6),
    (Kind::PublishArticle, 3),
    (Kind::Comment, 6),
    (Kind::RenameArticle, 3),
    (Kind::RetractArticle, 1),
    (Kind::Reprice, 1),
    (Kind::EditProduct, 6),
    (Kind::RenewSession, 6),
    (Kind::RewriteSession, 3),
    (Kind::FlipEvent, 2),
];

impl Kind {
    /// One of the kinds, in the shop's mix.
    pub(super) fn draw(random: &mut Random) -> Self {
        let total = MIX.iter().map(|(_, weight)| weight).sum();
        let mut left = random.below(total);
        for (kind, weight) in MIX {
            if left < weight {
                return kind;
            }
            left -= weight;
        }
        unreachable!("the weights add up to the total")
    }
}

/// One connection inside an open transaction.
pub(super) struct Shop<'a> {
    pub(super) connection: &'a mut Conn,
    pub(super) random: &'a mut Random,
    pub(super) rows: &'a Rows,
}

impl Shop<'_> {
    /// The statements of one transaction, without its begin and end. Rows that are no longer there
    /// make it do less.
    pub(super) async fn run(&mut self, kind: Kind) -> Result<(), Error> {
        match kind {
            Kind::PlaceOrder => self.place_order().await,
            Kind::PayOrder => self.pay_order().await,
            Kind::CancelOrder => self.cancel_order().await,
            Kind::RenumberOrder => self.renumber_order().await,
            Kind::RegisterCustomer => self.register_customer().await,
            Kind::CloseCustomer => self.close_customer().await,
            Kind::SwapCoupons => self.swap_coupons().await,
            Kind::RotateCoupons => self.rotate_coupons().await,
            Kind::RenameCoupon => self.rename_coupon().await,
            Kind::SwapProductNumbers => self.swap_product_numbers().await,
            Kind::MoveStock => self.move_stock().await,
            Kind::PublishArticle => self.publish_article().await,
            Kind::Comment => self.comment().await,
            Kind::RenameArticle => self.rename_article().await,
            Kind::RetractArticle => self.retract_article().await,
            Kind::Reprice => self.reprice().await,
            Kind::EditProduct => self.edit_product().await,
            Kind::RenewSession => self.renew_session().await,
            Kind::RewriteSession => self.rewrite_session().await,
            Kind::FlipEvent => self.flip_event().await,
        }
    }

    async fn place_order(&mut self) -> Result<(), Error> {
        let Some(customer) = self.near("customer", self.rows.customers).await? else {
            return Ok(());
        };
        let (placed, note) = (instant(self.random), sentence(self.random, 5));
        self.change(format!(
            "INSERT INTO purchase (customer_id, status, note, placed_at) VALUES ({customer}, 'open', '{note}', '{placed}')"
        ))
        .await?;
        let purchase = self
            .connection
            .last_insert_id()
            .expect("the table numbers its rows");
        for line in 1..=self.random.between(1, 4) {
            let product = self.random.between(1, self.rows.products);
            let (quantity, price) = (self.random.between(1, 9), self.random.below(400));
            self.change(format!(
                "INSERT INTO purchase_line (purchase_id, line, sku, quantity, unit_price) \
                 VALUES ({purchase}, {line}, 'SKU-{product:08}', {quantity}, {price}.95)"
            ))
            .await?;
            self.change(format!(
                "UPDATE stock SET reserved = reserved + {quantity} WHERE product_id = {product} LIMIT 1"
            ))
            .await?;
        }
        self.change(format!(
            "UPDATE purchase SET number = 'W{purchase}', \
             total = (SELECT COALESCE(SUM(amount), 0) FROM purchase_line WHERE purchase_id = {purchase}) WHERE id = {purchase}"
        ))
        .await?;
        let reference = hexadecimal(&self.random.bytes(16));
        self.change(format!(
            "INSERT INTO payment (purchase_id, reference, amount, details) \
             SELECT id, {reference}, total, JSON_OBJECT('method', 'transfer', 'open', total > 0) FROM purchase WHERE id = {purchase}"
        ))
        .await?;
        self.event("order", purchase).await
    }

    async fn pay_order(&mut self) -> Result<(), Error> {
        let Some(purchase) = self.near("purchase", self.rows.purchases * 2).await? else {
            return Ok(());
        };
        let (booked, status) = (
            instant(self.random),
            *self.random.pick(&["paid", "sent", "returned"]),
        );
        self.change(format!("UPDATE purchase SET status = '{status}', note = CONCAT(COALESCE(note, ''), '.') WHERE id = {purchase}"))
            .await?;
        self.change(format!(
            "UPDATE payment SET booked_at = '{booked}' WHERE purchase_id = {purchase}"
        ))
        .await
    }

    async fn cancel_order(&mut self) -> Result<(), Error> {
        let Some(purchase) = self.near("purchase", self.rows.purchases * 2).await? else {
            return Ok(());
        };
        self.remove_purchase(purchase).await?;
        self.event("cancel", purchase).await
    }

    async fn remove_purchase(&mut self, purchase: u64) -> Result<(), Error> {
        self.change(format!("DELETE FROM payment WHERE purchase_id = {purchase}"))
            .await?;
        self.change(format!(
            "DELETE FROM purchase_line WHERE purchase_id = {purchase}"
        ))
        .await?;
        self.change(format!("DELETE FROM purchase WHERE id = {purchase}"))
            .await
    }

    async fn renumber_order(&mut self) -> Result<(), Error> {
        let Some(old) = self.near("purchase", self.rows.purchases).await? else {
            return Ok(());
        };
        // Far above what the counter gives, so that it is not in the way of later orders.
        let new = (1 << 40) + self.random.below(1 << 40);
        self.change(format!(
            "INSERT INTO purchase (id, customer_id, number, status, total, note, placed_at) \
             SELECT {new}, customer_id, NULL, status, total, note, placed_at FROM purchase WHERE id = {old}"
        ))
        .await?;
        self.change(format!(
            "UPDATE purchase_line SET purchase_id = {new} WHERE purchase_id = {old}"
        ))
        .await?;
        self.change(format!(
            "UPDATE payment SET purchase_id = {new} WHERE purchase_id = {old}"
        ))
        .await?;
        let number: Option<Option<String>> = self
            .first(format!("SELECT number FROM purchase WHERE id = {old} FOR UPDATE"))
            .await?;
        self.change(format!("DELETE FROM purchase WHERE id = {old}"))
            .await?;
        // The unique number moves to the new row only after the old one is gone.
        match number.flatten() {
            Some(number) => {
                self.change(format!(
                    "UPDATE purchase SET number = '{number}' WHERE id = {new}"
                ))
                .await
            }
            None => Ok(()),
        }
    }

    async fn register_customer(&mut self) -> Result<(), Error> {
        let (created, born, login) = (instant(self.random), date(self.random), self.random.word());
        let name = sentence(self.random, 2);
        self.change(format!(
            "INSERT INTO customer (login, name, born, created_at) VALUES ('new{login:x}', '{name}', '{born}', '{created}')"
        ))
        .await?;
        let customer = self
            .connection
            .last_insert_id()
            .expect("the table numbers its rows");
        self.change("SAVEPOINT address".into()).await?;
        self.address(customer, "wrong street").await?;
        self.change("ROLLBACK TO SAVEPOINT address".into()).await?;
        self.address(customer, "right street").await?;
        self.event("login", customer).await
    }

    async fn address(&mut self, customer: u64, street: &str) -> Result<(), Error> {
        let postcode = self.random.below(100_000);
        self.change(format!(
            "INSERT INTO address (customer_id, street, city, postcode, country) \
             VALUES ({customer}, '{street}', 'København', '{postcode:05}', 'DK')"
        ))
        .await
    }

    async fn close_customer(&mut self) -> Result<(), Error> {
        let Some(customer) = self.near("customer", self.rows.customers).await? else {
            return Ok(());
        };
        let query = format!("SELECT id FROM purchase WHERE customer_id = {customer} FOR UPDATE");
        let purchases: Vec<u64> = self.connection.query(query).await?;
        for purchase in purchases {
            self.remove_purchase(purchase).await?;
        }
        self.change(format!("DELETE FROM address WHERE customer_id = {customer}"))
            .await?;
        self.change(format!("DELETE FROM customer WHERE id = {customer}"))
            .await
    }

    async fn swap_coupons(&mut self) -> Result<(), Error> {
        let [first, second] = [self.coupon().await?, self.coupon().await?];
        let (Some((first, one)), Some((second, two))) = (first, second) else {
            return Ok(());
        };
        if first == second {
            return Ok(());
        }
        self.slot(&first, None).await?;
        self.slot(&second, Some(one)).await?;
        self.slot(&first, Some(two)).await
    }

    async fn rotate_coupons(&mut self) -> Result<(), Error> {
        let from = self.random.between(1, self.rows.coupons);
        let query =
            format!("SELECT code, slot FROM coupon WHERE slot >= {from} ORDER BY slot LIMIT 3 FOR UPDATE");
        let coupons: Vec<(String, u64)> = self.connection.query(query).await?;
        let Some(((first, slot), rest)) = coupons.split_first() else {
            return Ok(());
        };
        self.slot(first, None).await?;
        let mut free = *slot;
        for (code, slot) in rest {
            self.slot(code, Some(free)).await?;
            free = *slot;
        }
        self.slot(first, Some(free)).await
    }

    async fn rename_coupon(&mut self) -> Result<(), Error> {
        let Some((code, _)) = self.coupon().await? else {
            return Ok(());
        };
        // To and fro between two spellings, so that keys that were left are taken again.
        let renamed = code
            .strip_suffix("-X")
            .map_or_else(|| format!("{code}-X"), str::to_owned);
        self.change(format!(
            "UPDATE coupon SET code = '{renamed}', discount = discount + 0.01 WHERE code = '{code}'"
        ))
        .await
    }

    async fn swap_product_numbers(&mut self) -> Result<(), Error> {
        let from = self.random.between(1, self.rows.products);
        let query = format!(
            "SELECT id, sku FROM product WHERE id >= {from} AND sku IS NOT NULL ORDER BY id LIMIT 2 FOR UPDATE"
        );
        let products: Vec<(u64, String)> = self.connection.query(query).await?;
        let [(first, one), (second, two)] = products.as_slice() else {
            return Ok(());
        };
        self.change(format!("UPDATE product SET sku = NULL WHERE id = {first}"))
            .await?;
        self.change(format!("UPDATE product SET sku = '{one}' WHERE id = {second}"))
            .await?;
        self.change(format!("UPDATE product SET sku = '{two}' WHERE id = {first}"))
            .await
    }

    async fn move_stock(&mut self) -> Result<(), Error> {
        let product = self.random.between(1, self.rows.products);
        let (from, to) = (
            self.random.between(1, self.rows.warehouses),
            self.random.between(1, self.rows.warehouses),
        );
        if self.random.chance(50) {
            self.change(format!(
                "DELETE FROM stock WHERE product_id = {product} AND warehouse_id = {to}"
            ))
            .await?;
        }
        // Refused as a duplicate when the row is still there: the application rolls back.
        self.change(format!(
            "UPDATE stock SET warehouse_id = {to}, quantity = quantity + 1 WHERE product_id = {product} AND warehouse_id = {from}"
        ))
        .await
    }

    async fn publish_article(&mut self) -> Result<(), Error> {
        let (slug, published) = (format!("news-{:x}", self.random.word()), instant(self.random));
        let (title, body) = (sentence(self.random, 3), sentence(self.random, 40));
        self.change(format!(
            "INSERT INTO article VALUES ('{slug}', '{title}', '{body}', '{published}')"
        ))
        .await?;
        for number in 1..=self.random.below(3) {
            self.add_comment(&slug, number).await?;
        }
        Ok(())
    }

    async fn comment(&mut self) -> Result<(), Error> {
        let Some(slug) = self.article().await? else {
            return Ok(());
        };
        let next = format!(
            "SELECT COALESCE(MAX(number), 0) + 1 FROM comment WHERE article_slug = '{slug}' FOR UPDATE"
        );
        let number: Option<u64> = self.first(next).await?;
        self.add_comment(&slug, number.unwrap_or(1)).await
    }

    async fn add_comment(&mut self, slug: &str, number: u64) -> Result<(), Error> {
        let (text, written) = (sentence(self.random, 8), instant(self.random));
        self.change(format!(
            "INSERT INTO comment VALUES ('{slug}', {number}, 'reader', '{text}', '{written}')"
        ))
        .await
    }

    async fn rename_article(&mut self) -> Result<(), Error> {
        let Some(old) = self.article().await? else {
            return Ok(());
        };
        let new = old
            .strip_suffix("-again")
            .map_or_else(|| format!("{old}-again"), str::to_owned);
        self.change(format!(
            "INSERT INTO article SELECT '{new}', title, body, published_at FROM article WHERE slug = '{old}'"
        ))
        .await?;
        self.change(format!(
            "UPDATE comment SET article_slug = '{new}' WHERE article_slug = '{old}'"
        ))
        .await?;
        self.change(format!("DELETE FROM article WHERE slug = '{old}'"))
            .await
    }

    async fn retract_article(&mut self) -> Result<(), Error> {
        let Some(slug) = self.article().await? else {
            return Ok(());
        };
        self.change(format!("DELETE FROM comment WHERE article_slug = '{slug}'"))
            .await?;
        self.change(format!("DELETE FROM article WHERE slug = '{slug}'"))
            .await
    }

    async fn reprice(&mut self) -> Result<(), Error> {
        let from = self.random.between(1, self.rows.products);
        let message = sentence(self.random, 3);
        self.change(format!(
            "UPDATE product SET price = price + 0.10 WHERE id BETWEEN {from} AND {}",
            from + 50
        ))
        .await?;
        self.event("price", from).await?;
        self.change(format!(
            "UPDATE audit_event SET message = '{message}' WHERE kind = 'price' ORDER BY id DESC LIMIT 5"
        ))
        .await
    }

    async fn edit_product(&mut self) -> Result<(), Error> {
        let product = self.random.between(1, self.rows.products);
        let length = usize::try_from(self.random.below(400)).expect("a small number fits");
        let blob = hexadecimal(&self.random.bytes(length));
        let (text, rating, flags) = (
            sentence(self.random, 10),
            self.random.below(40),
            self.random.below(256),
        );
        self.change(format!(
            "UPDATE product SET description = IF({rating} < 4, NULL, '{text}'), thumbnail = {blob}, flags = {flags}, \
             rating = {rating} / 8, features = 'sale,eco', attributes = JSON_SET(attributes, '$.seen', {rating}) WHERE id = {product}"
        ))
        .await
    }

    async fn renew_session(&mut self) -> Result<(), Error> {
        let Some(old) = self.session().await? else {
            return Ok(());
        };
        let new = hexadecimal(&self.random.bytes(16));
        self.change(format!(
            "UPDATE session SET token = {new}, seen_at = NOW(6) WHERE token = {old}"
        ))
        .await
    }

    async fn rewrite_session(&mut self) -> Result<(), Error> {
        let Some(token) = self.session().await? else {
            return Ok(());
        };
        let (customer, product) = (
            self.random.between(1, self.rows.customers),
            self.random.below(900),
        );
        self.change(format!("DELETE FROM session WHERE token = {token}"))
            .await?;
        self.change(format!(
            "INSERT INTO session (token, customer_id, basket) VALUES ({token}, {customer}, '[{product}]')"
        ))
        .await
    }

    async fn flip_event(&mut self) -> Result<(), Error> {
        let id = self.random.between(1, self.rows.audit_events);
        self.change(format!(
            "UPDATE audit_event SET id = -id WHERE id IN ({id}, -{id})"
        ))
        .await
    }

    async fn event(&mut self, kind: &str, object: u64) -> Result<(), Error> {
        self.change(format!(
            "INSERT INTO audit_event (kind, message, happened_at) VALUES ('{kind}', '{kind} of {object}', NOW(6))"
        ))
        .await
    }

    async fn slot(&mut self, code: &str, slot: Option<u64>) -> Result<(), Error> {
        let slot = slot.map_or_else(|| "NULL".to_owned(), |slot| slot.to_string());
        self.change(format!("UPDATE coupon SET slot = {slot} WHERE code = '{code}'"))
            .await
    }

    async fn coupon(&mut self) -> Result<Option<(String, u64)>, Error> {
        let from = self.random.between(1, self.rows.coupons);
        self.first(format!(
            "SELECT code, slot FROM coupon WHERE slot >= {from} ORDER BY slot LIMIT 1 FOR UPDATE"
        ))
        .await
    }

    async fn article(&mut self) -> Result<Option<String>, Error> {
        let from = format!("article-{}", self.random.between(1, self.rows.articles));
        self.first(format!(
            "SELECT slug FROM article WHERE slug >= '{from}' ORDER BY slug LIMIT 1 FOR UPDATE"
        ))
        .await
    }

    /// Some session's token, as a literal.
    async fn session(&mut self) -> Result<Option<String>, Error> {
        let from = hexadecimal(&self.random.bytes(16));
        let query =
            format!("SELECT token FROM session WHERE token >= {from} ORDER BY token LIMIT 1 FOR UPDATE");
        let token: Option<Vec<u8>> = self.first(query).await?;
        Ok(token.map(|token| hexadecimal(&token)))
    }

    /// The first key at or above a random one up to `high`, locked.
    async fn near(&mut self, table: &str, high: u64) -> Result<Option<u64>, Error> {
        let from = self.random.between(1, high);
        self.first(format!(
            "SELECT id FROM {table} WHERE id >= {from} ORDER BY id LIMIT 1 FOR UPDATE"
        ))
        .await
    }

    async fn first<T: FromRow + Send + 'static>(&mut self, query: String) -> Result<Option<T>, Error> {
        self.connection.query_first(query).await
    }

    async fn change(&mut self, statement: String) -> Result<(), Error> {
        self.connection.query_drop(statement).await
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, MIX};
    use crate::random::Random;

    #[test]
    fn every_kind_is_drawn() {
        let mut random = Random::new(3);
        let drawn: Vec<Kind> = (0..5000).map(|_| Kind::draw(&mut random)).collect();
        for (kind, _) in MIX {
            assert!(drawn.contains(&kind), "{kind:?} never comes");
        }
    }
}
