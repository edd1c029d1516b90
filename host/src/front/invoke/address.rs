//! Whom a call means: the function's name as the path has it, and the qualifier.

use http::HeaderValue;
use percent_encoding::percent_decode_str;

use super::exception::Exception;
use crate::function::Function;

/// What local emulators call the only function there is; their users' scripts have it in the path.
const EMULATORS_NAME: &str = "function";
const LONGEST_NAME: usize = 256;

/// The ARN a call means, with the qualifier it has, in the path or the query; an error if it is another function's.
///
/// Any qualifier means the one version there is.
pub(super) fn arn(function: &Function, path: &str, query: Option<&str>) -> Result<HeaderValue, Exception> {
    let ours = function.plan.variables.arn();
    let path = decoded(path);
    if path.len() > LONGEST_NAME {
        return Err(Exception::parameter(format!(
            "FunctionName: expected at most {LONGEST_NAME} characters, got {}",
            path.len()
        )));
    }
    let (name, named) = split(&path);
    if name != Some(&function.settings.name) && name != Some(EMULATORS_NAME) {
        return Err(Exception::not_found(format!("Function not found: {path}; this is {ours}")));
    }
    let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("Qualifier="));
    let asked = asked.filter(|asked| !asked.is_empty()).map(decoded);
    let qualifier = match (named, asked) {
        (Some(named), Some(asked)) if named != asked => {
            return Err(Exception::parameter(
                "The derived qualifier from the function name does not match the specified qualifier.",
            ));
        }
        (named, asked) => named.map(str::to_owned).or(asked),
    };
    let Some(qualifier) = qualifier else { return Ok(function.arn.clone()) };
    let proper = |c: char| c.is_ascii_alphanumeric() || matches!(c, '$' | '-' | '_');
    if !qualifier.chars().all(proper) || qualifier.len() > 128 {
        return Err(Exception::parameter("Qualifier: expected a version or an alias"));
    }
    Ok(HeaderValue::from_str(&format!("{ours}:{qualifier}")).expect("it was just looked at"))
}

/// Name and qualifier of `name`, `account:function:name` or an ARN, each with or without `:qualifier`.
fn split(path: &str) -> (Option<&str>, Option<&str>) {
    let rest = match path.split_once(":function:") {
        Some((before, rest)) => {
            let account = !before.is_empty() && !before.contains(':');
            let arn = before.strip_prefix("arn:").and_then(|arn| arn.split_once(":lambda:"));
            if !account && arn.is_none_or(|(_, place)| place.split(':').count() != 2) {
                return (None, None);
            }
            rest
        }
        None => path,
    };
    match rest.split_once(':') {
        Some((_, qualifier)) if qualifier.contains(':') => (None, None),
        Some((name, qualifier)) => (Some(name), Some(qualifier)),
        None => (Some(rest), None),
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_name_is_taken_apart() {
        for (path, name, qualifier) in [
            ("orders", Some("orders"), None),
            ("orders:live", Some("orders"), Some("live")),
            ("123456789012:function:orders", Some("orders"), None),
            ("123456789012:function:orders:3", Some("orders"), Some("3")),
            ("arn:aws:lambda:eu-west-1:123456789012:function:orders", Some("orders"), None),
            ("arn:aws-cn:lambda:cn-north-1:1:function:orders:$LATEST", Some("orders"), Some("$LATEST")),
            ("arn:aws:s3:eu-west-1:1:function:orders", None, None),
            ("arn:aws:lambda:1:function:orders", None, None),
            ("orders:a:b", None, None),
        ] {
            assert_eq!(split(path), (name, qualifier), "{path}");
        }
    }
}
