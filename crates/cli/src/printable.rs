//! Escaping of untrusted text, so that it can neither control a terminal nor hide other text.

/// `text` with all invisible characters escaped in the notation of Rust: `\n`, `\u{1b}`.
///
/// Escaped are control characters, which move the cursor or set a title; characters that change the
/// direction of writing; characters without a width; and combining accents. Quotation marks and
/// backslashes are not, so that JSON stays readable.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    text.chars().for_each(|character| push_printable(&mut safe, character));
    safe
}

/// Appends one character, escaped as by [`printable`].
pub fn push_printable(safe: &mut String, character: char) {
    match character {
        '"' | '\'' | '\\' => safe.push(character),
        _ => safe.extend(character.escape_debug()),
    }
}

/// Equivalent JSON in which the characters that [`printable`] escapes are escaped as `\uXXXX`.
///
/// Such characters occur only inside strings: outside of them JSON has only ASCII characters.
pub fn printable_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        let is_visible_ascii = character.is_ascii() && character != '\u{7f}';
        if is_visible_ascii || character.escape_debug().count() == 1 {
            safe.push(character);
        } else {
            let units = character.encode_utf16(&mut [0; 2]).to_vec();
            units.iter().for_each(|unit| safe.push_str(&format!("\\u{unit:04x}")));
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::{printable, printable_json};

    #[test]
    fn printable_json_is_equivalent_and_escaped() {
        let odd = "\u{1b}[2J\u{9b}31m\u{202e}\u{e0041}é日 e\u{301} \\ \" \n\u{7f}";
        let json = serde_json::to_string(odd).unwrap();
        let safe = printable_json(&json);
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), odd);
        let visible = r#""\u001b[2J\u009b31m\u202e\udb40\udc41é日 e\u0301 \\ \" \n\u007f""#;
        assert_eq!(safe, visible);
    }

    #[test]
    fn invisible_characters_are_escaped() {
        #[track_caller]
        fn check(text: &str, want: &str) {
            assert_eq!(printable(text), want);
        }
        check("", "");
        check(r#"{"é": "日本 😀 \d '"}"#, r#"{"é": "日本 😀 \d '"}"#);
        check("\u{1b}[2J\u{1b}]0;title\u{7}", "\\u{1b}[2J\\u{1b}]0;title\\u{7}");
        check("a\r\n\tb\0", "a\\r\\n\\tb\\0");
        check("\u{9b}31m", "\\u{9b}31m");
        check("\u{202e}txt.exe\u{2066}", "\\u{202e}txt.exe\\u{2066}");
        check("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}");
        check("e\u{301}", "e\\u{301}");
        check("\u{e0041}\u{2028}\u{a0}", "\\u{e0041}\\u{2028}\\u{a0}");
    }
}
