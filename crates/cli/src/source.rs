//! The replica id under which the change stream registers when the operator gives none.

use spanferry_mysql::Options;

/// An id that is the same at every start and unlikely to be taken: from this host, the source and its schema.
pub(crate) fn default_server_id(options: &Options) -> u32 {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let text = format!("{host}/{}:{}/{}", options.host, options.port, options.schema);
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    // Far above the small numbers that people give.
    hash | 0x4000_0000
}
