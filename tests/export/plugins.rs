//! A format and an exporter of a third party.

use foundation_export::{
    Batch, EncodeError, Encoded, ExportFault, Exported, Exporter, ExporterSpec, Exports, Format, Target,
};
use tokio::sync::mpsc;

use crate::setup::{SECOND, start};

/// The names of the families, and nothing else.
struct Names;

impl Format for Names {
    const NAME: &'static str = "names";
    const CONTENT_TYPE: &'static str = "text/plain";

    fn encode(batch: &Batch) -> Result<Encoded, EncodeError> {
        let names: Vec<_> = batch.scrape().families.iter().map(|family| &*family.name).collect();
        Ok(Encoded::from(names.join("\n")))
    }
}

struct Panics;

impl Format for Panics {
    const NAME: &'static str = "panics";
    const CONTENT_TYPE: &'static str = "text/plain";

    fn encode(_: &Batch) -> Result<Encoded, EncodeError> {
        panic!("a format of the test")
    }
}

struct Channel(mpsc::UnboundedSender<Encoded>);

impl Exporter for Channel {
    const FORMAT: &'static str = Names::NAME;

    fn target(&self) -> Target {
        Target::new("a channel")
    }

    async fn export(&mut self, batch: &Batch) -> Result<Exported, ExportFault> {
        let encoded = Names::encoded(batch)?;
        let exported = Exported::new(encoded.as_bytes().len(), batch.series());
        self.0.send(encoded).map_err(ExportFault::fatal)?;
        Ok(exported)
    }
}

#[tokio::test]
async fn a_third_party_registers_a_format_and_an_exporter_which_is_found_paused_asked_and_removed() {
    let (foundation, exports) = start().await;
    foundation.telemetry().count("orders");
    exports.register_format::<Names>().unwrap();
    assert_eq!(exports.register_format::<Names>().unwrap_err().to_string(), "format names is registered already");
    let formats: Vec<_> = exports.formats().into_iter().map(|(name, _)| name).collect();
    assert_eq!(formats, ["csv", "dogstatsd", "json", "names", "openmetrics", "otlp", "prometheus", "statsd"]);

    let (sender, mut received) = mpsc::unbounded_channel();
    exports.register("channel", ExporterSpec::new(move || Channel(sender.clone()))).await.unwrap();
    let found = exports.of_format("names");
    assert_eq!((found.len(), found[0].name.as_str(), &*found[0].schedule), (1, "channel", "every 15s"));
    exports.pause("channel").unwrap();
    exports.now("channel", SECOND).await.unwrap();
    let names = received.recv().await.unwrap();
    assert!(std::str::from_utf8(names.as_bytes()).unwrap().lines().any(|name| name == "orders"));
    let encoded = exports.encode("names").unwrap();
    assert!(std::str::from_utf8(encoded.as_bytes()).unwrap().lines().any(|name| name == "export.requested"));

    exports.unregister("channel").await.unwrap();
    assert!(exports.list().is_empty());
    assert!(received.recv().await.is_none(), "its exporter is gone, and with it the sender");
    let stats = exports.catalog_stats();
    assert_eq!((stats.inserted, stats.removed, stats.entries), (1, 1, 0));
    foundation.shutdown().await;
}

#[tokio::test]
async fn a_format_that_panics_is_an_error() {
    let (_foundation, exports) = start().await;
    exports.register_format::<Panics>().unwrap();
    let error = exports.encode("panics").unwrap_err().to_string();
    assert_eq!(error, "the numbers cannot be written as panics: it panicked: a format of the test");
}

#[tokio::test]
async fn each_namespace_has_its_own_exporters() {
    let (foundation, exports) = start().await;
    exports.register_format::<Names>().unwrap();
    let tested = foundation.test_namespace().await.unwrap();
    let others = Exports::of(tested.registry());
    assert!(others.encode("names").is_err() && others.encode("json").is_ok());
}
