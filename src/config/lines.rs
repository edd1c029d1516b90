//! Which line a field stands on. The YAML crate that reads values forgets lines, so the text is walked a second time.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, Span};

/// From the dotted path of a field to its line, for one document.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    first: usize,
    by_path: HashMap<String, usize>,
    /// Fields that are there twice. YAML refuses them; JSON would take the last in silence.
    twice: Vec<String>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { first: 1, by_path: HashMap::new(), twice: Vec::new() }
    }
}

impl Lines {
    /// One for each YAML document in `text`. Text that does not parse yields what was seen before the error.
    pub(super) fn of_yaml(text: &str) -> Vec<Self> {
        let mut documents = Vec::new();
        let mut events = Parser::new_from_str(text).map_while(Result::ok);
        while let Some((event, span)) = events.next() {
            if let Event::DocumentStart(_) = event {
                let mut lines = Self { first: span.start.line(), ..Self::default() };
                if let Some((event, span)) = events.next() {
                    // The line of what is in the document, not of its `---`.
                    lines.first = span.start.line();
                    lines.walk(&event, &span, "", &mut events);
                }
                documents.push(lines);
            }
        }
        documents
    }

    /// For one JSON value that begins on line `first` of its file.
    pub(super) fn of_json(text: &str, first: usize) -> Self {
        let lines = Self::of_yaml(&as_yaml(text)).pop();
        let mut lines = lines.unwrap_or_default();
        lines.first += first - 1;
        for line in lines.by_path.values_mut() {
            *line += first - 1;
        }
        lines
    }

    /// The line of `path`, or of the nearest thing around it that is there.
    pub(super) fn line(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.by_path.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.first,
            }
        }
    }

    /// The paths of fields that are there twice; their line is the last one's.
    pub(super) fn twice(&self) -> &[String] {
        &self.twice
    }

    fn walk<'t>(
        &mut self,
        event: &Event<'t>,
        span: &Span,
        path: &str,
        rest: &mut impl Iterator<Item = (Event<'t>, Span)>,
    ) {
        self.by_path.entry(path.to_owned()).or_insert(span.start.line());
        match event {
            Event::MappingStart(..) => {
                while let Some((key, span)) = rest.next() {
                    let key = match key {
                        Event::MappingEnd => return,
                        Event::Scalar(text, ..) => text.into_owned(),
                        // A key that is no text is refused elsewhere; its value must be walked over all the same.
                        other => {
                            self.walk(&other, &span, &join(path, "?"), rest);
                            "?".to_owned()
                        }
                    };
                    let path = join(path, &key);
                    if self.by_path.insert(path.clone(), span.start.line()).is_some() {
                        self.twice.push(path.clone());
                    }
                    let Some((value, span)) = rest.next() else {
                        return;
                    };
                    self.walk(&value, &span, &path, rest);
                }
            }
            Event::SequenceStart(..) => {
                let mut index = 0;
                while let Some((item, span)) = rest.next() {
                    if matches!(item, Event::SequenceEnd) {
                        return;
                    }
                    self.walk(&item, &span, &format!("{path}[{index}]"), rest);
                    index += 1;
                }
            }
            _ => {}
        }
    }
}

/// The path of a member.
pub(super) fn join(path: &str, member: &str) -> String {
    if path.is_empty() { member.to_owned() } else { format!("{path}.{member}") }
}

/// JSON as a YAML scanner takes it, with every line where it was: escaped surrogates and tabs are JSON only.
fn as_yaml(text: &str) -> String {
    let mut yaml = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\t' => yaml.push(' '),
            '\\' => match chars.next() {
                Some('u') => {
                    let code: String = chars.by_ref().take(4).collect();
                    let surrogate =
                        matches!(code.as_bytes(), [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..]);
                    yaml.push_str("\\u");
                    yaml.push_str(if surrogate { "fffd" } else { &code });
                }
                Some(escaped) => yaml.extend(['\\', escaped]),
                None => yaml.push('\\'),
            },
            c => yaml.push(c),
        }
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_has_its_own_lines() {
        let text =
            "# first\nkind: A\nspec:\n  topics:\n  - x\n  - y: {z: 1,\n        w: 2}\n---\n\nkind: B\n";
        let documents = Lines::of_yaml(text);
        let lines = &documents[0];
        let seen = ["kind", "spec", "spec.topics", "spec.topics[0]", "spec.topics[1].y.w"]
            .map(|path| lines.line(path));
        assert_eq!(seen, [2, 3, 4, 5, 7]);
        assert_eq!(lines.line("spec.topics[7].unheard.of"), 4, "the nearest around it");
        assert_eq!(lines.line("metadata.name"), 2, "the document");
        assert_eq!((documents.len(), documents[1].line("kind"), documents[1].line("")), (2, 10, 10));
    }

    #[test]
    fn json_that_is_no_yaml_keeps_its_lines() {
        let text = "{\n\t\"a\": \"\\ud83d\\ude00 \\\\ud83d\",\n\t\"b\":[1,\n{\"c\":2}]}";
        let lines = Lines::of_json(text, 10);
        assert_eq!(["a", "b", "b[1].c"].map(|path| lines.line(path)), [11, 12, 13]);
    }
}
