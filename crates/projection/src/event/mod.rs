//! Events as received: decoding of records into facts, and the position of an error in a record.

mod decode;
mod fact;
mod fault;
mod json_path;
mod locate;
mod metadata;
mod moment;
mod numbers;
mod strict;
mod values;
mod wire;

pub use self::decode::{RECORD_BYTES_MAX, decode};
pub use self::fact::{
    AssessmentResult, BatchEssaysRegistered, BatchPhaseOutcome, BatchPipelineCompleted,
    EssaySlotAssigned, Event, Fact, Needs, SpellcheckEnd, SpellcheckResult,
};
pub use self::locate::locate;
pub use self::strict::TEXT_BYTES_MAX;
pub use self::values::{
    ConfidenceLabel, ContentType, CourseCode, PipelineOutcome, Ranking, SpellcheckMetrics,
    StorageReferences,
};
pub use self::wire::{
    ASSIGNMENT_ID_CHARS_MAX, ESSAYS_PER_EVENT_MAX, PHASES_PER_EVENT_MAX,
    STORAGE_REFERENCE_FIELDS_MAX,
};
