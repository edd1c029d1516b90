//! Object keys as S3 writes them into events: form-encoded, `/` kept.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands for itself. The blank is among them until it becomes `+`.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b'/').remove(b' ');

/// A key as it is, encoded.
pub(crate) fn encode(key: &str) -> String {
    utf8_percent_encode(key, ENCODED).to_string().replace(' ', "+")
}

/// A key some sender has encoded, with the two differences undone that AWS's encoding never has: MinIO and moto encode
/// `/`, LocalStack writes a blank as `%20`. The rest is left as it came.
pub(crate) fn normalize(key: &str) -> String {
    key.replace("%2F", "/").replace("%2f", "/").replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_like_a_form() {
        let cases = [
            ("plain-key_1.txt", "plain-key_1.txt"),
            ("a b/c+d@e", "a+b/c%2Bd%40e"),
            ("100%", "100%25"),
            ("é/中", "%C3%A9/%E4%B8%AD"),
            ("quote\"'()!~:=&?#", "quote%22%27%28%29%21%7E%3A%3D%26%3F%23"),
        ];
        for (key, encoded) in cases {
            assert_eq!(encode(key), encoded);
            assert_eq!(normalize(encoded), encoded, "what AWS writes stays");
        }
    }

    #[test]
    fn undoes_what_aws_never_writes() {
        assert_eq!(normalize("in%2Fa%20b%2fc%2Bd+e%252F"), "in/a+b/c%2Bd+e%252F");
    }
}
