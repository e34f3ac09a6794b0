//! A package whose `build.rs` polls a task of the stand-in and compiles its progress in.

use std::path::Path;
use std::process::Command;

use pan123_offline::testing::Service;
use pan123_offline::{Progress, Status};

#[test]
#[ignore = "builds a package of its own, which takes a minute"]
fn a_build_script_polls_a_task() {
    let service = Service::start().unwrap();
    service.task(403316, [Progress::new(Status::Succeeded, 100)]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixture = root.join("tests/fixtures/build-script");
    // Nothing is downloaded: the fixture's dependencies are dependencies of this package as well.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let copy = folder.join("build-script");
    let _ = std::fs::remove_dir_all(&copy);
    std::fs::create_dir_all(copy.join("src")).unwrap();
    for file in ["build.rs", "src/main.rs"] {
        std::fs::copy(fixture.join(file), copy.join(file)).unwrap();
    }
    // A backslash would begin an escape sequence in TOML.
    let root_in_toml = root.to_str().unwrap().replace('\\', "/");
    let manifest = std::fs::read_to_string(fixture.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace("../../..", &root_in_toml);
    std::fs::write(copy.join("Cargo.toml"), manifest).unwrap();
    std::fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock")).unwrap();

    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline"])
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", folder.join("build-script-target"))
        .env("PAN123_ACCESS_TOKEN", "token")
        .env("PAN123_BASE_URL", service.base_url())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "100\n");
    assert_eq!(service.request_count(), 1);
}
