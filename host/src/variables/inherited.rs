//! What a function gets of the host's own environment.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
};

use super::reserved;
use crate::Inherit;

/// What a program needs that runs here: where programs and their libraries are, and whom to trust.
const NEEDED: [&str; 13] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "JAVA_HOME",
    "NODE_PATH",
    "PYTHONPATH",
    "GEM_PATH",
    "RUBYLIB",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
];
/// What the shell that started us says of itself: of the function it would be wrong.
const SHELLS: [&str; 3] = ["PWD", "OLDPWD", "SHLVL"];

pub(super) type Environment = BTreeMap<OsString, OsString>;

/// The part of `host` that is the function's too.
pub(super) fn inherited(host: impl Iterator<Item = (OsString, OsString)>, how: Inherit) -> Environment {
    let mut kept: Environment = host
        .filter(|(name, value)| match name.to_str() {
            // An empty credential is worse than none: clients take it for one.
            Some(name) if name.starts_with("AWS_") => !reserved(name) && !value.is_empty(),
            Some(name) => match how {
                Inherit::Needed => NEEDED.contains(&name) && !value.is_empty(),
                Inherit::Image => !reserved(name) && !own(name),
            },
            None => how == Inherit::Image,
        })
        .collect();
    if how == Inherit::Image {
        for service in services(&kept) {
            kept.retain(|name, _| !belongs(name, &service));
        }
    }
    kept
}

/// What configures the host: by us, by Knative, by the shell.
fn own(name: &str) -> bool {
    name == "PORT" || name.starts_with("K_") || name.starts_with("KLR_") || SHELLS.contains(&name)
}

/// The services Kubernetes tells every container of its namespace about: `X_SERVICE_HOST`, and `X_PORT` with a URL. A
/// variable of the user's that merely ends like one has no such companion.
fn services(all: &Environment) -> BTreeSet<String> {
    let names = all.keys().filter_map(|name| name.to_str()?.strip_suffix("_SERVICE_HOST"));
    let linked = |name: &&str| {
        let port = all.get(OsStr::new(&format!("{name}_PORT"))).and_then(|port| port.to_str());
        port.is_some_and(|port| ["tcp://", "udp://", "sctp://"].iter().any(|scheme| port.starts_with(scheme)))
    };
    names.filter(linked).map(str::to_owned).collect()
}

fn belongs(name: &OsStr, service: &str) -> bool {
    let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(service)) else { return false };
    rest == "_SERVICE_HOST"
        || rest == "_PORT"
        || rest.starts_with("_SERVICE_PORT")
        || rest.strip_prefix("_PORT_").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: [(&str, &str); 19] = [
        ("PATH", "/bin"),
        ("TABLE", "t"),
        ("EMPTY", ""),
        ("SSL_CERT_FILE", "/ca.pem"),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SESSION_TOKEN", ""),
        ("AWS_LAMBDA_RUNTIME_API", "elsewhere"),
        ("PORT", "8080"),
        ("PWD", "/"),
        ("_", "/usr/bin/klr-host"),
        ("K_SERVICE", "orders"),
        ("KLR_PYTHON", "/py"),
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("KUBERNETES_SERVICE_PORT_HTTPS", "443"),
        ("KUBERNETES_PORT", "tcp://10.0.0.1:443"),
        ("KUBERNETES_PORT_443_TCP_ADDR", "10.0.0.1"),
        ("DB_SERVICE_HOST", "db.example"),
        ("DB_PORT", "5432"),
        ("KUBERNETES_NAMESPACE", "mine"),
    ];

    fn names(how: Inherit) -> Vec<String> {
        let host = HOST.into_iter().map(|(name, value)| (name.into(), value.into()));
        inherited(host, how).into_keys().map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn an_images_variables_are_the_functions_and_the_hosts_own_are_not() {
        let expected = [
            "AWS_ACCESS_KEY_ID",
            "DB_PORT",
            "DB_SERVICE_HOST",
            "EMPTY",
            "KUBERNETES_NAMESPACE",
            "PATH",
            "SSL_CERT_FILE",
            "TABLE",
        ];
        assert_eq!(names(Inherit::Image), expected);
    }

    #[test]
    fn beside_another_program_it_is_only_what_is_needed() {
        assert_eq!(names(Inherit::Needed), ["AWS_ACCESS_KEY_ID", "PATH", "SSL_CERT_FILE"]);
    }
}
