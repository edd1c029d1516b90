//! The part of AWS a region is in.

/// `aws`, `aws-cn`, `aws-us-gov`, …: what the ARNs of all that is in a region begin with, after `arn:`.
pub fn partition(region: &str) -> &'static str {
    let mut parts = region.split('-');
    match (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) {
        ("cn", _) => "aws-cn",
        ("eusc", _) => "aws-eusc",
        (_, "gov") => "aws-us-gov",
        (_, "iso") => "aws-iso",
        (_, "isob") => "aws-iso-b",
        (_, "isoe") => "aws-iso-e",
        (_, "isof") => "aws-iso-f",
        _ => "aws",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_is_in_one() {
        for (region, expected) in [
            ("us-east-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eusc-de-east-1", "aws-eusc"),
            ("local", "aws"),
        ] {
            assert_eq!(partition(region), expected, "{region}");
        }
    }
}
