//! Tables of two- and four-byte codes, read in place from the files under `tables/`.
//!
//! Grid file: `SFCG`, version 1, first lead byte, last lead byte, first trail byte, last trail
//! byte, three zero bytes; then a little-endian `u16` code point for every lead and trail, trails
//! of one lead together; 0 means no character. Linear file: `SFCL`, version 1, three zero bytes,
//! the count as little-endian `u32`; then that many code points.

/// Bytes before the code points in either file.
const HEADER: usize = 12;
/// The four-byte code of gb18030, counted from 81 30 81 30, which stands for U+10000; the rest
/// follow in order.
const GB18030_SUPPLEMENTARY: u32 = 189_000;

/// Code points by lead and trail byte.
pub(super) struct Grid {
    file: &'static [u8],
    lead_first: u8,
    trail_first: u8,
    trail_count: usize,
}

impl Grid {
    /// Reads the header, at compile time.
    pub(super) const fn new(file: &'static [u8]) -> Self {
        assert!(
            matches!(file, [b'S', b'F', b'C', b'G', 1, ..]),
            "a grid file of version 1"
        );
        let (lead_first, lead_last, trail_first, trail_last) = (file[5], file[6], file[7], file[8]);
        let trail_count = (trail_last - trail_first) as usize + 1;
        let cells = ((lead_last - lead_first) as usize + 1) * trail_count;
        assert!(
            file.len() == HEADER + 2 * cells,
            "a grid file holds one code point for each lead and trail"
        );
        Self {
            file,
            lead_first,
            trail_first,
            trail_count,
        }
    }

    pub(super) fn character(&self, lead: u8, trail: u8) -> Option<char> {
        let row = usize::from(lead.checked_sub(self.lead_first)?);
        let column = usize::from(trail.checked_sub(self.trail_first)?);
        if column >= self.trail_count {
            return None;
        }
        point(self.file, row * self.trail_count + column)
    }
}

/// Code points of the four-byte codes of gb18030, in their order.
pub(super) struct Linear {
    file: &'static [u8],
}

impl Linear {
    /// Checks the header, at compile time.
    pub(super) const fn new(file: &'static [u8]) -> Self {
        assert!(
            matches!(file, [b'S', b'F', b'C', b'L', 1, ..]),
            "a linear file of version 1"
        );
        let count = u32::from_le_bytes([file[8], file[9], file[10], file[11]]) as usize;
        assert!(
            file.len() == HEADER + 2 * count,
            "a linear file holds as many code points as it says"
        );
        Self { file }
    }

    pub(super) fn character(&self, code: [u8; 4]) -> Option<char> {
        let digit =
            |byte: u8, first: u8, last: u8| (first..=last).contains(&byte).then(|| u32::from(byte - first));
        let [first, second, third, fourth] = code;
        let high = digit(first, 0x81, 0xFE)? * 10 + digit(second, 0x30, 0x39)?;
        let index = (high * 126 + digit(third, 0x81, 0xFE)?) * 10 + digit(fourth, 0x30, 0x39)?;
        match index.checked_sub(GB18030_SUPPLEMENTARY) {
            Some(above) => char::from_u32(0x1_0000 + above),
            None => point(self.file, usize::try_from(index).ok()?),
        }
    }
}

/// The code point at `index`, if the file reaches that far and has one there.
fn point(file: &[u8], index: usize) -> Option<char> {
    let at = HEADER + 2 * index;
    let cell = file.get(at..at + 2)?;
    let point = u16::from_le_bytes([cell[0], cell[1]]);
    if point == 0 {
        None
    } else {
        char::from_u32(u32::from(point))
    }
}
