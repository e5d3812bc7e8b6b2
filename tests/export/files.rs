//! Exports into files.

use std::fs;

use foundation_export::{Csv, ExportRetry, ExporterSpec, FileExporter, Json};

use crate::setup::{SECOND, start};

#[tokio::test]
async fn a_file_has_the_latest_numbers_and_those_before_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("numbers.json");
    let (foundation, exports) = start().await;
    let file = path.clone();
    exports.register("file", ExporterSpec::new(move || FileExporter::<Json>::new(&file).keep(2))).await.unwrap();
    for _ in 0..4 {
        foundation.telemetry().count("rounds");
        exports.now("file", 10 * SECOND).await.unwrap();
    }
    let rounds = |name: &str| {
        let text = fs::read(directory.path().join(name)).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let families = json["families"].as_array().unwrap().clone();
        families.into_iter().find(|family| family["name"] == "rounds").unwrap()["series"][0]["reading"].clone()
    };
    let found = ["numbers.json", "numbers.json.1", "numbers.json.2"].map(|name| rounds(name).to_string());
    assert!(found[0].contains('4') && found[1].contains('3') && found[2].contains('2'), "{found:?}");
    let mut names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["numbers.json", "numbers.json.1", "numbers.json.2"]);
    assert!(exports.stats("file").unwrap().target.unwrap().to_string().ends_with("numbers.json"));
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_an_error_and_the_export_goes_on_when_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let (_foundation, exports) = start().await;
    let file = missing.join("numbers.csv");
    let spec = ExporterSpec::new(move || FileExporter::<Csv>::new(&file)).retry(ExportRetry::attempts(1));
    exports.register("file", spec).await.unwrap();
    let error = exports.now("file", 10 * SECOND).await.unwrap_err().to_string();
    assert!(error.starts_with("exporter file has failed at attempt 1: No such file"), "{error}");
    fs::create_dir(&missing).unwrap();
    exports.now("file", 10 * SECOND).await.unwrap();
    let text = fs::read_to_string(missing.join("numbers.csv")).unwrap();
    assert!(text.starts_with("taken_at,namespace,name,kind,labels,value,rate,count,sum,min,max,p50,p90,p99\r\n"));
}

#[tokio::test]
async fn an_export_that_fails_leaves_no_file_beside_the_one_that_it_could_not_replace() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("numbers.json");
    fs::create_dir(&path).unwrap();
    let (_foundation, exports) = start().await;
    let spec = ExporterSpec::new(move || FileExporter::<Json>::new(&path)).retry(ExportRetry::attempts(1));
    exports.register("file", spec).await.unwrap();
    exports.now("file", 10 * SECOND).await.unwrap_err();
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["numbers.json"]);
}
