//! What a statement does, and to which tables.
//!
//! The classification is deliberately coarse: what is not recognised is `Unknown`, and the decoder stops for it.

use super::token::Token;

/// What a statement does, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Begins a transaction.
    Begin,
    /// Ends it.
    Commit,
    /// ROLLBACK, whole or to a savepoint: takes back what was logged before it.
    Rollback,
    /// Savepoints and locks: nothing.
    Nothing,
    /// Changes neither rows nor columns of the tables named.
    Harmless,
    /// Creates the tables named.
    CreateTable,
    /// Creates the tables named unless they exist.
    CreateTableIfAbsent,
    /// Changes, empties, renames or drops the tables named.
    ChangeTable,
    /// Changes or drops the schema named in `schema`, or the default one.
    ChangeSchema,
    /// Changes rows as a statement: INSERT, UPDATE, DELETE, REPLACE, LOAD, CALL, …
    ChangeRows,
    /// XA START, END, PREPARE or ROLLBACK.
    Xa,
    /// XA COMMIT.
    XaCommit,
    /// Not recognised.
    Unknown,
}

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
}

/// A classified statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) kind: Kind,
    /// The tables it is about.
    pub(crate) tables: Vec<Named>,
    /// The new name of the table that an ALTER TABLE renames; it is in `tables` too.
    pub(crate) renamed_to: Option<Named>,
    /// The schema, for `ChangeSchema`.
    pub(crate) schema: Option<String>,
    /// Every identifier of the text, for statements that cannot be told.
    pub(crate) mentioned: Vec<String>,
    /// Its first words, for findings; never values.
    pub(crate) title: String,
}

impl Statement {
    pub(super) fn new(kind: Kind) -> Statement {
        Statement {
            kind,
            tables: Vec::new(),
            renamed_to: None,
            schema: None,
            mentioned: Vec::new(),
            title: "a statement".to_owned(),
        }
    }

    /// Classifies a tokenised statement.
    pub(crate) fn of(tokens: &[Token]) -> Statement {
        let mut parser = Parser { tokens, at: 0 };
        let mut statement = parser
            .statement()
            .unwrap_or_else(|| Statement::new(Kind::Unknown));
        statement.mentioned = tokens
            .iter()
            .filter_map(Token::identifier)
            .map(str::to_owned)
            .collect();
        let words = tokens.iter().map_while(|token| match token {
            Token::Word(word) => Some(word.to_ascii_uppercase()),
            Token::Quoted(_) | Token::Literal | Token::Symbol(_) => None,
        });
        let title: Vec<String> = words.take(2).collect();
        if !title.is_empty() {
            statement.title = title.join(" ");
        }
        statement
    }
}

