//! Kafka consumer, and what else the service asks the brokers about its topics.
//!
//! The committed offset is the log of unconfirmed invalidations: it moves only after the rows of a group
//! are committed and its owners invalidated. After a crash in between, the group is delivered again, and
//! its duplicates invalidate again.

mod consumer;
mod context;
mod group_ahead;
mod last_read;
mod log_starts;
mod lost_brokers;
mod options;
mod partition_survey;
mod positions;
mod received;
mod survey;
mod topic_watch;

pub use self::consumer::KafkaConsumer;
pub use self::group_ahead::GroupAheadCheck;
pub use self::log_starts::KafkaLogStarts;
pub use self::options::{KafkaOptions, client_config};
pub use self::partition_survey::PartitionSurvey;
pub use self::survey::{Survey, SurveyError, survey};
