//! Replays of dead letters: their outcomes, and what a reader sees.

use aggregator::apply::ApplyOutcome;
use serde_json::{Value, json};

use super::records::{REGISTERED, SLOT, TEACHER, compact, wire_records, with};
use super::world::World;

impl World {
    /// How many batches the teacher's list shows.
    async fn listed(&self) -> u64 {
        let page = self.get(&format!("/batches/user/{TEACHER}")).await;
        page["pagination"]["total"].as_u64().unwrap()
    }
}

/// The row of the batch cannot be read; then somebody mends it.
#[tokio::test]
async fn replay_of_a_mended_record_is_applied_and_visible_at_once() {
    let world = World::new().await;
    world.ingest(REGISTERED).await;
    world.execute("update batches set state = '[' || state || ']'").await;
    let outcome = world.ingest(SLOT).await;
    assert!(
        matches!(&outcome.outcome, ApplyOutcome::Refused(refusal) if refusal.code.as_str() == "unstorable")
    );
    let id = world.only_dead_letter().await;
    assert_eq!(world.replay(id).await["outcome"], "refused", "it is not mended yet");
    assert_eq!(world.only_dead_letter().await, id);

    world.execute("update batches set state = substr(state, 2, length(state) - 2)").await;
    world.listed().await;
    let answer = world.replay(id).await;
    assert_eq!(answer["outcome"], "applied");
    assert_eq!(answer["event_id"], serde_json::from_str::<Value>(SLOT).unwrap()["event_id"]);
    let page = world.get(&format!("/batches/user/{TEACHER}")).await;
    let essays = page["batches"][0]["essays"].as_array().unwrap();
    assert!(essays.iter().any(|essay| essay["filename"].is_string()), "{page}");

    assert_eq!(world.dead_letters().await, Vec::<Value>::new());
    assert_eq!(world.replay(id).await, json!({"outcome": "gone"}));
    assert_eq!(world.metric("ras_dead_letters_replayed_total{outcome=\"refused\"}").await, 1.0);
    assert_eq!(world.metric("ras_dead_letters_replayed_total{outcome=\"applied\"}").await, 1.0);
}

#[tokio::test]
async fn record_refused_again_stays_once_with_its_newest_refusal() {
    let world = World::new().await;
    world.ingest("{").await;
    let id = world.only_dead_letter().await;
    // The detail of an older build.
    world.execute("update dead_letters set code = 'invalid_field', detail = 'older words'").await;
    world.clock.advance(std::time::Duration::from_secs(5));
    let refused = world.metric("ras_invalid_messages_total").await;

    let answer = world.replay(id).await;
    let detail = "EOF while parsing an object at line 1 column 1";
    let want = json!({"outcome": "refused", "reason": {"code": "not_json", "detail": detail}});
    assert_eq!(answer, want);
    let dead_letter = &world.dead_letters().await[0];
    assert_eq!(
        (&dead_letter["code"], &dead_letter["detail"]),
        (&json!("not_json"), &json!(detail))
    );
    assert_eq!(dead_letter["refused_at"], "2026-11-22T12:00:05Z");
    assert_eq!(dead_letter["received_at"], "2026-11-22T11:59:59.500000Z");

    world.ingest("{").await;
    assert_eq!(world.only_dead_letter().await, id, "sent again, it is still the same dead letter");
    assert_eq!(world.metric("ras_dead_letters_total{topic=\"unknown\"").await, 2.0, "the two sent");
    assert_eq!(refused, 1.0);
}

/// The same record came again by itself after the fix.
#[tokio::test]
async fn replay_of_an_event_applied_meanwhile_is_a_duplicate_and_removes_it() {
    let world = World::new().await;
    world.ingest(REGISTERED).await;
    world.execute("update batches set state = '[' || state || ']'").await;
    world.ingest(SLOT).await;
    world.execute("update batches set state = substr(state, 2, length(state) - 2)").await;
    assert_eq!(world.ingest(SLOT).await.outcome, ApplyOutcome::Applied);

    let id = world.only_dead_letter().await;
    assert_eq!(world.replay(id).await["outcome"], "duplicate");
    assert_eq!(world.dead_letters().await, Vec::<Value>::new());
}

/// The record has no time and no id: it gets those that it would have got at first.
#[tokio::test]
async fn replayed_record_without_a_time_has_its_time_of_receipt() {
    let world = World::new().await;
    let envelope: Value = serde_json::from_str(REGISTERED).unwrap();
    let mut bare = envelope.clone();
    bare.as_object_mut().unwrap().retain(|key, _| key != "event_timestamp" && key != "event_id");
    let record = bare.to_string();
    let hex = hex::encode(record.as_bytes());
    world.ingest("{").await;
    world.execute(&format!("update dead_letters set bytes = x'{hex}'")).await;
    world.clock.advance(std::time::Duration::from_secs(3_600));

    let id = world.only_dead_letter().await;
    assert_eq!(world.replay(id).await["outcome"], "applied");
    let page = world.get(&format!("/batches/user/{TEACHER}")).await;
    assert_eq!(page["batches"][0]["created_at"], "2026-11-22T11:59:59.500000Z");
    assert_eq!(world.ingest(record).await.outcome, ApplyOutcome::Duplicate, "it is the same event");
}

