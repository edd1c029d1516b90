//! A disk that is full, and then has room again: a real one, of four megabytes, mounted for one process.

use std::{fs, process::Command};

use klr_test_support::servers::unavailable;

use super::*;
use crate::lambda_api::{Identity, Settings, concurrency};

const PLACE: &str = "KLR_TEST_SMALL_DISK";

#[test]
fn a_full_disk_is_an_error_of_awss_and_nothing_is_half_made() {
    let directory = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=4m tmpfs \"$0\" || exit 77; exec \"$@\"";
    let test = "lambda_api::function::tests::full::on_a_small_disk";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", mount])
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(PLACE, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || said.contains("unshare failed") {
        return unavailable("a small disk", &said);
    }
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
}

/// Where the place is told, and is a disk of four megabytes.
#[tokio::test]
async fn on_a_small_disk() {
    let Ok(directory) = std::env::var(PLACE) else { return };
    let settings = Settings {
        identity: Identity { account: "000000000000".to_owned(), region: "us-east-1".to_owned() },
        directory: directory.clone().into(),
        settle: Duration::ZERO,
        limits: concurrency::Limits::default(),
        urls: Default::default(),
    };
    let api = Api::open(settings.clone(), None).await.unwrap();
    create(&api, "before", json!({})).await;
    let filler = format!("{directory}/filler");
    fs::write(&filler, vec![0; 8 << 20]).unwrap_err();
    let other = json!({ "Code": { "ZipFile": zip("another") } });
    let (status, message) = refused(&api, "POST", FUNCTIONS, request("during", other.clone())).await;
    assert_eq!((status, message.as_str()), (400, "Code storage limit exceeded."));
    assert_eq!(fs::read_dir(api.code.directory()).unwrap().count(), 1, "nothing is half-written");
    // Sooner or later there is no room for what is changed, either.
    let mut refusal = None;
    for number in 0..500 {
        let variables = json!({ "FILLER": "x".repeat(4000) });
        let change = json!({ "Description": number.to_string(), "Environment": { "Variables": variables } });
        for (method, path, body) in [("PUT", "configuration", change), ("POST", "versions", json!({}))] {
            let (status, answer) = send(&api, method, &format!("{FUNCTIONS}/before/{path}"), body).await;
            if !status.is_success() {
                refusal = Some((status.as_u16(), answer["Type"].clone()));
            }
        }
        if refusal.is_some() {
            break;
        }
    }
    assert_eq!(refusal, Some((500, json!("Service"))));
    let listed = get(&api, &format!("{FUNCTIONS}/before/versions")).await;
    fs::remove_file(&filler).unwrap();
    create(&api, "after", other).await;
    drop(api);
    let api = Api::open(settings, None).await.unwrap();
    assert_eq!(
        get(&api, &format!("{FUNCTIONS}/before/versions")).await,
        listed,
        "what was answered is what is kept"
    );
    get(&api, &format!("{FUNCTIONS}/after")).await;
    assert_eq!(refused(&api, "GET", &format!("{FUNCTIONS}/during"), Value::Null).await.0, 404);
}
