//! Documents: what is read is what was written, and every fault names its place.

use super::*;
use crate::builder::{ModelBuilder, PolicyBuilder};
use crate::config::EngineConfig;

fn document() -> PolicyDocument {
    let models = [ModelBuilder::new(9, 1).cost(2_500_000, 10_000_000), ModelBuilder::new(4, 2)];
    let policy = PolicyBuilder::new(EngineConfig::new())
        .epochs(3, 8)
        .models(models.map(ModelBuilder::build))
        .build()
        .unwrap();
    let mut document =
        PolicyDocument::new(&policy, |id| (id == 9).then(|| "claude-sonnet".to_owned()));
    document.description = Some("support desk".to_owned());
    document.currency = Some("USD".to_owned());
    document
}

fn error_of(json: &str) -> String {
    let document = PolicyDocument::from_json(json);
    document.and_then(|document| document.snapshot()).unwrap_err().to_string()
}

#[test]
fn what_is_saved_is_what_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    document().save(&path).unwrap();
    let (loaded, policy) = PolicyDocument::load(&path).unwrap();
    assert_eq!(loaded, document());
    assert_eq!(policy.digest(), document().snapshot().unwrap().digest());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn names_description_and_currency_are_in_no_digest() {
    let mut bare = document();
    bare.description = None;
    bare.currency = None;
    for model in &mut bare.models {
        model.name = None;
    }
    assert_eq!(bare.snapshot().unwrap().digest(), document().snapshot().unwrap().digest());
    let json = bare.to_json().unwrap();
    for member in ["name", "description", "currency"] {
        assert!(!json.contains(&format!("\"{member}\"")), "{json}");
    }
}

#[test]
fn a_wrong_member_is_named_with_its_model_and_line() {
    let json = document().to_json().unwrap();
    for (from, to, expected) in [
        ("\"quality_bps\": 8000", "\"quality_bps\": 70000", "models[0].quality_bps: invalid value"),
        ("\"quality_bps\": 8000", "\"quality\": 8000", "unknown field `quality`"),
        ("\"enabled\": 1", "\"enabled\": 1,\n\"enabled\": 0", "duplicate field `enabled`"),
        ("\"policy_epoch\": 3", "\"policy_epoch\": 3.0", "policy_epoch: invalid type"),
        ("\"policy_epoch\": 3,", "", "missing field `policy_epoch`"),
        ("\"currency\": \"USD\"", "\"money\": \"USD\"", "unknown field `money`"),
    ] {
        let broken = json.replacen(from, to, 1);
        assert_ne!(broken, json);
        let error = error_of(&broken);
        assert!(error.starts_with("policy document: ") && error.contains(expected), "{error}");
        assert!(error.contains(" at line "), "{error}");
    }
    assert!(error_of(&format!("{json}x")).contains("end of document: trailing characters"));
}

#[test]
fn a_value_out_of_bounds_names_the_model_by_name() {
    let json = document().to_json().unwrap();
    let (head, tail) = json.split_once("claude-sonnet").unwrap();
    let broken = format!("{head}claude-sonnet{}", tail.replace("8000", "10001"));
    let error = error_of(&broken);
    let expected =
        "policy document: claude-sonnet: model 9: quality_bps is 10001, at most 10000 is allowed";
    assert_eq!(error, expected);
    let error = error_of(&json.replace("\"model_id\": 4", "\"model_id\": 9"));
    assert_eq!(error, "policy document: claude-sonnet: model_id 9 appears more than once");
}

#[test]
fn every_error_of_a_file_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    let error = |path: &Path| PolicyDocument::load(path).unwrap_err().to_string();
    assert!(error(&path).starts_with(&format!("{}: ", path.display())), "missing");
    fs::write(&path, "{").unwrap();
    assert!(error(&path).starts_with(&format!("{}: ", path.display())), "cut");
    let json = document().to_json().unwrap().replace("\"model_id\": 4", "\"model_id\": 0");
    fs::write(&path, json).unwrap();
    assert!(error(&path).contains("policy.json: model at index 0"), "{}", error(&path));
    let unwritable = folder.path().join("missing").join("policy.json");
    assert!(document().save(&unwritable).unwrap_err().to_string().contains("missing"));
}

#[test]
fn a_file_beyond_the_bound_is_not_parsed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    let file = fs::File::create(&path).unwrap();
    file.set_len(MAX_DOCUMENT_BYTES + 1).unwrap();
    let error = PolicyDocument::load(&path).unwrap_err();
    assert!(matches!(error, DocumentError::TooLong { max: MAX_DOCUMENT_BYTES, .. }), "{error}");
}