/// The topic decides the kind of a record from Kafka, also in a replay.
#[tokio::test]
async fn replayed_record_from_kafka_is_decoded_by_its_topic() {
    let world = World::new().await;
    let topic = "huleedu.els.essay.slot.assigned.v1";
    world.consume(topic, 1, compact(REGISTERED).into()).await;
    let id = world.only_dead_letter().await;
    assert_eq!(world.replay(id).await["reason"]["code"], "invalid_field");
    assert_eq!(world.listed().await, 0);
}

/// Earlier builds refused what the platform's own producers send, by its `event_type`.
#[tokio::test]
async fn records_that_an_earlier_build_refused_for_their_event_type_are_recovered() {
    let world = World::new().await;
    let records: Vec<_> = wire_records().collect();
    for (offset, (topic, bytes)) in (0..).zip(&records) {
        // The dead letter of an earlier build, with its code.
        world.consume(topic, offset, b"{".to_vec()).await;
        let hex = hex::encode(bytes.as_bytes());
        let code = if offset % 2 == 0 { "unknown_event_type" } else { "unexpected_event_type" };
        let earlier = format!(
            "update dead_letters set bytes = x'{hex}', code = '{code}' where bytes = x'7b'"
        );
        world.execute(&earlier).await;
    }
    let filtered = world.get("/dead-letters?code=unexpected_event_type").await;
    assert_eq!(filtered["dead_letters"].as_array().unwrap().len(), records.len() / 2);
    for dead_letter in world.dead_letters().await {
        let id = dead_letter["id"].as_u64().unwrap();
        let shown = world.get(&format!("/dead-letters/{id}")).await;
        assert_eq!(shown["refused_today"], Value::Null, "{shown}");
        assert_eq!(world.replay(id).await["outcome"], "applied");
    }
    assert_eq!(world.dead_letters().await, Vec::<Value>::new());
    let page = world.get("/batches/user/teacher-maja").await;
    let batch = &page["batches"][0];
    assert_eq!(batch["overall_status"], "completed_successfully", "{page}");
    assert_eq!(batch["assignment_id"], "assignment-7");
    let ranks: Vec<_> = batch["essays"].as_array().unwrap().iter().map(|e| &e["cj_rank"]).collect();
    assert_eq!(ranks.iter().filter(|rank| rank.is_number()).count(), 3, "{page}");
}

/// Each contradicting record is counted; the contradiction is logged once.
#[tokio::test]
async fn event_type_that_contradicts_its_topic_is_counted_and_applied() {
    let world = World::new().await;
    let mixed_up = with("huleedu.batch.essays.registered.v1", "batch.pipeline.completed");
    let topic = "huleedu.batch.essays.registered.v1";
    let line = format!(
        "ras_event_type_mismatches_total{{topic=\"{topic}\",\
         event_type=\"huleedu.batch.pipeline.completed.v1\"}}"
    );
    assert_eq!(world.metric(&line).await, 0.0);
    let outcome = world.consume(topic, 1, mixed_up.into_bytes()).await;
    assert_eq!(outcome.outcome, ApplyOutcome::Applied);
    assert_eq!(world.metric(&line).await, 1.0);
    assert_eq!(world.listed().await, 1);
}

#[tokio::test]
async fn one_of_many_concurrent_replays_applies() {
    let world = World::new().await;
    let hex = hex::encode(REGISTERED.as_bytes());
    world.ingest("{").await;
    world.execute(&format!("update dead_letters set bytes = x'{hex}'")).await;
    let id = world.only_dead_letter().await;
    let answers = futures_util::future::join_all((0..12).map(|_| world.replay(id))).await;
    let count = |outcome| answers.iter().filter(|answer| answer["outcome"] == outcome).count();
    assert_eq!(count("applied"), 1, "{answers:?}");
    assert_eq!(count("applied") + count("duplicate") + count("gone"), 12, "{answers:?}");
    assert_eq!(world.listed().await, 1);
    assert_eq!(world.dead_letters().await, Vec::<Value>::new());
}

/// Nothing can be written: the dead letter stays, and the client is asked to repeat.
#[tokio::test]
async fn dead_letter_stays_until_its_replay_is_complete() {
    let world = World::new().await;
    world.ingest("{").await;
    let id = world.only_dead_letter().await;
    // No row can be removed until the trigger is dropped.
    world
        .execute(
            "create trigger no_removal before delete on dead_letters
             begin select raise(abort, 'planted'); end",
        )
        .await;
    let hex = hex::encode(REGISTERED.as_bytes());
    world.execute(&format!("update dead_letters set bytes = x'{hex}'")).await;
    let mended = async {
        testkit::eventually(PATIENCE, "the event is applied", async || world.listed().await == 1)
            .await;
        assert_eq!(world.only_dead_letter().await, id, "applied, and not removed yet");
        world.execute("drop trigger no_removal").await;
    };
    let (answer, ()) = tokio::join!(world.replay(id), mended);
    assert_eq!(answer["outcome"], "applied");
    assert_eq!(world.dead_letters().await, Vec::<Value>::new());
}

/// How long a condition may take to come true.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
