//! Exporters that are registered, asked and removed by callers that no longer wait.

use foundation_export::{ExportSchedule, Exported, Exports, FileExporter, Json};

use super::fixture::{Fixture, LONG, works_again};

/// Exporters under a supervisor of the scenario, as no service of the foundation has them.
async fn exports(fixture: &Fixture) -> Exports {
    let names = fixture.foundation.production().registry().clone();
    let exports = Exports::of(&names);
    fixture.dynamic.start_child(Exports::child_spec(&names)).await.unwrap();
    exports
}

// covers: Exports::register, Exports::unregister, Exports::now
#[tokio::test(start_paused = true)]
async fn an_exporter_is_registered_asked_and_removed_by_a_caller_that_may_leave_at_any_time() {
    works_again(async |fixture| {
        let exports = exports(fixture).await;
        // What a caller that left has registered may be there.
        drop(exports.unregister("file").await);
        let spec = foundation_export::ExporterSpec::new(|| FileExporter::<Json>::new("/nowhere/at/all"));
        exports.register("file", spec.schedule(ExportSchedule::on_demand())).await?;
        match exports.now("file", LONG).await {
            Ok(Exported { .. }) => {}
            Err(error) => assert!(error.to_string().contains("has failed"), "{error}"),
        }
        exports.unregister("file").await
    })
    .await;
}
