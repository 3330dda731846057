//! Foreign text made safe to print: nothing in it can steer a terminal or hide what stands beside it.

/// `text` with all that is no visible character escaped, as Rust writes it: `\n`, `\u{1b}`.
///
/// So are control characters, which move the cursor or set a title; characters that turn the
/// direction of writing; those without a width; and accents that would join what is before them.
/// Quotation marks and backslashes stay, or JSON would be unreadable.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    text.chars().for_each(|character| push_printable(&mut safe, character));
    safe
}

/// Appends one character in the same way.
pub fn push_printable(safe: &mut String, character: char) {
    match character {
        '"' | '\'' | '\\' => safe.push(character),
        _ => safe.extend(character.escape_debug()),
    }
}

/// JSON that means the same, with what [`printable`] escapes escaped as JSON does.
///
/// Only strings have such characters: control characters are escaped in every JSON text, and all
/// its signs are ASCII.
pub fn printable_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        let is_plain = character.is_ascii() && character != '\u{7f}';
        if is_plain || character.escape_debug().count() == 1 {
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
    fn safe_json_means_the_same() {
        let odd = "\u{1b}[2J\u{9b}31m\u{202e}\u{e0041}é日 e\u{301} \\ \" \n\u{7f}";
        let json = serde_json::to_string(odd).unwrap();
        let safe = printable_json(&json);
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), odd);
        let visible = r#""\u001b[2J\u009b31m\u202e\udb40\udc41é日 e\u0301 \\ \" \n\u007f""#;
        assert_eq!(safe, visible);
    }

    #[test]
    fn only_what_is_visible_is_printed() {
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
