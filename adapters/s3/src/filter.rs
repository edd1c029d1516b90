//! Which events a trigger wants.

use crate::Config;

/// `Err` says why not. Types, prefix and suffix are compared as S3 compares them: by case, `*` only at the end of a type,
/// prefix and suffix with the key as it stands in the event.
pub(crate) fn wanted(config: &Config, bucket: &str, name: &str, key: &str) -> Result<(), String> {
    if config.bucket.as_ref().is_some_and(|wanted| wanted != bucket) {
        return Err(format!("bucket {bucket} is not the trigger's"));
    }
    if !config.events.is_empty() && !config.events.iter().any(|pattern| matches(pattern, name)) {
        return Err(format!("event type {name} is none of the trigger's"));
    }
    let fits = config.prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix.as_str()))
        && config.suffix.as_ref().is_none_or(|suffix| key.ends_with(suffix.as_str()));
    if fits { Ok(()) } else { Err("prefix or suffix does not fit the key".to_owned()) }
}

fn matches(pattern: &str, name: &str) -> bool {
    let pattern = pattern.strip_prefix("s3:").unwrap_or(pattern);
    match pattern.strip_suffix('*') {
        Some(family) => name.starts_with(family),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        for (pattern, name, expected) in [
            ("s3:ObjectCreated:*", "ObjectCreated:Put", true),
            ("ObjectCreated:*", "ObjectCreated:CompleteMultipartUpload", true),
            ("s3:ObjectCreated:Put", "ObjectCreated:Put", true),
            ("s3:ObjectCreated:Put", "ObjectCreated:Post", false),
            ("s3:ObjectCreated:P", "ObjectCreated:Put", false),
            ("s3:objectcreated:*", "ObjectCreated:Put", false),
            ("s3:LifecycleTransition", "LifecycleTransition", true),
            ("s3:ObjectRemoved:*", "ObjectCreated:Put", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn keys_and_buckets() {
        let config = |prefix: Option<&str>, suffix: Option<&str>| Config {
            bucket: Some("b".to_owned()),
            prefix: prefix.map(str::to_owned),
            suffix: suffix.map(str::to_owned),
            ..Config::default()
        };
        let ok = |config: &Config, key: &str| wanted(config, "b", "ObjectCreated:Put", key).is_ok();
        assert!(ok(&config(None, None), "k"));
        assert!(ok(&config(Some(""), Some("")), "k"));
        assert!(ok(&config(Some("in/"), Some(".jpg")), "in/a.jpg"));
        assert!(!ok(&config(Some("in/"), Some(".jpg")), "in/a.JPG"));
        assert!(!ok(&config(Some("*"), None), "in/a.jpg"), "an asterisk is an asterisk");
        assert!(ok(&config(Some("my+dir/"), None), "my+dir/a"), "a blank is written +");
        assert!(wanted(&config(None, None), "c", "ObjectCreated:Put", "k").is_err());
    }
}
