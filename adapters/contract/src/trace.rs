/// The W3C trace context a record came with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Trace {
    /// `traceparent`.
    pub parent: String,
    /// `tracestate`.
    pub state: Option<String>,
}

impl Trace {
    /// From the two headers OpenTelemetry writes. Anything but a valid `traceparent` begins no trace, as W3C has it.
    pub fn w3c(parent: &[u8], state: Option<&[u8]>) -> Option<Box<Self>> {
        let parent = std::str::from_utf8(parent).ok()?;
        let [version, trace, span, flags] =
            <[&str; 4]>::try_from(parent.splitn(4, '-').collect::<Vec<_>>()).ok()?;
        // A later version may have more fields; what it says in the first four stays.
        let flags = flags.split_once('-').filter(|_| version != "00").map_or(flags, |(flags, _)| flags);
        let ids =
            is_hex(version, 2) && version != "ff" && is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2);
        let printable = |state: &&str| !state.is_empty() && state.bytes().all(|b| (b' '..=b'~').contains(&b));
        let state = state.and_then(|state| std::str::from_utf8(state).ok()).filter(printable);
        ids.then(|| Box::new(Self { parent: parent.to_owned(), state: state.map(str::to_owned) }))
    }

    /// From X-Ray's header: `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`.
    pub fn xray(header: &str) -> Option<Box<Self>> {
        let field = |name| {
            let fields = header.split(';').filter_map(|field| field.trim().split_once('='));
            fields.into_iter().find_map(|(key, value)| (key == name).then_some(value))
        };
        let (epoch, unique) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
        let sampled = u8::from(field("Sampled") == Some("1"));
        let parent = format!("00-{epoch}{unique}-{}-{sampled:02x}", field("Parent")?);
        Self::w3c(parent.as_bytes(), None)
    }
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// W3C: an id of zeros is invalid.
fn is_id(text: &str, len: usize) -> bool {
    is_hex(text, len) && text.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn only_a_valid_traceparent_is_a_trace() {
        assert_eq!(Trace::w3c(PARENT.as_bytes(), Some(b"a=1")).unwrap().state.as_deref(), Some("a=1"));
        assert!(Trace::w3c(b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", None).is_some());
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert!(Trace::w3c(wrong.as_bytes(), None).is_none(), "{wrong}");
        }
        assert_eq!(Trace::w3c(PARENT.as_bytes(), Some(b"a=\n")).unwrap().state, None);
    }

    #[test]
    fn x_rays_header_says_the_same() {
        let trace = Trace::xray("Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1");
        assert_eq!(trace.unwrap().parent, PARENT);
        assert!(Trace::xray("Root=1-0af76519-16cd43dd8448eb211c80319c").is_none());
        assert!(Trace::xray("Parent=b7ad6b7169203331").is_none());
    }
}
