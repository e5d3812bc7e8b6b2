//! The wire format of Protocol Buffers, as far as OTLP needs it.
//!
//! Values are written where they stand in a scrape, without a message of their own in between: nothing is allocated for a series.

/// Numbers that are written bit by bit, seven at a time.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
/// Texts, messages, and packed numbers, with their length before them.
const DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

/// Writes a message, field by field. Fields have to come in the order in which others would write them.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Cuts off what comes after so many bytes, and returns it.
    pub(super) fn split_off(&mut self, at: usize) -> Vec<u8> {
        self.0.split_off(at)
    }

    /// Fields that are written already.
    pub(super) fn fields(&mut self, written: &[u8]) {
        self.0.extend_from_slice(written);
    }

    pub(super) fn varint(&mut self, value: u64) {
        let (bytes, length) = varint(value);
        self.0.extend_from_slice(&bytes[..length]);
    }

    fn key(&mut self, field: u32, wire_type: u8) {
        self.varint(u64::from(field << 3 | u32::from(wire_type)));
    }

    /// An `uint` or an `enum`. Zero is left out, as it is what readers assume.
    pub(super) fn uint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.key(field, VARINT);
            self.varint(value);
        }
    }

    /// A `sint32`, whose sign is its lowest bit. Zero is left out.
    pub(super) fn sint(&mut self, field: u32, value: i32) {
        self.uint(field, u64::from(((value << 1) ^ (value >> 31)) as u32));
    }

    /// A `fixed64`. Zero is left out.
    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.present_fixed64(field, value);
        }
    }

    /// A `fixed64`, `sfixed64` or `double` that differs from none when it is zero, by its bits.
    pub(super) fn present_fixed64(&mut self, field: u32, bits: u64) {
        self.key(field, FIXED64);
        self.0.extend_from_slice(&bits.to_le_bytes());
    }

    /// A text. An empty one is left out.
    pub(super) fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.present_text(field, text);
        }
    }

    /// A text that differs from none when it is empty.
    pub(super) fn present_text(&mut self, field: u32, text: &str) {
        self.key(field, DELIMITED);
        self.varint(text.len() as u64);
        self.fields(text.as_bytes());
    }

    /// What is before a message of so many bytes.
    pub(super) fn head_of_message(field: u32, length: usize) -> Self {
        let mut head = Self::default();
        head.key(field, DELIMITED);
        head.varint(length as u64);
        head
    }

    /// A message, or packed numbers.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.key(field, DELIMITED);
        let start = self.0.len();
        // Most are shorter than 128 bytes, so that the length has one byte; the others are moved once.
        self.0.push(0);
        write(self);
        let (length, digits) = varint((self.0.len() - start - 1) as u64);
        self.0.splice(start..=start, length[..digits].iter().copied());
    }
}

/// A number with its lowest seven bits first, and how many bytes it has.
fn varint(mut value: u64) -> ([u8; 10], usize) {
    let (mut bytes, mut length) = ([0; 10], 0);
    while value >= 0x80 {
        bytes[length] = value as u8 | 0x80;
        value >>= 7;
        length += 1;
    }
    bytes[length] = value as u8;
    (bytes, length + 1)
}

/// Reads the fields of a message; after an error there is no other field.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// What was read is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no message of Protocol Buffers")]
pub(super) struct WireError;

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// What was not read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(WireError)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), WireError> {
        let key = self.varint()?;
        let value = match (key & 7) as u8 {
            VARINT => Value::Number(self.varint()?),
            FIXED64 => Value::Bytes(self.take(8)?),
            FIXED32 => Value::Bytes(self.take(4)?),
            DELIMITED => {
                let length = usize::try_from(self.varint()?).map_err(|_| WireError)?;
                Value::Bytes(self.take(length)?)
            }
            _ => return Err(WireError),
        };
        if key >> 3 == 0 { Err(WireError) } else { Ok((key >> 3, value)) }
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<(u64, Value<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(number in 1u64.., text in ".{0,300}", inner in 0u64..) {
            let mut writer = Writer::default();
            writer.uint(1, number);
            writer.message(2, |writer| {
                writer.present_text(3, &text);
                writer.present_fixed64(2_000, inner);
            });
            let bytes = writer.into_bytes();
            let fields: Vec<_> = Reader::new(&bytes).map(Result::unwrap).collect();
            prop_assert_eq!(fields[0], (1, Value::Number(number)));
            let (2, Value::Bytes(message)) = fields[1] else { panic!("{fields:?}") };
            let fields: Vec<_> = Reader::new(message).map(Result::unwrap).collect();
            let fixed = inner.to_le_bytes();
            prop_assert_eq!(fields, [(3, Value::Bytes(text.as_bytes())), (2_000, Value::Bytes(&fixed))]);
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let fields: Vec<_> = Reader::new(&bytes).collect();
            prop_assert!(fields.len() <= bytes.len());
            prop_assert!(fields.iter().rev().skip(1).all(Result::is_ok));
        }
    }
}
