//! OTLP: the bytes, and receivers that answer in every way.

mod bad;
mod bytes;
mod expected;
mod grpc;
mod http;
mod receiver;
mod secrets;
mod targets;
