//! Character sets decoded by table: a one-byte table each, and grids for longer codes.

use super::grid::{Grid, Linear};
use super::single_byte;
use super::undecodable::UndecodableText;

/// What decodes one tabled character set. Lead bytes of longer codes have no entry in `single`.
pub(super) struct CodeTable {
    /// Code points of one-byte codes; 0 means none, except for byte 0.
    single: &'static [u16; 256],
    longer: Longer,
    /// Whether the bytes below 0x80 are ASCII, as everywhere but in swe7.
    keeps_ascii: bool,
}

/// The codes of more than one byte.
enum Longer {
    None,
    /// Two bytes.
    Two(Grid),
    /// Extended Unix Code: two bytes, or 0x8F and two more.
    Euc(Grid, Grid),
    /// Two bytes, or four of which the second is a digit.
    Gb18030(Grid, Linear),
}

impl CodeTable {
    const fn new(single: &'static [u16; 256], longer: Longer) -> Self {
        Self {
            single,
            longer,
            keeps_ascii: keeps_ascii(single),
        }
    }

    /// See [`super::decode`].
    pub(super) fn decode<'a>(
        &self,
        bytes: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a str, UndecodableText> {
        let plain = if self.keeps_ascii { ascii_length(bytes) } else { 0 };
        if plain == bytes.len() {
            return Ok(std::str::from_utf8(bytes).expect("ASCII is UTF-8"));
        }
        scratch.clear();
        scratch.extend_from_slice(&bytes[..plain]);
        let mut offset = plain;
        while offset < bytes.len() {
            let (character, length) = self.next(&bytes[offset..]).ok_or(UndecodableText { offset })?;
            scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            offset += length;
        }
        Ok(std::str::from_utf8(scratch).expect("written from characters"))
    }

    /// The first character of `bytes`, which are not empty, and its length in bytes.
    fn next(&self, bytes: &[u8]) -> Option<(char, usize)> {
        let point = self.single[usize::from(bytes[0])];
        if point != 0 || bytes[0] == 0 {
            return Some((char::from_u32(u32::from(point))?, 1));
        }
        match (&self.longer, bytes) {
            (Longer::Euc(_, grid), &[0x8F, lead, trail, ..]) => Some((grid.character(lead, trail)?, 3)),
            (Longer::Gb18030(_, linear), &[first, second @ b'0'..=b'9', third, fourth, ..]) => {
                Some((linear.character([first, second, third, fourth])?, 4))
            }
            (Longer::Two(grid) | Longer::Euc(grid, _) | Longer::Gb18030(grid, _), &[lead, trail, ..]) => {
                Some((grid.character(lead, trail)?, 2))
            }
            (Longer::None | Longer::Two(_) | Longer::Euc(..) | Longer::Gb18030(..), _) => None,
        }
    }
}

/// How many bytes at the start are ASCII.
fn ascii_length(bytes: &[u8]) -> usize {
    if bytes.is_ascii() {
        bytes.len()
    } else {
        bytes.iter().take_while(|byte| byte.is_ascii()).count()
    }
}

const fn keeps_ascii(single: &[u16; 256]) -> bool {
    let mut byte = 0;
    while byte < 0x80 {
        if single[byte as usize] != byte {
            return false;
        }
        byte += 1;
    }
    true
}

macro_rules! tables {
    ($($name:ident: $longer:expr;)*) => {
        $(pub(super) static $name: CodeTable = CodeTable::new(&single_byte::$name, $longer);)*
    };
}

macro_rules! grid {
    ($file:literal) => {
        Grid::new(include_bytes!(concat!("tables/", $file, ".bin")))
    };
}

tables! {
    ARMSCII8: Longer::None;
    BIG5: Longer::Two(grid!("big5"));
    CP1250: Longer::None;
    CP1251: Longer::None;
    CP1256: Longer::None;
    CP1257: Longer::None;
    CP850: Longer::None;
    CP852: Longer::None;
    CP866: Longer::None;
    CP932: Longer::Two(grid!("cp932"));
    DEC8: Longer::None;
    EUCJPMS: Longer::Euc(grid!("eucjpms"), grid!("eucjpms-8f"));
    EUCKR: Longer::Two(grid!("euckr"));
    GB18030: Longer::Gb18030(grid!("gb18030"), Linear::new(include_bytes!("tables/gb18030-linear.bin")));
    GB2312: Longer::Two(grid!("gb2312"));
    GBK: Longer::Two(grid!("gbk"));
    GEOSTD8: Longer::None;
    GREEK: Longer::None;
    HEBREW: Longer::None;
    HP8: Longer::None;
    KEYBCS2: Longer::None;
    KOI8R: Longer::None;
    KOI8U: Longer::None;
    LATIN1: Longer::None;
    LATIN2: Longer::None;
    LATIN5: Longer::None;
    LATIN7: Longer::None;
    MACCE: Longer::None;
    MACROMAN: Longer::None;
    SJIS: Longer::Two(grid!("sjis"));
    SWE7: Longer::None;
    TIS620: Longer::None;
    UJIS: Longer::Euc(grid!("ujis"), grid!("ujis-8f"));
}