/// What may stand behind CREATE, ALTER or DROP, how it is classified.
const HARMLESS_OBJECTS: &[&str] = &[
    "VIEW",
    "TRIGGER",
    "PROCEDURE",
    "FUNCTION",
    "EVENT",
    "USER",
    "ROLE",
    "SERVER",
    "TABLESPACE",
    "SEQUENCE",
    "PACKAGE",
    "UNDO",
    "LOGFILE",
    "RESOURCE",
    "REFERENCE",
    "LIBRARY",
];

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn is(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is_word(word))
    }

    /// Steps over a word if it comes next.
    fn accept(&mut self, word: &str) -> bool {
        let found = self.is(word);
        self.at += usize::from(found);
        found
    }

    fn accept_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.accept(word))
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let found = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(found);
        found
    }

    fn word(&mut self) -> Option<String> {
        let Some(Token::Word(word)) = self.peek() else {
            return None;
        };
        let word = word.to_ascii_uppercase();
        self.at += 1;
        Some(word)
    }

    fn identifier(&mut self) -> Option<String> {
        let name = self.peek()?.identifier()?.to_owned();
        self.at += 1;
        Some(name)
    }

    /// `table`, `schema.table` or `.table`.
    fn table(&mut self) -> Option<Named> {
        self.symbol('.');
        let first = self.identifier()?;
        if self.symbol('.') {
            return Some(Named {
                schema: Some(first),
                table: self.identifier()?,
            });
        }
        Some(Named {
            schema: None,
            table: first,
        })
    }

    fn tables(&mut self) -> Option<Vec<Named>> {
        let mut tables = vec![self.table()?];
        while self.symbol(',') {
            tables.push(self.table()?);
        }
        Some(tables)
    }

    fn statement(&mut self) -> Option<Statement> {
        while self.symbol('(') {}
        let verb = self.word()?;
        let of = |kind| Some(Statement::new(kind));
        match verb.as_str() {
            "BEGIN" | "START" => of(Kind::Begin),
            "COMMIT" => of(Kind::Commit),
            "ROLLBACK" => of(Kind::Rollback),
            "SAVEPOINT" | "RELEASE" | "LOCK" | "UNLOCK" => of(Kind::Nothing),
            "XA" => of(if self.is("COMMIT") {
                Kind::XaCommit
            } else {
                Kind::Xa
            }),
            "SET" | "GRANT" | "REVOKE" | "FLUSH" | "INSTALL" | "UNINSTALL" => of(Kind::Harmless),
            "ANALYZE" | "OPTIMIZE" | "CHECK" | "REPAIR" => self.maintenance(),
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "DROP" => self.drop_object(),
            "RENAME" => self.rename(),
            "TRUNCATE" => {
                self.accept("TABLE");
                Some(Statement {
                    tables: vec![self.table()?],
                    ..Statement::new(Kind::ChangeTable)
                })
            }
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "CALL" | "DO" | "WITH" | "SELECT"
            | "VALUES" => of(Kind::ChangeRows),
            _ => of(Kind::Unknown),
        }
    }

    fn maintenance(&mut self) -> Option<Statement> {
        self.accept_any(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
        if !self.accept_any(&["TABLE", "TABLES"]) {
            return None;
        }
        Some(Statement {
            tables: self.tables()?,
            ..Statement::new(Kind::Harmless)
        })
    }

    fn if_exists(&mut self) -> bool {
        if !self.accept("IF") {
            return false;
        }
        self.accept("NOT");
        self.accept("EXISTS")
    }

    /// Steps over words that may stand before the object's kind (OR REPLACE, DEFINER = …, UNIQUE, …), and returns the kind.
    fn object(&mut self) -> Option<(String, Vec<String>)> {
        const OBJECTS: &[&str] = &["TABLE", "TABLES", "INDEX", "DATABASE", "SCHEMA", "INSTANCE"];
        const WORDS_MAX: usize = 24;
        let mut before = Vec::new();
        for _ in 0..WORDS_MAX {
            let token = self.peek()?;
            if let Token::Word(word) = token {
                let word = word.to_ascii_uppercase();
                if OBJECTS.contains(&word.as_str()) || HARMLESS_OBJECTS.contains(&word.as_str()) {
                    self.at += 1;
                    return Some((word, before));
                }
                before.push(word);
            }
            self.at += 1;
        }
        None
    }

    fn create(&mut self) -> Option<Statement> {
        let (object, before) = self.object()?;
        let said = |word: &str| before.iter().any(|other| other == word);
        match object.as_str() {
            "TABLE" => {
                let conditional = self.if_exists();
                let tables = vec![self.table()?];
                let kind = match () {
                    () if said("TEMPORARY") => return Some(Statement::new(Kind::Nothing)),
                    () if said("REPLACE") => Kind::ChangeTable,
                    () if conditional => Kind::CreateTableIfAbsent,
                    () => Kind::CreateTable,
                };
                Some(Statement {
                    tables,
                    ..Statement::new(kind)
                })
            }
            "INDEX" => self.index(said("REPLACE")),
            _ => Some(Statement::new(Kind::Harmless)),
        }
    }

    /// `name … ON table`. Dropping the index named PRIMARY drops the primary key.
    fn index(&mut self, changes: bool) -> Option<Statement> {
        self.if_exists();
        let primary = self
            .peek()
            .and_then(Token::identifier)
            .is_some_and(|name| name.eq_ignore_ascii_case("primary"));
        while !self.is("ON") {
            self.peek()?;
            self.at += 1;
        }
        self.at += 1;
        let kind = if primary || changes {
            Kind::ChangeTable
        } else {
            Kind::Harmless
        };
        Some(Statement {
            tables: vec![self.table()?],
            ..Statement::new(kind)
        })
    }

    fn drop_object(&mut self) -> Option<Statement> {
        let (object, before) = self.object()?;
        match object.as_str() {
            "TABLE" | "TABLES" if before.iter().any(|word| word == "TEMPORARY") => {
                Some(Statement::new(Kind::Nothing))
            }
            "TABLE" | "TABLES" => {
                self.if_exists();
                Some(Statement {
                    tables: self.tables()?,
                    ..Statement::new(Kind::ChangeTable)
                })
            }
            "INDEX" => self.index(false),
            "DATABASE" | "SCHEMA" => {
                self.if_exists();
                Some(Statement {
                    schema: self.identifier(),
                    ..Statement::new(Kind::ChangeSchema)
                })
            }
            _ => Some(Statement::new(Kind::Harmless)),
        }
    }

    fn rename(&mut self) -> Option<Statement> {
        if self.accept("USER") {
            return Some(Statement::new(Kind::Harmless));
        }
        if !self.accept_any(&["TABLE", "TABLES"]) {
            return None;
        }
        self.if_exists();
        let mut tables = Vec::new();
        loop {
            tables.push(self.table()?);
            // MariaDB: WAIT n or NOWAIT.
            while !self.accept("TO") {
                self.peek()?;
                self.at += 1;
            }
            tables.push(self.table()?);
            if !self.symbol(',') {
                return Some(Statement {
                    tables,
                    ..Statement::new(Kind::ChangeTable)
                });
            }
        }
    }

    fn alter(&mut self) -> Option<Statement> {
        let (object, before) = self.object()?;
        match object.as_str() {
            "TABLE" => {}
            "DATABASE" | "SCHEMA" => {
                let named = self.peek().is_some_and(|token| matches!(token, Token::Quoted(_)))
                    || ![
                        "CHARACTER",
                        "CHARSET",
                        "COLLATE",
                        "DEFAULT",
                        "ENCRYPTION",
                        "READ",
                        "COMMENT",
                    ]
                    .iter()
                    .any(|word| self.is(word));
                let schema = if named { self.identifier() } else { None };
                return Some(Statement {
                    schema,
                    ..Statement::new(Kind::ChangeSchema)
                });
            }
            _ => return Some(Statement::new(Kind::Harmless)),
        }
        self.if_exists();
        let mut tables = vec![self.table()?];
        let ignore = before.iter().any(|word| word == "IGNORE");
        let harmless = !ignore && self.only_index_actions();
        let renamed_to = self.other_tables(&mut tables);
        Some(Statement {
            tables,
            renamed_to,
            ..Statement::new(if harmless {
                Kind::Harmless
            } else {
                Kind::ChangeTable
            })
        })
    }

    /// Whether every action of an ALTER TABLE adds, drops or renames an index. Leaves the position where it is.
    fn only_index_actions(&self) -> bool {
        let mut depth = 0_usize;
        let mut actions: Vec<Vec<&Token>> = vec![Vec::new()];
        for token in &self.tokens[self.at..] {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth = depth.saturating_sub(1),
                Token::Symbol(',') if depth == 0 => {
                    actions.push(Vec::new());
                    continue;
                }
                Token::Symbol(';') => continue,
                Token::Word(_) | Token::Quoted(_) | Token::Literal | Token::Symbol(_) => {}
            }
            actions.last_mut().expect("there is always one").push(token);
        }
        actions.iter().all(|action| is_index_action(action))
    }

    /// Adds the tables named behind EXCHANGE PARTITION … WITH TABLE and RENAME [TO]; returns the latter.
    fn other_tables(&mut self, tables: &mut Vec<Named>) -> Option<Named> {
        let mut renamed_to = None;
        while self.peek().is_some() {
            if self.accept("WITH") {
                if self.accept("TABLE") {
                    tables.extend(self.table());
                }
            } else if self.accept("RENAME") {
                if !self.accept_any(&["COLUMN", "INDEX", "KEY"]) {
                    self.accept_any(&["TO", "AS"]);
                    self.symbol('=');
                    renamed_to = self.table();
                    tables.extend(renamed_to.clone());
                }
            } else {
                self.at += 1;
            }
        }
        renamed_to
    }
}

fn is_index_action(action: &[&Token]) -> bool {
    let word = |index: usize, words: &[&str]| {
        action
            .get(index)
            .is_some_and(|token| words.iter().any(|word| token.is_word(word)))
    };
    let named_primary = action
        .iter()
        .filter_map(|token| token.identifier())
        .any(|name| name.eq_ignore_ascii_case("primary"));
    if named_primary {
        return false;
    }
    let index = |at| word(at, &["INDEX", "KEY"]);
    (word(0, &["ADD"]) && (index(1) || (word(1, &["UNIQUE", "FULLTEXT", "SPATIAL"]) && index(2))))
        || (word(0, &["DROP", "RENAME", "ALTER"]) && index(1))
        || word(0, &["ALGORITHM", "LOCK", "WAIT", "NOWAIT"])
            && !action.iter().any(|token| token.is_word("FORCE"))
}
