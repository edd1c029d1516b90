//! Links to code that nobody can guess, good for a while.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use uuid::Uuid;

use crate::hex::hex;

/// As long as AWS's.
const SECONDS: i64 = 600;

/// Makes links and knows them again; a restart makes all of them bad.
#[derive(Debug)]
pub(in super::super) struct Links {
    key: [u8; 32],
}

impl Links {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        key[..16].copy_from_slice(Uuid::new_v4().as_bytes());
        key[16..].copy_from_slice(Uuid::new_v4().as_bytes());
        Self { key }
    }

    /// The link's end, from the file's name on.
    pub(in super::super) fn make(&self, file: &str, now: Timestamp) -> String {
        let until = (now.as_second() + SECONDS).to_string();
        let signature = hex(&self.mac(file, &until).finalize().into_bytes());
        format!("{file}?X-Amz-Expires={until}&X-Amz-Signature={signature}")
    }

    /// Whether we made it, and not too long ago.
    pub(super) fn allow(&self, file: &str, until: &str, signature: &str, now: Timestamp) -> bool {
        let due = until.parse().is_ok_and(|until: i64| now.as_second() <= until);
        let Some(signature) = bytes(signature) else { return false };
        due && self.mac(file, until).verify_slice(&signature).is_ok()
    }

    fn mac(&self, file: &str, until: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any length of key will do");
        mac.update(file.as_bytes());
        mac.update(b"\n");
        mac.update(until.as_bytes());
        mac
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<_>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap_or_default()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_its_file_and_its_time() {
        let links = Links::new();
        let now: Timestamp = "2026-11-23T03:00:00Z".parse().unwrap();
        let link = links.make("ab.zip", now);
        let (file, query) = link.split_once('?').unwrap();
        let (until, signature) = query.split_once('&').unwrap();
        let until = until.strip_prefix("X-Amz-Expires=").unwrap();
        let signature = signature.strip_prefix("X-Amz-Signature=").unwrap();
        assert!(links.allow(file, until, signature, now));
        let later = now + jiff::SignedDuration::from_secs(601);
        assert!(!links.allow(file, until, signature, later));
        assert!(!links.allow("cd.zip", until, signature, now));
        assert!(!links.allow(file, "9999999999", signature, now));
        assert!(!links.allow(file, until, "", now));
        assert!(!Links::new().allow(file, until, signature, now));
    }
}
