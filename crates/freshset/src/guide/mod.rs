//! Guide: from the first five minutes to production, for a developer who has never seen the crate.
//!
//! | chapter | answers |
//! |---|---|
//! | [First steps](first_steps) | What do I add, and what do I call? |
//! | [Owners](owners) | What is one owner? What if an answer depends on several? |
//! | [Invalidating](invalidating) | In which order do commit, invalidation and acknowledgement come? |
//! | [Failures](failures) | What happens when the backend does not answer? How does a process stop? |
//! | [Reading](reading) | Options of one read, absent things, typed values, near copies |
//! | [Observing](observing) | What can I see of it, and what should wake me? |
//! | [Testing](testing) | How do I test a loader, an endpoint, a backend of my own? |
//! | [Migrating](migrating) | I know moka, `cached` or FusionCache: which call is which? |
//! | [Mistakes](mistakes) | What makes answers stale all the same? |
//!
//! Every block of code in it is compiled and run by the tests.

#[doc = include_str!("first_steps.md")]
pub mod first_steps {}

#[doc = include_str!("owners.md")]
pub mod owners {}

#[doc = include_str!("invalidating.md")]
pub mod invalidating {}

#[doc = include_str!("failures.md")]
pub mod failures {}

#[doc = include_str!("reading.md")]
pub mod reading {}

#[doc = include_str!("observing.md")]
pub mod observing {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("migrating.md")]
pub mod migrating {}

#[doc = include_str!("mistakes.md")]
pub mod mistakes {}
