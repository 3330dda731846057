//! Names of enum values: every one round trips, and nothing else is accepted.

use projection::{
    BatchStatus, ClientStatus, ConfidenceLabel, ContentType, CourseCode, EssayStatus,
    OutgoingEventKind, PhaseName, ProcessingStage, RefusalCode,
};

/// Checks that every name round trips through `parse` and serde.
macro_rules! check_names {
    ($Enum:ident, $count:literal) => {
        assert_eq!($Enum::ALL.len(), $count, stringify!($Enum));
        for value in $Enum::ALL.iter().copied() {
            let json = format!("\"{value}\"");
            assert_eq!($Enum::parse(value.as_str()), Some(value));
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<$Enum>(&json).unwrap(), value);
        }
        assert_eq!($Enum::parse(""), None);
    };
}

#[test]
fn every_name_round_trips_to_its_value() {
    check_names!(BatchStatus, 12);
    check_names!(ClientStatus, 7);
    check_names!(ProcessingStage, 6);
    check_names!(EssayStatus, 31);
    check_names!(PhaseName, 5);
    check_names!(ConfidenceLabel, 3);
    check_names!(OutgoingEventKind, 3);
    check_names!(CourseCode, 6);
    check_names!(ContentType, 12);
    check_names!(RefusalCode, 10);
}

#[test]
fn name_is_read_from_a_string_only() {
    for json in [r#"{"ENG5":null}"#, r#"["ENG5"]"#, "5", "null", r#""eng5""#, r#""ENG5 ""#] {
        assert!(serde_json::from_str::<CourseCode>(json).is_err(), "{json}");
    }
    let error = serde_json::from_str::<CourseCode>(r#""ENG9""#).unwrap_err().to_string();
    assert!(error.starts_with("unknown value `ENG9`, allowed: ENG5, ENG6,"), "{error}");
}
