//! Records as their senders declare them: the envelope, and the data of each kind.
//!
//! Every declared field is here, including those that are not kept: a record that breaks the
//! contract of its sender is refused as a whole. The fields that are kept are explained in `fact`.

mod assessment;
mod common;
mod envelope;
mod phase_outcome;
mod pipeline;
mod registered;
mod slot;
mod spellcheck;

pub use self::assessment::ASSIGNMENT_ID_CHARS_MAX;
pub(super) use self::assessment::AssessmentResult;
pub use self::common::ESSAYS_PER_EVENT_MAX;
pub(super) use self::envelope::{Envelope, TopicHead, TypedHead};
pub(super) use self::phase_outcome::BatchPhaseOutcome;
pub(super) use self::pipeline::BatchPipelineCompleted;
pub use self::pipeline::PHASES_PER_EVENT_MAX;
pub(super) use self::registered::BatchEssaysRegistered;
pub use self::registered::STORAGE_REFERENCE_FIELDS_MAX;
pub(super) use self::slot::EssaySlotAssigned;
pub(super) use self::spellcheck::SpellcheckResult;
