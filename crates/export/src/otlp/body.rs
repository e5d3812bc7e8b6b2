//! The bodies of the requests of an export.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::wire::{Reader, Value, Writer};
use crate::encoded::Encoded;

/// A request, or a part of one: pieces that are sent one after the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Pieces(VecDeque<Bytes>);

impl Pieces {
    /// A request for each part of the numbers, with this resource instead of the one that it has. The numbers are not copied.
    pub(super) fn of(encoded: &Encoded, resource: &Writer) -> VecDeque<Self> {
        let shared = Bytes::from_owner(encoded.clone());
        let parts = Reader::new(&shared).filter_map(|field| match field {
            Ok((_, Value::Bytes(part))) => Some(without_first(part)),
            _ => None,
        });
        let pieces = parts.map(|rest| {
            let head = Writer::head_of_message(1, resource.len() + rest.len());
            let head = [head.as_bytes(), resource.as_bytes()].concat();
            Self([head.into(), shared.slice_ref(rest)].into())
        });
        pieces.collect()
    }

    /// The bytes of all pieces.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    #[cfg(feature = "otlp-grpc")]
    pub(super) fn before(mut self, piece: Bytes) -> Self {
        self.0.push_front(piece);
        self
    }

    /// The next piece, and whether it is the last one.
    #[cfg(feature = "otlp-grpc")]
    pub(super) fn next(&mut self) -> Option<(Bytes, bool)> {
        let piece = self.0.pop_front()?;
        Some((piece, self.0.is_empty()))
    }
}

fn without_first(part: &[u8]) -> &[u8] {
    let mut fields = Reader::new(part);
    let _resource = fields.next();
    fields.rest()
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}
