//! Survey of the brokers for operators: topics, partitions, and how far the group has read.

use std::thread::sleep;
use std::time::Duration;

use projection::{EventKind, OutgoingEventKind};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::group_ahead::has_read;
use super::options::{KafkaOptions, client_config};
use crate::brokers::{Quiet, Refused, empty_queue};

/// How long each answer of the brokers may take: a new broker makes the topic of offsets first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time without an answer, a refused connection ends the survey: it does not heal by itself.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// How often, and after which pause, a new broker is asked again for the offsets of the group: it names itself
/// the coordinator before it is.
const COORDINATOR_ATTEMPTS: u32 = 20;
const COORDINATOR_PAUSE: Duration = Duration::from_millis(250);

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

/// What the broker has of one partition, and how far the group has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSurvey {
    /// Topic.
    pub topic: String,
    /// Number of the partition.
    pub partition: i32,
    /// First offset that can still be delivered.
    pub start: i64,
    /// Offset of the next record.
    pub end: i64,
    /// Committed offset: that of the next record to read; none: none was ever read.
    pub committed: Option<i64>,
    /// Whether the group has read any record.
    pub has_read: bool,
}

impl PartitionSurvey {
    /// Records that are to be read.
    pub fn lag(&self) -> u64 {
        let next = self.committed.unwrap_or(self.start).max(self.start);
        u64::try_from(self.end - next).unwrap_or(0)
    }

    /// Whether records were deleted before the group has read them.
    pub fn has_lost_records(&self) -> bool {
        self.committed.is_some_and(|committed| committed < self.start)
    }

    /// Whether the committed offset is of another log: of a topic that was created again.
    pub fn is_of_another_log(&self) -> bool {
        self.committed.is_some_and(|committed| committed > self.end)
    }
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

/// Asks the brokers. Blocks, for an answer of each partition.
///
/// # Errors
///
/// [`SurveyError`] if they do not answer.
pub fn survey(options: &KafkaOptions) -> Result<Survey, SurveyError> {
    let mut config = client_config(options);
    // A question for a topic must not create it.
    config.set("allow.auto.create.topics", "false");
    let client: Client = config.create_with_context(Quiet::default())?;
    // Every topic is asked for below; here only a refusal matters.
    let first = client.fetch_metadata(Some(EventKind::ALL[0].topic()), REFUSAL_TIMEOUT);
    if let Some(refused) = first.err().and_then(|_| refused(&client)) {
        return Err(refused.into());
    }
    survey_topics(&client).map_err(|error| match refused(&client) {
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

fn survey_topics(client: &Client) -> Result<Survey, KafkaError> {
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
        survey.partitions = partitions(client, all)?;
    }
    Ok(survey)
}

fn partitions(
    client: &Client,
    all: TopicPartitionList,
) -> Result<Vec<PartitionSurvey>, KafkaError> {
    let committed = committed(client, &all)?;
    let mut partitions = Vec::with_capacity(committed.count());
    for element in committed.elements() {
        let (topic, partition) = (element.topic().to_owned(), element.partition());
        let (start, end) = client.fetch_watermarks(&topic, partition, ANSWER_TIMEOUT)?;
        let has_read = has_read(element.offset());
        let committed = match element.offset() {
            Offset::Offset(next) => Some(next),
            _ => None,
        };
        partitions.push(PartitionSurvey { topic, partition, start, end, committed, has_read });
    }
    Ok(partitions)
}

fn committed(client: &Client, all: &TopicPartitionList) -> Result<TopicPartitionList, KafkaError> {
    let ask = || client.committed_offsets(all.clone(), ANSWER_TIMEOUT);
    for _ in 1..COORDINATOR_ATTEMPTS {
        match ask().map_err(|error| (error.rdkafka_error_code(), error)) {
            Err((Some(RDKafkaErrorCode::NotCoordinator), _)) => sleep(COORDINATOR_PAUSE),
            answer => return answer.map_err(|(_, error)| error),
        }
    }
    ask()
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
