//! Turns what servers answered about their character sets (`charset-tables/observe.sh`) into this
//! crate's tables.
//!
//! `generate DIR` writes `src/charset/tables/*.bin`, `single_byte.rs` and `collations.rs`;
//! `check DIR` compares the compiled decoder with every answer in DIR and prints the figures.
#![expect(
    clippy::print_stdout,
    reason = "a program run by hand that reports to its terminal"
)]

use spanferry_core::schema::charset::Charset;
use spanferry_format::charset::decode;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

type Outcome<T> = Result<T, Box<dyn Error>>;
/// Bytes of one code and the character it stands for, per character set.
type Codes = BTreeMap<String, BTreeMap<Vec<u8>, char>>;

/// File and prefix byte of each grid of longer codes.
type Grids = &'static [(&'static str, Option<u8>)];
/// Character sets whose codes are looked up in tables.
const TABLED: [(&str, Grids); 33] = [
    ("armscii8", &[]),
    ("big5", &[("big5", None)]),
    ("cp1250", &[]),
    ("cp1251", &[]),
    ("cp1256", &[]),
    ("cp1257", &[]),
    ("cp850", &[]),
    ("cp852", &[]),
    ("cp866", &[]),
    ("cp932", &[("cp932", None)]),
    ("dec8", &[]),
    ("eucjpms", &[("eucjpms", None), ("eucjpms-8f", Some(0x8F))]),
    ("euckr", &[("euckr", None)]),
    ("gb18030", &[("gb18030", None)]),
    ("gb2312", &[("gb2312", None)]),
    ("gbk", &[("gbk", None)]),
    ("geostd8", &[]),
    ("greek", &[]),
    ("hebrew", &[]),
    ("hp8", &[]),
    ("keybcs2", &[]),
    ("koi8r", &[]),
    ("koi8u", &[]),
    ("latin1", &[]),
    ("latin2", &[]),
    ("latin5", &[]),
    ("latin7", &[]),
    ("macce", &[]),
    ("macroman", &[]),
    ("sjis", &[("sjis", None)]),
    ("swe7", &[]),
    ("tis620", &[]),
    ("ujis", &[("ujis", None), ("ujis-8f", Some(0x8F))]),
];
/// gb18030's four-byte codes of the Basic Multilingual Plane, in order.
const GB18030_LINEAR: usize = 39_420;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["generate", directory] => generate(Path::new(directory)),
        ["check", directory] => check(Path::new(directory)),
        _ => Err("usage: generate_charsets generate|check DIR".into()),
    }
}

/// One answer of a server; `text` is what it decodes the bytes to, unless it does not decode them.
struct Answer {
    charset: String,
    bytes: Vec<u8>,
    text: Option<String>,
}

impl Answer {
    fn parse(line: &str) -> Outcome<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [charset, bytes, characters, text] = fields[..] else {
            return Err(format!("four fields expected: {line}").into());
        };
        let bytes = from_hex(bytes)?;
        let text = if text == "NULL" {
            None
        } else {
            String::from_utf8(from_hex(text)?).ok()
        };
        // the count is -1 for bytes the server changes; MySQL's eucjpms keeps an incomplete last
        // character and drops it here
        let whole = |text: &str| text.chars().count().to_string() == characters;
        let text = text.filter(|text| {
            whole(text) && marks(text) == marks_expected(charset, &bytes) && !is_hole(charset, text)
        });
        Ok(Self {
            charset: charset.to_owned(),
            bytes,
            text,
        })
    }
}

/// Whether a server's table names holes U+FFFD, as those of big5 and tis620 do: no text has that
/// meaning there.
fn is_hole(charset: &str, text: &str) -> bool {
    TABLED
        .iter()
        .any(|&(name, _)| name == charset && name != "gb18030")
        && text.contains(char::REPLACEMENT_CHARACTER)
}

/// Question marks in the answer; each one more than the bytes hold stands for something
/// undecodable.
fn marks(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'?').count()
}

fn marks_expected(charset: &str, bytes: &[u8]) -> usize {
    match charset {
        "ucs2" | "utf16" | "utf32" => usize::from(matches!(bytes, [0, b'?'] | [0, 0, 0, b'?'])),
        "utf16le" => usize::from(bytes == [b'?', 0]),
        _ => bytes.split(|&byte| byte == b'?').count() - 1,
    }
}

fn from_hex(text: &str) -> Outcome<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}

