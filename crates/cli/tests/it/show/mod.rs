//! Output of `dead-letters show`, for each reason of a refusal.

mod pictures;
#[expect(dead_code, reason = "these tests use a part of it")]
#[path = "../../../../aggregator/tests/it/dead_letters/records.rs"]
mod records;
#[expect(dead_code, reason = "these tests use a part of it")]
#[path = "../../../../aggregator/tests/it/dead_letters/world.rs"]
mod world;
