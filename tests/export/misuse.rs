//! What is refused, and with which words.

use std::time::Duration;

use foundation_export::{Batch, ExportFault, Exported, Exporter, ExporterSpec, Target};

use crate::setup::{Receiver, SECOND, start};

struct OfNoFormat;

impl Exporter for OfNoFormat {
    const FORMAT: &'static str = "jsno";

    fn target(&self) -> Target {
        Target::new("nowhere")
    }

    async fn export(&mut self, _: &Batch) -> Result<Exported, ExportFault> {
        Ok(Exported::default())
    }
}

#[tokio::test]
async fn unknown_names_and_formats_are_refused_with_what_is_near() {
    let (_foundation, exports) = start().await;
    let (receiver, _kept) = Receiver::new([]);
    exports.register("grafana", receiver.spec()).await.unwrap();
    let unknown = "there is no exporter grafna; did you mean grafana?";
    assert_eq!(exports.stats("grafna").unwrap_err().to_string(), unknown);
    assert_eq!(exports.pause("grafna").unwrap_err().to_string(), unknown);
    assert_eq!(exports.resume("grafna").unwrap_err().to_string(), unknown);
    assert_eq!(exports.now("grafna", SECOND).await.unwrap_err().to_string(), unknown);
    assert_eq!(exports.unregister("grafna").await.unwrap_err().to_string(), unknown);
    let format = "there is no format promtheus; did you mean prometheus?";
    assert_eq!(exports.encode("promtheus").unwrap_err().to_string(), format);
    let refused = exports.register("other", ExporterSpec::new(|| OfNoFormat)).await.unwrap_err().to_string();
    assert_eq!(refused, "there is no format jsno; did you mean json?");
    assert_eq!(exports.list().len(), 1);
}

#[tokio::test]
async fn a_second_exporter_of_a_name_is_refused_and_the_first_goes_on() {
    let (_foundation, exports) = start().await;
    let (receiver, _kept) = Receiver::new([]);
    exports.register("grafana", receiver.spec()).await.unwrap();
    let refused = exports.register("grafana", receiver.spec()).await.unwrap_err().to_string();
    assert_eq!(refused, "exporter grafana is registered already");
    exports.now("grafana", SECOND).await.unwrap();
}

#[tokio::test]
async fn an_exporter_whose_attempts_may_take_no_time_is_refused() {
    let (_foundation, exports) = start().await;
    let (receiver, _kept) = Receiver::new([]);
    let refused = exports.register("grafana", receiver.spec().timeout(Duration::ZERO)).await.unwrap_err().to_string();
    assert!(refused.ends_with("its attempts may take no time; give it a time-out above zero"), "{refused}");
    assert!(exports.list().is_empty());
}

#[tokio::test]
async fn a_name_that_is_not_valid_is_refused() {
    let (_foundation, exports) = start().await;
    let (receiver, _kept) = Receiver::new([]);
    for name in ["", "Grafana", "a b", "a\nb", &"a".repeat(1 << 20)] {
        let refused = exports.register(name, receiver.spec()).await.unwrap_err().to_string();
        assert!(refused.contains("cannot be the name of a") && refused.len() < 1_000, "{refused}");
    }
    assert!(exports.list().is_empty());
}

#[tokio::test]
async fn a_target_is_shown_in_one_short_line() {
    let target = Target::new("a\nb".repeat(1_000)).to_string();
    assert!(target.len() <= 256 && !target.contains('\n'), "{target}");
}

#[test]
fn series_that_are_refused_in_two_parts_are_counted_together() {
    let exported = Exported::new(1, 10).rejected(2, "unknown unit").rejected(3, "unknown name");
    assert_eq!((exported.series, exported.rejected), (5, Some((5, "unknown name".to_owned()))));
}
