//! `export`: the table has what the log has, in every format, or is not there.

use crate::support::{Folder, TAMPERED, USAGE};

fn csv_rows(folder: &Folder, name: &str) -> Vec<Vec<String>> {
    let text = folder.read(name);
    let mut table = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    table.records().map(|row| row.unwrap().iter().map(String::from).collect()).collect()
}

#[test]
fn comma_separated_values_are_those_of_the_log() {
    let folder = Folder::with_log();
    let ran = folder.run(&["export", "log", "--csv", "out.csv", "--policy", "policy.json"]).ok();
    ran.says("exported 8 decisions; 0 entries are no audited records");
    let rows = csv_rows(&folder, "out.csv");
    assert_eq!((rows.len(), rows[0].len()), (9, 29));
    let log: Vec<serde_json::Value> =
        folder.read("log").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (entry, row) in log.iter().zip(&rows[1..]) {
        let column = |name: &str| &row[rows[0].iter().position(|header| header == name).unwrap()];
        let (input, decision) = (&entry["data"]["input"], &entry["data"]["decision"]);
        assert_eq!(*column("sequence"), entry["sequence"].to_string());
        assert_eq!(*column("entry_hash"), entry["entry_hash"]);
        assert_eq!(
            *column("budget_limit_microunits"),
            input["budget_limit_microunits"].to_string()
        );
        let utility = decision["expected_utility_microunits"].to_string();
        assert_eq!(*column("expected_utility_microunits"), utility);
        assert_eq!(*column("metadata"), entry["data"]["metadata"].to_string());
    }
    // Standard output has the same bytes.
    let printed = folder.run(&["export", "log", "--csv", "-", "--policy", "policy.json"]).ok();
    assert_eq!(printed.out, folder.read("out.csv"));
}

#[test]
fn metadata_stays_as_it_is_written() {
    let folder = Folder::new();
    let request = folder.read("requests.jsonl").lines().next().unwrap().to_owned();
    let request: serde_json::Value = serde_json::from_str(&request).unwrap();
    let input = request.get("input").unwrap_or(&request);
    let metadata = r#"{"z":1.50,"a":"\u00e9, \"x\"","tenant":"a,b"}"#;
    folder.write("one", format!(r#"{{"input":{input},"metadata":{metadata}}}"#));
    folder.run(&["decide", "--policy", "policy.json", "one", "--log", "log"]).ok();
    folder.run(&["export", "log", "--csv", "out.csv"]).ok();
    let row = csv_rows(&folder, "out.csv").remove(1);
    assert_eq!((row[2].as_str(), row[28].as_str()), ("a,b", metadata));
}

#[test]
fn a_table_is_whole_or_not_there() {
    let folder = Folder::with_log();
    folder.write("out.csv", "from before");
    folder.replace("log", "corvid", "raven");
    folder.run(&["export", "log", "--csv", "out.csv"]).ends(TAMPERED).says("sequence 6");
    assert_eq!(folder.read("out.csv"), "from before");
    assert!(!folder.path("out.csv.partial").exists());
    folder.run(&["export", "log", "--csv", "no/such/folder"]).ends(USAGE).says("no/such/folder");
    folder.run(&["export", "log"]).ends(USAGE).says("--csv");
}

#[test]
fn a_table_is_never_written_over_the_log() {
    let folder = Folder::with_log();
    let before = folder.read("log");
    for target in ["log", "./log"] {
        folder.run(&["export", "log", "--csv", target]).ends(USAGE).says("this is the log");
    }
    assert_eq!(folder.read("log"), before);
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_how_to_get_it() {
    let folder = Folder::with_log();
    let ran = folder.run(&["export", "log", "--parquet", "out.parquet"]).ends(USAGE);
    ran.says("cargo install calybris-cli --features parquet");
    folder.run(&["export", "--help"]).ok().says("not in this build");
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_has_the_rows_of_the_csv_typed() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    let folder = Folder::new();
    // The largest value there is: a limit that is none.
    folder.replace("requests.jsonl", "microunits\":100000", "microunits\":18446744073709551615");
    folder.run(&["decide", "--policy", "policy.json", "requests.jsonl", "--log", "log"]).ok();
    for (format, name) in [("--csv", "out.csv"), ("--parquet", "out.parquet")] {
        folder.run(&["export", "log", format, name, "--policy", "policy.json"]).ok();
    }
    let expected = csv_rows(&folder, "out.csv");
    let file = std::fs::File::open(folder.path("out.parquet")).unwrap();
    let file = SerializedFileReader::new(file).unwrap();
    let rows: Vec<_> = file.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len() + 1, expected.len());
    for (row, expected) in rows.iter().zip(&expected[1..]) {
        let fields: Vec<String> = row
            .get_column_iter()
            .map(|(_, field)| match field {
                Field::Str(text) => text.clone(),
                Field::Bool(value) => value.to_string(),
                Field::UShort(value) => value.to_string(),
                Field::UInt(value) => value.to_string(),
                Field::ULong(value) => value.to_string(),
                Field::Long(value) => value.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(&fields, expected);
    }
    let names: Vec<_> = rows[0].get_column_iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, expected[0]);
    assert!(expected[1..].iter().any(|row| row[12] == u64::MAX.to_string()));
    let file = file.metadata().file_metadata();
    let head = file.key_value_metadata().unwrap().iter().find(|pair| pair.key == "calybris.head");
    let anchor = folder.run(&["head", "log"]).ok().out;
    assert_eq!(head.unwrap().value.as_deref(), Some(anchor.trim_end()));
}
