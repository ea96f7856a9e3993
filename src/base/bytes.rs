//! Bytes as people and other programs write them.

use sha2::{Digest, Sha256};

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of bytes in hexadecimal.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// A number of bytes for people, in decimal units as disks and downloads are counted. The page has the same rule, in
/// `www/base/text.js`: what it shows is not where the engine runs.
pub fn size(bytes: u64) -> String {
    match bytes as f64 / 1e6 {
        megabytes if megabytes < 1.0 => format!("{} kB", bytes.div_ceil(1000)),
        megabytes if megabytes < 9.95 => format!("{megabytes:.1} MB"),
        megabytes if megabytes < 999.5 => format!("{megabytes:.0} MB"),
        megabytes => format!("{:.2} GB", megabytes / 1000.0),
    }
}

/// Bytes in megabytes of 2^20, in which programs are told what was measured.
#[cfg(feature = "native")]
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// As [`size`], for what was measured in megabytes, if it was.
#[cfg(feature = "native")]
pub fn measured(megabytes: Option<f64>) -> String {
    megabytes.map_or_else(|| "unknown".to_owned(), |megabytes| size((megabytes * 1e6) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_figures_at_most_below_a_terabyte() {
        let sizes = [0, 1, 999_999, 1_000_000, 1_640_000, 9_960_000, 11_300_000, 999_600_000, 4_265_000_000].map(size);
        assert_eq!((measured(None).as_str(), measured(Some(215.3)).as_str()), ("unknown", "215 MB"));
        assert_eq!(sizes, ["0 kB", "1 kB", "1000 kB", "1.0 MB", "1.6 MB", "10 MB", "11 MB", "1.00 GB", "4.26 GB"]);
    }

    #[test]
    fn hashes_are_those_of_other_programs() {
        // `printf abc | sha256sum`
        assert!(sha256("abc").starts_with("ba7816bf8f01cfea"));
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
    }
}
