//! Check of Kafka: the topics, and how far the consumer group has read them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Diagnosis, DoctorFinding, Effect, Subject, database};
use crate::app::kafka::kafka_options;
use crate::brokers::missing_topics;
use crate::clock::Clock;
use crate::config::Config;
use crate::error_chain::error_chain;
use crate::ingest::kafka::{GroupAheadCheck, PartitionSurvey, Survey, SurveyError, survey};

/// Checks Kafka.
pub(super) async fn check(config: &Config, clock: Arc<dyn Clock>) -> Diagnosis {
    let options = match kafka_options(config) {
        Ok(Some(options)) => options,
        Ok(None) => {
            return Diagnosis::new(Subject::Kafka, "not configured, events come over HTTP only");
        }
        Err(error) => {
            return Diagnosis::new(Subject::Kafka, "not reached").with(settings(&error));
        }
    };
    let group_id = options.group_id.clone();
    // The calls block.
    let surveying = tokio::task::spawn_blocking(move || survey(&options, &*clock));
    let surveyed = match surveying.await {
        Ok(Ok(surveyed)) => surveyed,
        Ok(Err(error)) => {
            return Diagnosis::new(Subject::Kafka, "not reached").with(of_error(&error));
        }
        // The runtime is ending.
        Err(_) => return Diagnosis::new(Subject::Kafka, "not checked to the end"),
    };
    let mut diagnosis = Diagnosis::new(Subject::Kafka, summary(&surveyed, &group_id));
    diagnosis.findings.extend(not_there(&surveyed.missing, &surveyed.missing_outgoing));
    diagnosis.findings.extend(refused_topics(&surveyed.refused));
    diagnosis.findings.extend(lost_records(&surveyed.partitions));
    diagnosis.findings.extend(other_log(&surveyed.partitions));
    diagnosis.findings.extend(group_ahead(config, &surveyed.partitions, &group_id).await);
    diagnosis
}

fn summary(surveyed: &Survey, group_id: &str) -> String {
    let topics: BTreeSet<&str> =
        surveyed.partitions.iter().map(|partition| &*partition.topic).collect();
    let lag: u64 = surveyed.partitions.iter().map(PartitionSurvey::lag).sum();
    format!(
        "{} topics to read with {} partitions, group {group_id}, lag {lag} records",
        topics.len(),
        surveyed.partitions.len()
    )
}

fn settings(error: &anyhow::Error) -> DoctorFinding {
    DoctorFinding {
        code: "settings",
        effect: Effect::Stops,
        problem: format!("{error:#}"),
        meaning: "a start fails with it".into(),
        fix: "correct the setting, or the file that it names".into(),
    }
}

fn of_error(error: &SurveyError) -> DoctorFinding {
    let (code, fix) = match error {
        SurveyError::Refused(refused) => (refused.refusal.code(), refused.refusal.fix()),
        SurveyError::Kafka(KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)) => {
            return settings(&anyhow::anyhow!("{error}"));
        }
        SurveyError::Kafka(error) if is_unauthorized(error) => {
            ("unauthorized", "grant the rights to read the topics and the consumer group")
        }
        SurveyError::Kafka(_) => (
            "unavailable",
            "start the brokers, and check kafka_brokers, kafka.security_protocol, the addresses that the \
             brokers advertise, and the network to them",
        ),
    };
    DoctorFinding {
        code,
        effect: Effect::Stops,
        problem: error_chain(error),
        meaning: "no event is read, and no outgoing event is sent, until the brokers answer".into(),
        fix: fix.into(),
    }
}

fn is_unauthorized(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, GroupAuthorizationFailed, TopicAuthorizationFailed,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(ClusterAuthorizationFailed | GroupAuthorizationFailed | TopicAuthorizationFailed)
    )
}

fn not_there(missing: &[&str], outgoing: &[&str]) -> Vec<DoctorFinding> {
    let finding = |code, topics: &[&str], meaning: &str| {
        (!topics.is_empty()).then(|| DoctorFinding {
            code,
            effect: Effect::Warning,
            problem: format!("these topics do not exist: {}", topics.join(", ")),
            meaning: meaning.into(),
            fix: missing_topics::FIX.into(),
        })
    };
    let read = finding(missing_topics::CODE, missing, "their events are not read until they exist");
    let sent = finding(
        "missing_outgoing_topics",
        outgoing,
        "their outgoing events wait in the outbox until they exist",
    );
    read.into_iter().chain(sent).collect()
}

fn refused_topics(refused: &[(&str, RDKafkaErrorCode)]) -> Option<DoctorFinding> {
    let named: Vec<String> =
        refused.iter().map(|(topic, answer)| format!("{topic} ({answer})")).collect();
    (!named.is_empty()).then(|| DoctorFinding {
        code: "refused_topics",
        effect: Effect::Warning,
        problem: format!("the brokers do not show these topics: {}", named.join(", ")),
        meaning: "their events are not read or sent".into(),
        fix: "grant the right to describe, read and write them, or see to their leaders".into(),
    })
}

fn lost_records(partitions: &[PartitionSurvey]) -> Option<DoctorFinding> {
    let named = named(partitions, PartitionSurvey::has_lost_records)?;
    Some(DoctorFinding {
        code: "records_deleted_unread",
        effect: Effect::Warning,
        problem: format!("records were deleted before the group has read them: {named}"),
        meaning: "their events are missing in the answers".into(),
        fix: "let their producers send them again, or replay a file of them; lengthen the retention of \
              the topics"
            .into(),
    })
}

fn other_log(partitions: &[PartitionSurvey]) -> Option<DoctorFinding> {
    let named = named(partitions, PartitionSurvey::is_of_another_log)?;
    Some(DoctorFinding {
        code: "group_ahead_of_log",
        effect: Effect::Warning,
        problem: format!("the group has committed offsets after the end of the log: {named}"),
        meaning: "the topic was created again, or lost records; it is read from its start again"
            .into(),
        fix: "nothing, if the topic was created again; else look at the brokers".into(),
    })
}

/// None if the database does not say what it has: its own check finds out why.
async fn group_ahead(
    config: &Config,
    partitions: &[PartitionSurvey],
    group_id: &str,
) -> Option<DoctorFinding> {
    let inbox = database::inbox(config, &GroupAheadCheck::records(partitions)).await.ok()?;
    let problem = GroupAheadCheck::problem(group_id, partitions, &inbox)?;
    Some(DoctorFinding {
        code: GroupAheadCheck::CODE,
        effect: Effect::Warning,
        problem,
        meaning: GroupAheadCheck::MEANING.into(),
        fix: GroupAheadCheck::FIX.into(),
    })
}

/// The partitions of which something holds, as `TOPIC/PARTITION`; none if there are none.
fn named(
    partitions: &[PartitionSurvey],
    holds: impl Fn(&PartitionSurvey) -> bool,
) -> Option<String> {
    let named: Vec<String> = partitions
        .iter()
        .filter(|partition| holds(partition))
        .map(|partition| format!("{}/{}", partition.topic, partition.partition))
        .collect();
    (!named.is_empty()).then(|| named.join(", "))
}
