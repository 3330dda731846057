//! Parts of an entry key: tuples, arrays and slices of values that have a text.

use std::fmt::Display;

use crate::escape::Escaper;
use crate::key_error::KeyError;

/// Parts of an [`EntryKey`](crate::EntryKey), as [`EntryKey::of`](crate::EntryKey::of) takes them: a tuple
/// of up to twelve values, an array, slice or vector of them, or one text.
///
/// A value is anything with [`Display`]; its text is the part. Values of different types with one text
/// are one part. No other crate can implement this trait.
pub trait KeyParts: sealed::Parts {}

impl<P: sealed::Parts + ?Sized> KeyParts for P {}

pub(crate) mod sealed {
    use super::{Escaper, KeyError};

    pub trait Parts {
        fn write(&self, key: &mut Escaper) -> Result<(), KeyError>;
    }
}

/// Writes the parts, separated.
pub(crate) fn write_all<T: Display>(
    parts: impl IntoIterator<Item = T>,
    key: &mut Escaper,
) -> Result<(), KeyError> {
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            key.separate();
        }
        key.write(part)?;
    }
    Ok(())
}

impl<P: sealed::Parts + ?Sized> sealed::Parts for &P {
    fn write(&self, key: &mut Escaper) -> Result<(), KeyError> {
        (**self).write(key)
    }
}

impl sealed::Parts for str {
    fn write(&self, key: &mut Escaper) -> Result<(), KeyError> {
        key.write(self)
    }
}

impl sealed::Parts for String {
    fn write(&self, key: &mut Escaper) -> Result<(), KeyError> {
        key.write(self)
    }
}

impl<T: Display> sealed::Parts for [T] {
    fn write(&self, key: &mut Escaper) -> Result<(), KeyError> {
        write_all(self, key)
    }
}

impl<T: Display, const N: usize> sealed::Parts for [T; N] {
    fn write(&self, key: &mut Escaper) -> Result<(), KeyError> {
        write_all(self, key)
    }
}

impl<T: Display> sealed::Parts for Vec<T> {
    fn write(&self, key: &mut Escaper) -> Result<(), KeyError> {
        write_all(self, key)
    }
}

macro_rules! tuples {
    ($(($first:ident $(, $more:ident)*))+) => {$(
        impl<$first: Display $(, $more: Display)*> sealed::Parts for ($first, $($more,)*) {
            #[expect(non_snake_case, reason = "each value has the name of its type")]
            fn write(&self, key: &mut Escaper) -> Result<(), KeyError> {
                let ($first, $($more,)*) = self;
                key.write($first)?;
                $(
                    key.separate();
                    key.write($more)?;
                )*
                Ok(())
            }
        }
    )+};
}

tuples! {
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, F)
    (A, B, C, D, E, F, G)
    (A, B, C, D, E, F, G, H)
    (A, B, C, D, E, F, G, H, I)
    (A, B, C, D, E, F, G, H, I, J)
    (A, B, C, D, E, F, G, H, I, J, K)
    (A, B, C, D, E, F, G, H, I, J, K, L)
}
