//! Survey of the brokers for operators: topics, partitions, and how far the group has read.

use std::time::Duration;

use projection::{EventKind, OutgoingEventKind};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::last_read::{read_last, reading_config};
use super::options::KafkaOptions;
use super::partition_survey::{PartitionSurvey, survey_partitions};
use crate::brokers::{Quiet, Refused, empty_queue};
use crate::clock::Clock;

/// How long each answer of the brokers may take: a new broker makes the topic of offsets first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to read the last records of all partitions.
const LAST_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time without an answer, a refused connection ends the survey: it does not heal by itself.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// What the brokers have of the service's topics. Nothing is created, and no group is joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Consumed topics that do not exist.
    pub missing: Vec<&'static str>,
    /// Topics of outgoing events that do not exist.
    pub missing_outgoing: Vec<&'static str>,
    /// Topics that the client may not see, with the answer of the broker.
    pub refused: Vec<(&'static str, RDKafkaErrorCode)>,
    /// Every partition of the consumed topics.
    pub partitions: Vec<PartitionSurvey>,
}

/// Why the brokers were not surveyed.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// They do not answer, or their answer is an error.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// A connection was refused.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Asks the brokers, and reads the last record of each partition again. Blocks, for an answer of each partition.
///
/// # Errors
///
/// [`SurveyError`] if they do not answer.
pub fn survey(options: &KafkaOptions, clock: &dyn Clock) -> Result<Survey, SurveyError> {
    let mut config = reading_config(options);
    // A question for a topic must not create it.
    config.set("allow.auto.create.topics", "false");
    let client: Client = config.create_with_context(Quiet::default())?;
    // Every topic is asked for below; here only a refusal matters.
    let first = client.fetch_metadata(Some(EventKind::ALL[0].topic()), REFUSAL_TIMEOUT);
    if let Some(refused) = first.err().and_then(|_| refused(&client)) {
        return Err(refused.into());
    }
    survey_topics(&client, clock).map_err(|error| match refused(&client) {
        Some(refused) => refused.into(),
        None => error.into(),
    })
}

type Client = BaseConsumer<Quiet>;

/// The refused connection that the client has reported, if there is one.
fn refused(client: &Client) -> Option<Refused> {
    empty_queue(client);
    client.context().refused()
}

fn survey_topics(client: &Client, clock: &dyn Clock) -> Result<Survey, KafkaError> {
    let mut survey = Survey::default();
    let mut all = TopicPartitionList::new();
    for topic in EventKind::ALL.iter().map(|kind| kind.topic()) {
        match survey.ask(client, topic)? {
            Some(partitions) => partitions.iter().for_each(|partition| {
                all.add_partition(topic, *partition);
            }),
            None => survey.missing.push(topic),
        }
    }
    for topic in OutgoingEventKind::ALL.iter().map(|kind| kind.as_str()) {
        if survey.ask(client, topic)?.is_none() {
            survey.missing_outgoing.push(topic);
        }
    }
    if all.count() > 0 {
        survey.partitions = survey_partitions(client, all, ANSWER_TIMEOUT)?;
        read_last(client, &mut survey.partitions, clock, LAST_READ_TIMEOUT)?;
    }
    Ok(survey)
}

impl Survey {
    /// The partitions of a topic; none: it does not exist, or may not be seen.
    fn ask(
        &mut self,
        client: &Client,
        topic: &'static str,
    ) -> Result<Option<Vec<i32>>, KafkaError> {
        let metadata = client.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
        let Some(answer) = metadata.topics().first() else { return Ok(None) };
        match answer.error().map(RDKafkaErrorCode::from) {
            None => Ok(Some(answer.partitions().iter().map(|partition| partition.id()).collect())),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(None),
            Some(refusal) => {
                self.refused.push((topic, refusal));
                Ok(Some(Vec::new()))
            }
        }
    }
}
