//! Layers as the function sees them: at `/opt`, one over the other, or by its search paths where the machine lets nobody mount.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use common::{
    BOOTSTRAP, Extensions, LOOKING, code, executable, invoke, json, provided, python, running::Running, start,
};
use klr_host::{Inherit, Mount, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

const HANDLER: &str = r#"
import os, shelved, traceback
from looking import read, write

def handler(event, context):
    try:
        raise ValueError("as asked")
    except ValueError:
        frame = traceback.format_exc()
    return {
        "first": read("/opt/first.txt"), "second": read("/opt/second.txt"), "both": read("/opt/bin/both"),
        "shelved": shelved.__file__, "opt": os.listdir("/opt"), "writes": write("/opt/new"),
        "python path": os.environ["PYTHONPATH"].split(":"), "path": os.environ["PATH"].split(":"),
        "root": os.environ["LAMBDA_TASK_ROOT"], "cwd": os.getcwd(), "file": __file__, "frame": frame,
        "here": write("new"),
    }
"#;

/// A function and two layers that have one file in common.
struct Folders {
    code: TempDir,
    layers: [TempDir; 2],
}

impl Folders {
    fn new() -> Self {
        let made = || tempfile::tempdir().unwrap();
        let (code, layers) = (made(), [made(), made()]);
        std::fs::write(code.path().join("app.py"), HANDLER).unwrap();
        std::fs::write(code.path().join("looking.py"), LOOKING).unwrap();
        for (layer, name) in layers.iter().zip(["first", "second"]) {
            std::fs::create_dir(layer.path().join("bin")).unwrap();
            std::fs::write(layer.path().join("bin/both"), name).unwrap();
            std::fs::write(layer.path().join(format!("{name}.txt")), name).unwrap();
        }
        let modules = layers[0].path().join("python");
        std::fs::create_dir(&modules).unwrap();
        std::fs::write(modules.join("shelved.py"), "").unwrap();
        Self { code, layers }
    }

    /// What the function says it sees, and what the host logged. `None`: no Python.
    async fn seen(&self, more: &[&str], environment: &[(&str, &str)]) -> Option<(Value, String)> {
        let python = python()?;
        let text = |folder: &TempDir| folder.path().to_str().unwrap().to_owned();
        let (code, first, second) = (text(&self.code), text(&self.layers[0]), text(&self.layers[1]));
        let layers = ["--layer", &first, "--layer", &second, "--timeout", "20s"];
        let function = ["--runtime", "python3.11", "--handler", "app.handler", "--code", &code];
        let environment = [environment, &[("KLR_PYTHON", python.to_str().unwrap())]].concat();
        let mut host = Running::start(&[&layers, &function, more].concat(), &environment);
        host.accepts().await;
        let told = json(host.ask("{}").await).await;
        host.signal("-TERM");
        assert_eq!(host.ended().await.0, Some(0));
        Some((told, host.logged()))
    }

    /// Nothing of the layers is at `/opt`, and all of them is found by the search paths.
    fn lie_where_they_are(&self, told: &Value) {
        for what in ["first", "second", "both"] {
            assert_eq!(told[what], "FileNotFoundError", "{told}");
        }
        let place = |layer: usize, below: &str| self.layers[layer].path().join(below);
        assert_eq!(told["shelved"], place(0, "python/shelved.py").to_str().unwrap());
        let bins = [place(1, "bin"), place(0, "bin")].map(|bin| bin.to_str().unwrap().to_owned());
        assert!(ends_with(&told["path"], &bins) || Path::new("/opt/bin").exists(), "{told}");
    }
}

fn ends_with(paths: &Value, last: &[String]) -> bool {
    let paths: Vec<String> = serde_json::from_value(paths.clone()).unwrap();
    paths.ends_with(last)
}

/// Whether the machine lets us mount; if not, there is nothing to see.
fn mounts() -> bool {
    let works = |flags: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(flags).args(["mount", "--bind", "/tmp", "/opt"]).stderr(Stdio::null());
        unshare.status().is_ok_and(|status| status.success())
    };
    let works = works(&["-m"]) || works(&["-r", "-m"]);
    if !works {
        eprintln!("SKIP: this machine does not let us mount");
    }
    works
}

#[tokio::test]
async fn layers_are_at_opt_a_later_one_over_an_earlier() {
    let folders = Folders::new();
    let Some((told, logged)) = folders.seen(&[], &[]).await.filter(|_| mounts()) else { return };
    assert_eq!(
        (&told["first"], &told["second"], &told["both"]),
        (&json!("first"), &json!("second"), &json!("second")),
        "{logged}"
    );
    assert_eq!((&told["shelved"], &told["writes"]), (&json!("/opt/python/shelved.py"), &json!(false)));
    assert_eq!(told["python path"], json!(["/opt/python"]));
    assert!(ends_with(&told["path"], &["/opt/bin".to_owned()]), "{told}");
    assert!(!Path::new("/opt/first.txt").exists(), "nobody else sees them");
    // What the machine, or the image, has there stays in sight.
    let opt: Vec<String> = serde_json::from_value(told["opt"].clone()).unwrap();
    for own in Path::new("/opt").read_dir().unwrap() {
        let own = own.unwrap().file_name().into_string().unwrap();
        assert!(opt.contains(&own), "{own}: {told}");
    }
    // The code is where it lies: its folder is the function's to write, and to look around from.
    let code = folders.code.path().canonicalize().unwrap();
    assert_eq!((&told["root"], &told["cwd"]), (&json!(code), &json!(code)));
    assert_eq!(told["here"], true);
}

