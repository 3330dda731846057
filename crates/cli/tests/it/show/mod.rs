//! What `dead-dead_letters show` prints of a record, for each reason for which one is refused.

mod pictures;
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../../../../aggregator/tests/it/dead_letters/records.rs"]
mod records;
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../../../../aggregator/tests/it/dead_letters/world.rs"]
mod world;
