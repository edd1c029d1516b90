//! What every resource has: version, kind, metadata.

use uuid::Uuid;

use super::document::Document;
use super::node::{Fields, Node, Report, nearest};
use super::problem::Problem;
use super::{Function, Mapping, Notification, function, mapping, name, not_yet, notification};

const VERSION: &str = "klr.dev/v1alpha1";

/// One resource of any kind.
#[derive(Debug)]
pub(super) enum Resource {
    Mapping(Box<Mapping>),
    Notification(Box<Notification>),
    Function(Box<Function>),
}

/// Who a resource is.
#[derive(Debug)]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uuid: Uuid,
}

/// The resource a document holds, or what is wrong with it.
pub(super) fn read(document: &Document) -> (Option<Resource>, Vec<Problem>) {
    let report = Report::new(document);
    for path in document.lines.twice() {
        report.wrong(path, "is there twice; keep one");
    }
    let resource = read_root(&report.root());
    (resource, report.into_problems())
}

fn read_root(root: &Node) -> Option<Resource> {
    // `status` is there in what `kubectl get -o yaml` prints.
    let fields = root.fields(&["apiVersion", "kind", "metadata", "spec", "status"])?;
    if let Some(version) = fields.required("apiVersion")
        && version.text().is_some_and(|text| text != VERSION)
    {
        version.wrong(format!("must be {VERSION}"));
    }
    let kind = kind(&fields)?;
    let meta = meta(&fields, kind);
    let spec = fields.required("spec")?;
    // Without a name the rest is still worth reading: for its problems.
    let nameless = Meta { name: String::new(), namespace: String::new(), uuid: Uuid::nil() };
    let known = meta.as_ref().unwrap_or(&nameless);
    let resource = match kind {
        "EventSourceMapping" => {
            mapping::read(known, &spec).map(|mapping| Resource::Mapping(Box::new(mapping)))
        }
        "BucketNotification" => {
            notification::read(known, &spec).map(|it| Resource::Notification(Box::new(it)))
        }
        _ => function::read(known, &spec).map(|function| Resource::Function(Box::new(function))),
    };
    meta.and(resource)
}

fn kind(fields: &Fields) -> Option<&'static str> {
    const KINDS: [&str; 3] = ["EventSourceMapping", "BucketNotification", "Function"];
    let node = fields.required("kind")?;
    let text = node.text()?;
    if let Some(kind) = KINDS.into_iter().find(|kind| *kind == text) {
        return Some(kind);
    }
    if not_yet::KINDS.contains(&text) {
        return node.refuse(not_yet::cannot(
            &format!("run the kind {text}"),
            &format!("it runs {}", super::node::or(&KINDS)),
        ));
    }
    match nearest(text, &KINDS) {
        Some(near) => node.refuse(format!("unknown kind, did you mean {near}?")),
        None => node.refuse(format!("must be {}", super::node::or(&KINDS))),
    }
}

fn meta(fields: &Fields, kind: &str) -> Option<Meta> {
    let metadata = fields.required("metadata")?.fields(&[
        "annotations",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    ])?;
    for (_, text) in
        ["annotations", "labels"].into_iter().filter_map(|field| metadata.get(field)?.entries()).flatten()
    {
        text.text();
    }
    let named = |node: &Node| match node.text()? {
        text if name::is_resource_name(text) => Some(text.to_owned()),
        _ => node.refuse(
            "must be lower-case letters, digits, - and ., beginning and ending with a letter or digit",
        ),
    };
    let namespace = metadata.get("namespace").map_or(Some("default".to_owned()), |node| named(&node));
    let uid = metadata.get("uid").map(|node| match node.text()?.parse() {
        Ok(uid) => Some(uid),
        Err(_) => node.refuse("must be a UUID"),
    });
    let name = named(&metadata.required("name")?)?;
    let namespace = namespace?;
    let path = format!("https://klr.dev/{}/{namespace}/{name}", kind.to_lowercase());
    let uuid = uid.unwrap_or_else(|| Some(Uuid::new_v5(&Uuid::NAMESPACE_URL, path.as_bytes())))?;
    Some(Meta { name, namespace, uuid })
}
