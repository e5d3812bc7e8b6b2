//! OTLP, the protocol of OpenTelemetry: the format, and an exporter by HTTP and by gRPC.

mod answer;
mod body;
mod encode;
mod endpoint;
mod exporter;
#[cfg(feature = "otlp-grpc")]
mod grpc;
#[cfg(feature = "otlp-grpc")]
mod grpc_status;
mod histogram;
mod http;
mod wire;

pub use encode::Otlp;
pub use endpoint::OtlpError;
pub use exporter::OtlpExporter;