#[tokio::test]
async fn the_code_is_at_var_task_when_asked_for() {
    let folders = Folders::new();
    let seen = folders.seen(&["--mount", "all"], &[]).await;
    let Some((told, logged)) = seen.filter(|_| mounts()) else { return };
    let task = json!("/var/task");
    assert_eq!((&told["root"], &told["cwd"], &told["file"]), (&task, &task, &json!("/var/task/app.py")));
    assert!(told["frame"].as_str().unwrap().contains("File \"/var/task/app.py\", line "), "{told}");
    assert_eq!((&told["here"], &told["both"]), (&json!(false), &json!("second")), "{logged}");
}

#[tokio::test]
async fn where_nothing_is_mounted_search_paths_find_them() {
    let folders = Folders::new();
    let Some((told, logged)) = folders.seen(&["--mount", "none"], &[]).await else { return };
    folders.lie_where_they_are(&told);
    assert!(!logged.contains("/opt"), "it was asked for: {logged}");
}

#[tokio::test]
async fn a_machine_that_does_not_let_us_mount_is_told_of() {
    let folders = Folders::new();
    // Nothing to mount with is on the path, and then something that never works.
    let bin = tempfile::tempdir().unwrap();
    for why in ["install util-linux", "allows no mount namespace"] {
        let path = [("PATH", bin.path().to_str().unwrap())];
        let Some((told, logged)) = folders.seen(&["--mount", "all"], &path).await else { return };
        folders.lie_where_they_are(&told);
        assert!(logged.contains(why), "{logged}");
        assert_eq!(told["here"], true);
        for name in ["unshare", "mount"] {
            executable(&bin.path().join(name), "#!/bin/sh\nexit 1\n");
        }
    }
}

#[tokio::test]
async fn extensions_are_started_where_lambda_has_them() {
    let (code, extensions) = (code(BOOTSTRAP), Extensions::new(&[("ext", json!({}))]));
    let settings = extensions.beside(Settings { mount: Mount::Layers, ..provided(&code) });
    let first = tempfile::tempdir().unwrap();
    let layers = [vec![first.path().to_owned()], settings.layers].concat();
    let host = start(Settings { layers, inherit: Inherit::Image, ..settings }).await;
    assert_eq!(invoke(&host, "[1]").await.text().await.unwrap(), "[1]");
    let told = &extensions.saw("registered")[0]["path"];
    assert!(*told == "/opt/extensions/ext" || !mounts(), "{told}");
    host.stop(Duration::from_secs(5)).await;
}

/// Rather than what its name would be taken for.
#[tokio::test]
async fn a_layer_that_no_overlay_can_have_is_told_of() {
    let mut folders = Folders::new();
    folders.layers[0] = {
        let odd = tempfile::Builder::new().prefix("odd,name").tempdir().unwrap();
        let copied =
            Command::new("cp").arg("-R").arg(folders.layers[0].path().join(".")).arg(odd.path()).status();
        assert!(copied.unwrap().success());
        odd
    };
    let Some((told, logged)) = folders.seen(&[], &[]).await.filter(|_| mounts()) else { return };
    folders.lie_where_they_are(&told);
    assert!(logged.contains("odd,name"), "{logged}");
}

/// On Lambda there is nothing. A host that is a function image's entry point leaves what the image has there.
#[tokio::test]
async fn without_layers_nothing_is_at_opt() {
    let Some(python) = python().filter(|_| mounts()) else { return };
    if Path::new("/opt").read_dir().unwrap().next().is_none() {
        return eprintln!("SKIP: this machine has nothing there either");
    }
    let code = tempfile::tempdir().unwrap();
    std::fs::write(code.path().join("looking.py"), LOOKING).unwrap();
    let handler = "import os, looking\n\ndef handler(event, context):\n    \
                   return [os.listdir('/opt'), looking.write('/opt/new'), __file__]\n";
    std::fs::write(code.path().join("app.py"), handler).unwrap();
    let command = [python.to_str().unwrap(), "-m", "awslambdaric", "app.handler"].map(str::to_owned).to_vec();
    let settings = Settings { command, mount: Mount::All, ..provided(&code) };
    for inherit in [Inherit::Needed, Inherit::Image] {
        let host = start(Settings { inherit, ..settings.clone() }).await;
        let seen = json(invoke(&host, "{}").await).await;
        assert_eq!((&seen[1], &seen[2]), (&json!(false), &json!("/var/task/app.py")), "{inherit:?}: {seen}");
        assert_eq!(seen[0] == json!([]), inherit == Inherit::Needed, "{inherit:?}: {seen}");
        host.stop(Duration::from_secs(5)).await;
    }
}