fn files(directory: &Path, extension: &str) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|known| known == extension) {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        Err(format!("no .{extension} in {}", directory.display()).into())
    } else {
        Ok(found)
    }
}

fn for_each_answer(path: &Path, mut each: impl FnMut(Answer) -> Outcome<()>) -> Outcome<()> {
    for line in BufReader::new(File::open(path)?).lines() {
        each(Answer::parse(&line?)?)?;
    }
    Ok(())
}

/// Every code of the tabled character sets. Servers that contradict each other stop the generation.
fn read_codes(directory: &Path) -> Outcome<Codes> {
    let mut codes = Codes::new();
    for path in files(directory, "codes")? {
        for_each_answer(&path, |answer| add_code(&mut codes, answer))?;
    }
    Ok(codes)
}

fn add_code(codes: &mut Codes, answer: Answer) -> Outcome<()> {
    let mut characters = answer.text.iter().flat_map(|text| text.chars());
    if let (Some(character), None) = (characters.next(), characters.next()) {
        let known = codes.entry(answer.charset.clone()).or_default();
        if let Some(other) = known.insert(answer.bytes.clone(), character)
            && other != character
        {
            let Answer { charset, bytes, .. } = answer;
            return Err(
                format!("servers disagree: {charset} {bytes:02X?} is {character:?} or {other:?}").into(),
            );
        }
    }
    Ok(())
}

fn generate(directory: &Path) -> Outcome<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/charset");
    let codes = read_codes(directory)?;
    let mut singles = String::from(SINGLE_BYTE_HEADER);
    for (name, grids) in TABLED {
        let known = codes
            .get(name)
            .ok_or_else(|| format!("nothing observed for {name}"))?;
        singles.push_str(&single_byte_table(name, known)?);
        for (file, prefix) in grids {
            fs::write(root.join(format!("tables/{file}.bin")), grid(known, *prefix)?)?;
        }
    }
    fs::write(
        root.join("tables/gb18030-linear.bin"),
        gb18030_linear(&codes["gb18030"])?,
    )?;
    fs::write(root.join("single_byte.rs"), singles)?;
    fs::write(root.join("collations.rs"), collations(directory)?)?;
    for (name, known) in &codes {
        print_duplicates(name, known);
    }
    Ok(())
}

const SINGLE_BYTE_HEADER: &str = "//! One-byte codes of every tabled character set, generated by `examples/generate_charsets.rs`: do not edit.
//!
//! The entry of a byte is its code point; 0 means undecodable, except for byte 0 itself.
";

fn single_byte_table(name: &str, known: &BTreeMap<Vec<u8>, char>) -> Outcome<String> {
    let mut text = format!(
        "\n#[rustfmt::skip]\npub(super) static {}: [u16; 256] = [",
        name.to_uppercase()
    );
    for byte in 0..=255_u8 {
        let point = known
            .get(&vec![byte])
            .map_or(0, |&character| u32::from(character));
        if byte % 16 == 0 {
            text.push_str("\n   ");
        }
        write!(text, " 0x{:04x},", u16::try_from(point)?)?;
    }
    text.push_str("\n];\n");
    Ok(text)
}

/// A grid file: see `grid.rs` for the layout.
fn grid(known: &BTreeMap<Vec<u8>, char>, prefix: Option<u8>) -> Outcome<Vec<u8>> {
    let mut cells = BTreeMap::new();
    for (bytes, &character) in known {
        match (prefix, &bytes[..]) {
            (None, &[lead, trail]) if !known.contains_key(&bytes[..1]) => {
                cells.insert((lead, trail), u16::try_from(u32::from(character))?);
            }
            (Some(prefix), &[first, lead, trail]) if first == prefix => {
                cells.insert((lead, trail), u16::try_from(u32::from(character))?);
            }
            _ => {}
        }
    }
    let leads: BTreeSet<u8> = cells.keys().map(|key| key.0).collect();
    let trails: BTreeSet<u8> = cells.keys().map(|key| key.1).collect();
    let (Some(&l0), Some(&l1), Some(&t0), Some(&t1)) =
        (leads.first(), leads.last(), trails.first(), trails.last())
    else {
        return Err("a grid without a code".into());
    };
    let mut file = [b"SFCG", &[1, l0, l1, t0, t1, 0, 0, 0][..]].concat();
    for lead in l0..=l1 {
        for trail in t0..=t1 {
            file.extend(cells.get(&(lead, trail)).copied().unwrap_or(0).to_le_bytes());
        }
    }
    Ok(file)
}

