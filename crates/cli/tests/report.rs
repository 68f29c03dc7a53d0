//! The report: one file that loads nothing, says what the log says, and shows in a real browser.
#![expect(clippy::unwrap_used, reason = "helpers of the tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn calybris(folder: &Path, arguments: &[&str]) -> i32 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calybris"));
    command.current_dir(folder).args(arguments).output().unwrap().status.code().unwrap()
}

/// A report over a log whose tenant tries to be markup.
fn report(folder: &Path) -> String {
    let requests = fs::read_to_string(data("requests.jsonl")).unwrap();
    let requests = requests.replace("\"acme\"", "\"<script>document.title='x'</script>\"");
    fs::write(folder.join("requests"), requests).unwrap();
    let policy = data("policy.json");
    assert_eq!(calybris(folder, &["decide", "--policy", &policy, "requests", "--log", "log"]), 0);
    assert_eq!(calybris(folder, &["report", "log", "--policy", &policy]), 0);
    fs::read_to_string(folder.join("report.html")).unwrap()
}

#[test]
fn the_page_is_self_contained_and_escapes_what_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let page = report(folder.path());
    assert!(page.contains("✓ Verified") && page.contains("60 decisions follow from their policy"));
    assert!(page.contains("&lt;script&gt;document") && !page.contains("<script"));
    for loads in ["http://", "https://", "src=", "<link", "@import", "url("] {
        assert!(!page.contains(loads), "the page loads something: {loads}");
    }
    let text = fs::read_to_string(folder.path().join("log")).unwrap();
    fs::write(folder.path().join("log"), text.replacen("initech", "initecx", 1)).unwrap();
    assert_eq!(calybris(folder.path(), &["report", "log", "--policy", &data("policy.json")]), 1);
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("✕ Tampered") && page.contains("The chain does not hold"));
}

#[test]
fn a_headless_browser_draws_every_chart() {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
    else {
        // Loudly: a test that is skipped must not look like one that passed.
        eprintln!(
            "SKIPPED a_headless_browser_draws_every_chart: no chromium or chrome is installed"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = report(folder.path());
    let dom = dumped(browser, folder.path(), "report.html");
    assert_eq!(dom.matches("role=\"img\"").count(), 9, "charts in the parsed page");
    assert!(dom.contains("<title>Decision log log</title>"), "no markup of a tenant ran");

    // On paper nothing scrolls: the layout of print, as wide as a narrow sheet, has no table that is cut off.
    let printed = page
        .replace("@media print", "@media all")
        .replace("Content-Security-Policy", "x")
        .replace("</body>", &format!("{CUT_OFF}</body>"));
    fs::write(folder.path().join("printed.html"), printed).unwrap();
    let dom = dumped(browser, folder.path(), "printed.html");
    assert!(dom.contains("<title>cut off: 0 of 1</title>"), "{}", &dom[..300]);
}

/// Counts the tables that are wider than their place.
const CUT_OFF: &str = "<script>
    const all = [...document.querySelectorAll('.scroll')];
    const cut = all.filter(one => one.scrollWidth > one.clientWidth);
    document.title = `cut off: ${cut.length} of ${all.length}`;
</script>";

/// A page of the folder as a browser reads it, in a window as wide as a sheet of A4 within its margins.
fn dumped(browser: &str, folder: &Path, page: &str) -> String {
    let page = format!("file://{}", folder.join(page).display());
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=717,1000"];
    let output = Command::new(browser)
        .args(arguments)
        .args([&profile, "--dump-dom", &page])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
