//! Bytes as text, two digits each: in documents, answers and what people copy.

/// A text that is not pairs of hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not pairs of hexadecimal digits")]
pub struct NotHexadecimal;

/// Two lower-case digits for each byte.
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 0xf)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The bytes of which [`encode`] made `text`; also of upper-case digits.
///
/// # Errors
///
/// [`NotHexadecimal`] for any other text.
pub fn decode(text: &str) -> Result<Vec<u8>, NotHexadecimal> {
    let digit = |character: u8| char::from(character).to_digit(16).ok_or(NotHexadecimal);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(NotHexadecimal) };
    // Two digits of four bits each are a byte.
    let byte = |&[high, low]: &[u8; 2]| Ok((digit(high)? << 4 | digit(low)?) as u8);
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::{NotHexadecimal, decode, encode};

    #[test]
    fn every_byte_comes_back() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(decode(&encode(&bytes)), Ok(bytes.clone()));
        assert_eq!(decode(&encode(&bytes).to_uppercase()), Ok(bytes));
        assert_eq!(encode(&[0x00, 0x0f, 0xf0]), "000ff0");
    }

    #[test]
    fn nothing_else_is_read() {
        for text in ["0", "000", "0g", "+1", " 1", "é", "0x"] {
            assert_eq!(decode(text), Err(NotHexadecimal), "{text:?}");
        }
    }
}
