//! A folder with a policy, requests and a log, and the command to run in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub(crate) const VERIFIED: i32 = 0;
pub(crate) const TAMPERED: i32 = 1;
pub(crate) const USAGE: i32 = 2;
pub(crate) const INCOMPLETE: i32 = 3;
pub(crate) const CANNOT_TELL: i32 = 4;

/// 64 hexadecimal digits.
pub(crate) const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A folder that is gone when the test is over.
pub(crate) struct Folder(tempfile::TempDir);

/// What a run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Folder {
    /// With `policy.json` and `requests.jsonl`.
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("policy.json", include_str!("data/policy.json"));
        folder.write("requests.jsonl", include_str!("data/requests.jsonl"));
        folder
    }

    /// And the log of deciding them.
    pub(crate) fn with_log() -> Self {
        let folder = Self::new();
        folder.run(&["decide", "--policy", "policy.json", "requests.jsonl", "--log", "log"]).ok();
        folder
    }

    /// And a keyed log, whose key is in `key`.
    pub(crate) fn with_keyed_log() -> Self {
        let folder = Self::new();
        folder.write("key", KEY);
        let arguments = ["--log", "log", "--key-file", "key"];
        let decide = ["decide", "--policy", "policy.json", "requests.jsonl"];
        folder.run(&[&decide[..], &arguments[..]].concat()).ok();
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).unwrap();
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, name: &str) {
        let _ = std::fs::remove_file(self.path(name));
    }

    /// Replaces text in a file; it must be there.
    pub(crate) fn replace(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{from} is not in {name}");
        self.write(name, text.replacen(from, to, 1));
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    /// With variables in the environment.
    pub(crate) fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        Ran::of(
            &command(self.0.path(), arguments).envs(environment.iter().copied()).output().unwrap(),
        )
    }

    /// With text on standard input.
    pub(crate) fn run_on(&self, arguments: &[&str], input: &str) -> Ran {
        use std::io::Write as _;

        let mut command = command(self.0.path(), arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::of(&child.wait_with_output().unwrap())
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calybris"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command.env_remove("CALYBRIS_KEY").env_remove("CALYBRIS_SIGNING_KEY");
    command
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let code = output.status.code().expect("it ended by itself");
        Self { code, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// It ended with 0.
    pub(crate) fn ok(self) -> Self {
        self.ends(VERIFIED)
    }

    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Something it printed.
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text) || self.err.contains(text), "no {text:?} in {self:?}");
        self
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