fn gb18030_linear(known: &BTreeMap<Vec<u8>, char>) -> Outcome<Vec<u8>> {
    let mut file = [
        b"SFCL",
        &[1, 0, 0, 0][..],
        &u32::try_from(GB18030_LINEAR)?.to_le_bytes(),
    ]
    .concat();
    for index in 0..GB18030_LINEAR {
        let low = |value: usize, from: usize| u8::try_from(value + from);
        let bytes = vec![
            low(index / 12_600, 0x81)?,
            low(index / 1_260 % 10, 0x30)?,
            low(index / 10 % 126, 0x81)?,
            low(index % 10, 0x30)?,
        ];
        let point = known.get(&bytes).map_or(0, |&character| u32::from(character));
        file.extend(u16::try_from(point)?.to_le_bytes());
    }
    Ok(file)
}

fn collations(directory: &Path) -> Outcome<String> {
    let mut charsets = BTreeMap::new();
    for path in files(directory, "collations")? {
        for line in fs::read_to_string(path)?.lines() {
            let (id, name) = line.split_once('\t').ok_or("two fields expected")?;
            let charset = Charset::from_name(name).ok_or_else(|| format!("unknown character set {name}"))?;
            if charsets
                .insert(id.parse::<u16>()?, charset)
                .is_some_and(|other| other != charset)
            {
                return Err(format!("servers disagree about collation {id}").into());
            }
        }
    }
    let mut ranges: Vec<(u16, u16, Charset)> = Vec::new();
    for (id, charset) in charsets {
        match ranges.last_mut() {
            Some(last) if last.2 == charset && last.1 + 1 == id => last.1 = id,
            _ => ranges.push((id, id, charset)),
        }
    }
    let mut text = String::from(COLLATIONS_HEADER);
    for (first, last, charset) in ranges {
        writeln!(text, "    ({first}, {last}, Charset::{charset:?}),")?;
    }
    text.push_str("];\n");
    Ok(text)
}

const COLLATIONS_HEADER: &str =
    "//! Collation ids of both servers, generated by `examples/generate_charsets.rs`: do not edit.

use spanferry_core::schema::charset::Charset;

/// First id, last id and the character set of every collation between them, in order.
#[rustfmt::skip]
pub(super) static COLLATIONS: &[(u16, u16, Charset)] = &[
";

fn print_duplicates(name: &str, known: &BTreeMap<Vec<u8>, char>) {
    let mut spellings: BTreeMap<char, Vec<String>> = BTreeMap::new();
    for (bytes, &character) in known {
        let hex = format!("{bytes:02X?}");
        spellings.entry(character).or_default().push(hex);
    }
    spellings.retain(|_, codes| codes.len() > 1);
    if let Some((character, codes)) = spellings.first_key_value() {
        let point = u32::from(*character);
        println!(
            "{name}: {} characters have several codes, such as U+{point:04X} {codes:?}",
            spellings.len()
        );
    }
}

/// Figures of one character set over all servers.
#[derive(Default)]
struct Figures {
    decoded: u64,
    refused: u64,
    different: u64,
}

fn check(directory: &Path) -> Outcome<()> {
    let mut failed = 0;
    for path in files(directory, "codes")? {
        let mut figures: BTreeMap<String, Figures> = BTreeMap::new();
        let mut scratch = Vec::new();
        for_each_answer(&path, |answer| {
            let charset = Charset::from_name(&answer.charset).ok_or("unknown character set")?;
            let decoded = decode(charset, &answer.bytes, &mut scratch).ok();
            let figures = figures.entry(answer.charset).or_default();
            if decoded != answer.text.as_deref() {
                figures.different += 1;
                if figures.different <= 5 {
                    println!(
                        "{charset:?} {:02X?}: server {:?}, here {decoded:?}",
                        answer.bytes, answer.text
                    );
                }
            } else if decoded.is_some() {
                figures.decoded += 1;
            } else {
                figures.refused += 1;
            }
            Ok(())
        })?;
        println!("{}", path.display());
        for (
            name,
            Figures {
                decoded,
                refused,
                different,
            },
        ) in figures
        {
            println!("{name:>10} {decoded:>8} decoded {refused:>8} refused {different:>4} different");
            failed += different;
        }
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(format!("{failed} answers differ").into())
    }
}
