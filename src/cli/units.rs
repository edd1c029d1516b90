//! Units as people write them.

use std::time::Duration;

/// `25s`, `500ms`, `2m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration =
        text.parse().map_err(|_| format!("expected a time with its unit, as in 25s or 2m, got {text:?}"))?;
    Duration::try_from(signed).map_err(|_| format!("expected a time that is not negative, got {text:?}"))
}

/// `256MiB`, `1GiB`, `64MB`, `1048576`.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale: usize = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("expected bytes with a unit such as MiB or GB, got {text:?}")),
    };
    let number: usize =
        number.parse().map_err(|_| format!("expected a number of bytes, as in 256MiB, got {text:?}"))?;
    number.checked_mul(scale).filter(|bytes| *bytes > 0).ok_or_else(|| format!("{text:?} is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(duration("25s"), Ok(Duration::from_secs(25)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("25").is_err() && duration("-1s").is_err());
        assert_eq!(bytes("256MiB"), Ok(256 << 20));
        assert_eq!(bytes("64"), Ok(64));
        assert!(bytes("0").is_err() && bytes("5 apples").is_err() && bytes("MiB").is_err());
    }
}
