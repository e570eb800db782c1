//! The replica id under which the change stream registers when the operator gives none.

/// Where a stream's choice of replica ids begins, and the name by which its migration is known
/// among the replicas of the source. The same at every start, and another for each host, source
/// (`host:port/schema`) and target: a rehearsal into another target is another replica.
pub(crate) fn default_server_id(source: &str, target: &str) -> (u32, String) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let text = format!("{host}/{source}/{target}");
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let number = u32::try_from(hash & 0xffff_ffff).expect("it has 32 bits");
    (number, format!("spanferry-{hash:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_target_is_another_replica() {
        let shop = "h:3306/shop";
        let real = default_server_id(shop, "projects/p/instances/i/databases/real");
        assert_eq!(
            real,
            default_server_id(shop, "projects/p/instances/i/databases/real")
        );
        for (source, target) in [
            (shop, "projects/p/instances/i/databases/rehearsal"),
            ("h:3306/other", "projects/p/instances/i/databases/real"),
            ("h:3307/shop", "projects/p/instances/i/databases/real"),
        ] {
            let (number, name) = default_server_id(source, target);
            assert!(number != real.0 && name != real.1, "{target}");
        }
    }
}
