//! Promise: every manifest in `deploy/container` is whole. Its mapping is valid, it runs without privileges, says when
//! it is ready, gets time to drain, and leaves the target to Knative.

#![cfg(feature = "bridge")]
#![allow(clippy::unwrap_used)] // allow-unwrap-in-tests covers test functions, not what they call

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use yaml_serde::Value;

const SOURCES: [&str; 3] = ["sqs", "kafka", "s3"];

fn container_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/container")
}

/// The documents of one manifest.
fn documents(source: &str, manifest: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(container_dir().join(source).join(manifest)).unwrap();
    yaml_serde::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("there is a {kind}"))
}

/// Every manifest, with its pod template.
fn templates() -> Vec<(String, Vec<Value>, Value)> {
    let mut all = Vec::new();
    for source in SOURCES {
        for (manifest, kind) in
            [("containersource.yaml", "ContainerSource"), ("sinkbinding.yaml", "Deployment")]
        {
            let documents = documents(source, manifest);
            let template = of_kind(&documents, kind)["spec"]["template"].clone();
            all.push((format!("{source}/{manifest}"), documents, template));
        }
    }
    all
}

#[test]
fn the_mapping_in_every_config_map_is_valid_and_has_no_sink() {
    for (name, documents, template) in templates() {
        let config_map = of_kind(&documents, "ConfigMap");
        let mapping = config_map["data"]["mapping.yaml"].as_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mapping.yaml");
        std::fs::write(&file, mapping).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_klr")).arg("validate").arg(&file).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));

        let resource: Value = yaml_serde::from_str(mapping).unwrap();
        assert!(resource["spec"]["sink"].is_null(), "{name}: Knative says where to deliver");
        let volumes = template["spec"]["volumes"].as_sequence().unwrap();
        assert!(
            volumes.iter().any(|volume| volume["configMap"]["name"] == config_map["metadata"]["name"]),
            "{name}"
        );
    }
}

#[test]
fn every_pod_is_confined_probed_and_given_time_to_drain() {
    for (name, _, template) in templates() {
        let pod = &template["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        let [container] = pod["containers"].as_sequence().unwrap().as_slice() else {
            panic!("{name}: one container")
        };
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(security["capabilities"]["drop"][0], "ALL", "{name}");
        assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz", "{name}");
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz", "{name}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");

        let args: Vec<&str> =
            container["args"].as_sequence().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(args.contains(&"--admin=0.0.0.0:9090"), "{name}: or no probe reaches it");
        let drain =
            args.iter().find_map(|arg| arg.strip_prefix("--drain-timeout=")?.strip_suffix('s')).unwrap();
        let long_poll = 20;
        let least = drain.parse::<u64>().unwrap() + long_poll;
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > least, "{name}");
    }
}

#[test]
fn what_belongs_together_has_the_same_names() {
    for source in SOURCES {
        let documents = documents(source, "sinkbinding.yaml");
        let (deployment, binding) = (of_kind(&documents, "Deployment"), of_kind(&documents, "SinkBinding"));
        assert_eq!(binding["spec"]["subject"]["name"], deployment["metadata"]["name"], "{source}");
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        assert_eq!(deployment["spec"]["selector"]["matchLabels"], *labels, "{source}");
    }
    for (name, documents, template) in templates().into_iter().filter(|(name, ..)| name.starts_with("s3/")) {
        let service = of_kind(&documents, "Service");
        assert_eq!(service["spec"]["selector"], template["metadata"]["labels"], "{name}");
        let port = &template["spec"]["containers"][0]["ports"][0];
        assert_eq!(
            (&service["spec"]["ports"][0]["targetPort"], port["containerPort"].as_u64()),
            (&port["name"], Some(8080))
        );
    }
}

#[test]
fn the_image_is_not_root() {
    let dockerfile = std::fs::read_to_string(container_dir().join("Dockerfile")).unwrap();
    let user = dockerfile.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");
    let toolchain =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rust-toolchain.toml")).unwrap();
    let version = dockerfile.split("FROM rust:").nth(1).and_then(|rest| rest.split('-').next()).unwrap();
    assert!(toolchain.contains(&format!("\"{version}.")), "the image builds with the pinned toolchain");
}
